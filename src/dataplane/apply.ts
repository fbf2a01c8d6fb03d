import { isKernelError, type KernelError } from '../kernel/kernel-error.ts';
import { redirects } from '../kernel/route/redirects.ts';
import { shortcuts } from '../kernel/route/shortcuts.ts';
import { sysctls } from '../kernel/sysctl.ts';
import { applyEntries, type Entry, isEntry } from './entries.ts';
import type { HostSettings } from './host-settings.ts';
import { LinkWork } from './link-work.ts';
import { isRule, type RuleObject, ruleCommands } from './nft.ts';
import {
  HOST,
  type Ingress,
  isNetworkNamespace,
  type KernelObject,
  type RedirectObject,
  type ShortcutObject,
  type SocketObject,
  type Sysctl,
} from './objects.ts';
import type { Places } from './places.ts';
import { type Step, stage } from './plan.ts';
import { portRules, sendRules } from './port-rules.ts';
import type { SocketStep, Sockets } from './sockets.ts';

/** Works steps off, in order. */
export class Applier {
  readonly links: LinkWork;
  readonly #places: Places;
  readonly #settings: HostSettings;
  readonly #sockets: Sockets;

  constructor(places: Places, settings: HostSettings, sockets: Sockets) {
    this.links = new LinkWork(places);
    this.#places = places;
    this.#settings = settings;
    this.#sockets = sockets;
  }

  /** Tells `done` each step as it is done; stops at the first that fails. @throws KernelError */
  apply(steps: readonly Step[], done: (step: Step) => void): void {
    // An adopted namespace stays where it is, and its interfaces' names must be free again.
    const isOurs = ({ object }: Step) => object.kind === 'netns' && object.spec.inode === undefined;
    const leaving = new Set(steps.filter((step) => step.do === 'remove' && isOurs(step)).map(nameOf));
    for (const batch of batchesOf(steps)) {
      const [first] = batch;
      if (first === undefined) continue;
      const { object } = first;
      const { namespace } = object;
      if (isRule(object)) {
        this.#rules(namespace, batch);
        batch.forEach(done);
      } else if (isEntry(object)) applyEntries(this.#places, batch, done);
      else if (object.kind === 'socket') this.#sockets.apply(batch.filter(isSocketStep), done);
      else if (object.kind === 'redirect') done(this.#redirect(first, object));
      else {
        this.#single(first, object, leaving);
        done(first);
      }
    }
  }

  #rules(namespace: string, steps: readonly Step[]): void {
    const { gone, wanted, rest } = portRules(steps);
    if (gone.length > 0) sendRules(this.#places.netfilter(namespace), gone);
    // What ports' chains lead to is there before them, and goes after them, also after those that lead elsewhere now.
    const isLate = ({ do: what, object }: Step) =>
      wanted.length > 0 && what === 'remove' && object.kind === 'nft-chain' && object.spec.hook === undefined;
    const run = (commands: readonly string[]) => {
      if (commands.length > 0) this.#places.nft(namespace).run(`set the rules of namespace ${namespace}`, commands);
    };
    run(ruleCommands(rest.filter((step) => !isLate(step))));
    if (wanted.length > 0) sendRules(this.#places.netfilter(namespace), wanted);
    run(ruleCommands(rest.filter(isLate)));
  }

  #single(
    step: Step,
    object: Exclude<KernelObject, RuleObject | Entry | RedirectObject | SocketObject>,
    leaving: ReadonlySet<string>,
  ): void {
    switch (object.kind) {
      case 'netns':
        if (step.do === 'remove') this.#removeNetns(object.name);
        else this.#places.make(object.name, object.spec.inode);
        break;
      case 'sysctl':
        this.#sysctl(step, object);
        break;
      case 'ingress':
        this.#ingress(step, object);
        break;
      case 'shortcut':
        this.#shortcut(step, object);
        break;
      case 'bridge':
      case 'vxlan':
      case 'veth':
      case 'stray':
        this.links.apply({ ...step, object }, leaving);
        break;
    }
  }

  #ingress(step: Step, { namespace, name }: Ingress): void {
    const nl = this.#places.netlink(namespace);
    const index = this.#places.index(namespace, name);
    if (step.do === 'remove') tolerate(nl.requests([redirects.closeMessage(index)]));
    else if (!redirects.open(nl, index)) this.#places.canRedirect = false;
  }

  /** @returns the step with what the kernel made of it */
  #redirect(step: Step, object: RedirectObject): Step {
    const { namespace, device, mac, spec } = object;
    if (!this.#places.canRedirect) return step;
    const nl = this.#places.netlink(namespace);
    const index = this.#places.index(namespace, device);
    const former = step.do === 'change' ? step.from : object;
    if (step.do !== 'add' && former.kind === 'redirect' && former.handle !== undefined) {
      tolerate(nl.requests([redirects.removeMessage({ index, handle: former.handle })]));
    }
    if (step.do === 'remove' || spec.port === undefined) return step;
    const handle = redirects.add(nl, { index, mac, to: this.#places.index(namespace, spec.port) });
    return { ...step, object: { ...object, handle } };
  }

  #shortcut(step: Step, { namespace, device, spec }: ShortcutObject): void {
    if (!this.#places.canRedirect) return;
    const nl = this.#places.netlink(namespace);
    const index = this.#places.index(namespace, device);
    if (step.do === 'remove') tolerate(nl.requests([shortcuts.removeMessage(index)]));
    else if (spec.to !== undefined) shortcuts.add(nl, index, { ...spec, to: this.#places.index(namespace, spec.to) });
  }

  /** Of a namespace that goes, or a link, nothing has to be put back. */
  #sysctl(step: Step, { namespace, parent, path, spec }: Sysctl): void {
    const ofHost = namespace === HOST && parent === undefined;
    if (step.do === 'remove') {
      if (ofHost) this.#settings.restore(path);
    } else if (ofHost) this.#settings.set(path, spec.value);
    else this.#places.inside(namespace, () => sysctls.set(path, spec.value));
  }

  #removeNetns(name: string): void {
    if (isNetworkNamespace(name)) this.links.clear(name);
    this.#places.unpin(name);
  }
}

/** What is to be removed may be gone. */
function tolerate(errors: readonly (KernelError | undefined)[]): void {
  for (const error of errors) if (error && !isKernelError(error, 'ENOENT', 'EINVAL', 'ENODEV')) throw error;
}

function nameOf({ object }: Step): string {
  return object.kind === 'netns' ? object.name : '';
}

function isSocketStep(step: Step): step is SocketStep {
  return step.object.kind === 'socket';
}

/** What can be sent, said or done at once: entries, rules or sockets of one namespace. */
function batchesOf(steps: readonly Step[]): Step[][] {
  const batches: Step[][] = [];
  for (const step of steps) {
    const batch = batches.at(-1);
    const [first] = batch ?? [];
    const together =
      first !== undefined &&
      stage(first) === stage(step) &&
      first.object.namespace === step.object.namespace &&
      ((isEntry(first.object) && isEntry(step.object)) ||
        (isRule(first.object) && isRule(step.object)) ||
        (isSocketStep(first) && isSocketStep(step) && first.do === step.do));
    if (batch && together) batch.push(step);
    else batches.push([step]);
  }
  return batches;
}
