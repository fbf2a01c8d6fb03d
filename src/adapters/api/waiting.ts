import { Refusal } from '../../lib/errors.ts';
import { version } from '../../model/version.ts';
import type { Membership } from '../../state/mesh/membership.ts';
import type { JsonHandlers } from './handlers.ts';
import { openMeshHandlers, reportMesh, viewTarget, viewWaiting } from './mesh.ts';
import type { WaitingView } from './mesh-schema.ts';

/** What the API answers from while the daemon has a token and no cluster: there are no networks and no containers. */
export interface WaitingNeeds {
  readonly waiting: { readonly host: { readonly id: string; readonly name: string }; readonly started: string };
  readonly membership: Membership;
  /** Begins to end the daemon; returns at once. Called when its asker has been answered. */
  readonly stop: () => void;
}

const whatToDo = 'this host waits for others with its token: skein connect HOST';

/** There are no containers yet. */
const nowhere = () => undefined;

/** How it does, how it is joined to others, and its end. The rest is there as soon as it has a cluster. */
export function openWaitingHandlers({ waiting, membership, stop }: WaitingNeeds): Partial<JsonHandlers> {
  function getStatus(): WaitingView {
    const standing = membership.standing();
    if (standing.kind !== 'waiting') throw refuseWaiting();
    return {
      ...{ state: 'waiting', version, pid: process.pid, started: waiting.started, host: { ...waiting.host } },
      mesh: viewWaiting(standing),
      targets: membership.targets().map(viewTarget),
    };
  }

  return {
    ...openMeshHandlers(membership, nowhere),
    getStatus,
    getReport: () => ({ status: getStatus(), mesh: reportMesh(membership, nowhere) }),
    stopDaemon: (_, { afterwards }) => {
      afterwards(stop);
      return {};
    },
  };
}

export function refuseWaiting(): Refusal {
  return new Refusal('unavailable', whatToDo);
}
