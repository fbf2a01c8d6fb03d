import * as v from 'valibot';
import * as mesh from './mesh-schema.ts';
import * as schema from './schema.ts';

/**
 * Every route, once: the server's handlers, the client's calls and the description at `/v1/openapi.json` take their shapes
 * from this table. Paths are below `/v1`. `frames` is the stream of what a container writes, `bytes` that of what it reads.
 */
export const routes = {
  getVersion: { method: 'GET', path: '/version', sentence: 'What runs here', answer: schema.VersionView },
  getStatus: {
    method: 'GET',
    path: '/status',
    sentence: 'How this host and its cluster do, or what it waits for',
    answer: v.union([mesh.WaitingView, schema.StatusView]),
  },
  getReport: {
    method: 'GET',
    path: '/report',
    sentence: 'All that this host knows',
    answer: schema.ReportView,
  },
  getDescription: { method: 'GET', path: '/openapi.json', sentence: 'This description', answer: schema.Done },
  stopDaemon: {
    method: 'POST',
    path: '/stop',
    sentence: 'Ends the daemon; containers and networks stay as they are',
    answer: schema.Done,
  },
  listHosts: { method: 'GET', path: '/hosts', sentence: 'Every known host', answer: v.array(schema.HostView) },
  removeHost: {
    method: 'DELETE',
    path: '/hosts/:name',
    sentence: 'Locks a host out for good; what it held is taken over',
    params: schema.ReferenceParams,
    query: schema.ForceQuery,
    answer: mesh.RemovedHostView,
  },
  promoteHost: {
    method: 'POST',
    path: '/hosts/:name/promote',
    sentence: 'Makes a host an admin',
    params: schema.ReferenceParams,
    answer: mesh.PromotedHostView,
  },

  joinHosts: {
    method: 'POST',
    path: '/mesh/connect',
    sentence: 'Dials hosts from now on, and joins their cluster if this host has none that holds anything',
    body: mesh.JoinBody,
    answer: mesh.JoinedView,
  },
  leaveHosts: {
    method: 'POST',
    path: '/mesh/disconnect',
    sentence: 'Dials hosts no more; links that stand go on',
    body: mesh.LeaveBody,
    answer: schema.Done,
  },
  departHost: {
    method: 'POST',
    path: '/mesh/depart',
    sentence: 'Hands what this host owns on to another, before it is reset',
    answer: mesh.DepartedView,
  },
  getToken: { method: 'GET', path: '/mesh/token', sentence: 'What lets a host in', answer: mesh.TokenView },
  rotateToken: {
    method: 'POST',
    path: '/mesh/token',
    sentence: 'Makes another token; the old one is refused from then on',
    answer: mesh.TokenView,
  },
  listTargets: {
    method: 'GET',
    path: '/mesh/targets',
    sentence: 'Places that this host dials',
    answer: v.array(mesh.TargetView),
  },
  listPeers: {
    method: 'GET',
    path: '/mesh/peers',
    sentence: 'Every host that belongs to the mesh, and its links',
    answer: v.array(mesh.PeerView),
  },
  listConnections: {
    method: 'GET',
    path: '/mesh/connections',
    sentence: 'The links of this host, and how the packets of containers go',
    answer: v.array(mesh.ConnectionView),
  },
  listRanges: {
    method: 'GET',
    path: '/mesh/ipam',
    sentence: 'Which host owns which addresses, subnets and VNIs',
    answer: v.array(mesh.RangeView),
  },

  listNetworks: {
    method: 'GET',
    path: '/networks',
    sentence: 'Every network, without its containers',
    answer: v.array(schema.NetworkView),
  },
  createNetwork: {
    method: 'POST',
    path: '/networks',
    sentence: 'Makes a network',
    body: schema.CreateNetworkBody,
    answer: schema.CreatedNetwork,
  },
  getNetwork: {
    method: 'GET',
    path: '/networks/:name',
    sentence: 'One network, with the containers of every host',
    params: schema.ReferenceParams,
    answer: schema.NetworkView,
  },
  removeNetwork: {
    method: 'DELETE',
    path: '/networks/:name',
    sentence: 'Removes a network that has no endpoints',
    params: schema.ReferenceParams,
    answer: schema.Named,
  },
  connectContainer: {
    method: 'POST',
    path: '/networks/:name/connect',
    sentence: 'Adds an interface to a running container',
    params: schema.ReferenceParams,
    body: schema.ConnectBody,
    answer: schema.AttachedView,
  },
  disconnectContainer: {
    method: 'POST',
    path: '/networks/:name/disconnect',
    sentence: 'Takes it away again; with `force` also that of a container of a host that is lost',
    params: schema.ReferenceParams,
    body: schema.DisconnectBody,
    answer: schema.Done,
  },
  exposeHost: {
    method: 'POST',
    path: '/networks/:name/expose',
    sentence: 'Puts this host itself on the network; one that is on it already as is wished stays as it is',
    params: schema.ReferenceParams,
    body: schema.ExposeBody,
    answer: schema.ExposedView,
  },
  hideHost: {
    method: 'POST',
    path: '/networks/:name/hide',
    sentence: 'Takes it off again, and says what addresses it had there: none if it was not on it',
    params: schema.ReferenceParams,
    body: schema.HideBody,
    answer: schema.HiddenView,
  },

  inspect: {
    method: 'GET',
    path: '/inspect/:name',
    sentence: 'The container or else the network of this name or id',
    params: schema.ReferenceParams,
    answer: schema.ObjectView,
  },

  listContainers: {
    method: 'GET',
    path: '/containers',
    sentence: 'Containers of this host, newest first; those that ended with `all`',
    query: schema.ListContainersQuery,
    answer: v.array(schema.ContainerView),
  },
  runContainer: {
    method: 'POST',
    path: '/containers',
    sentence: 'Makes and starts a container',
    body: schema.RunBody,
    answer: schema.Created,
  },
  getContainer: {
    method: 'GET',
    path: '/containers/:name',
    sentence: 'One container',
    params: schema.ReferenceParams,
    answer: schema.ContainerView,
  },
  removeContainer: {
    method: 'DELETE',
    path: '/containers/:name',
    sentence: 'Removes a container; a running one with `force`',
    params: schema.ReferenceParams,
    query: schema.ForceQuery,
    answer: schema.Named,
  },
  killContainer: {
    method: 'POST',
    path: '/containers/:name/kill',
    sentence: 'Sends a signal',
    params: schema.ReferenceParams,
    body: schema.KillBody,
    answer: schema.Done,
  },
  startContainer: {
    method: 'POST',
    path: '/containers/:name/start',
    sentence: 'Runs the command of a container that has ended again; one that runs is left alone',
    params: schema.ReferenceParams,
    answer: schema.Done,
  },
  stopContainer: {
    method: 'POST',
    path: '/containers/:name/stop',
    sentence: 'Ends a container: SIGTERM, and SIGKILL some seconds later; one that has ended is left alone',
    params: schema.ReferenceParams,
    body: schema.StopBody,
    answer: schema.Done,
  },
  restartContainer: {
    method: 'POST',
    path: '/containers/:name/restart',
    sentence: 'Ends a container as `stop` does and runs its command again',
    params: schema.ReferenceParams,
    body: schema.StopBody,
    answer: schema.Done,
  },
  execContainer: {
    method: 'POST',
    path: '/containers/:name/exec',
    sentence: 'Starts a further command in a running container',
    params: schema.ReferenceParams,
    body: schema.ExecBody,
    answer: schema.Created,
  },

  readOutput: {
    method: 'GET',
    path: '/streams/:id/output',
    sentence: 'What a container or an exec wrote; until it ends with `follow`, from byte `offset` of the frames on',
    params: schema.StreamParams,
    query: schema.OutputQuery,
    answer: 'frames',
  },
  writeInput: {
    method: 'POST',
    path: '/streams/:id/input',
    sentence: 'What it reads; the end of the body closes its standard input, an abort does not',
    params: schema.StreamParams,
    body: 'bytes',
    answer: schema.Done,
  },
  resizeTerminal: {
    method: 'POST',
    path: '/streams/:id/resize',
    sentence: 'Sets the size of its terminal',
    params: schema.StreamParams,
    body: schema.ResizeBody,
    answer: schema.Done,
  },
  waitForExit: {
    method: 'GET',
    path: '/streams/:id/wait',
    sentence: 'Answers when it has ended',
    params: schema.StreamParams,
    answer: schema.Exited,
  },

  attach: {
    method: 'POST',
    path: '/attach',
    sentence: 'Puts a network namespace, given by path or pid, on a network',
    body: schema.AttachBody,
    answer: schema.AttachedView,
  },
  detach: {
    method: 'POST',
    path: '/detach',
    sentence: 'Takes it off again; a namespace without endpoints is let go',
    body: schema.DetachBody,
    answer: schema.Done,
  },

  getDns: { method: 'GET', path: '/dns', sentence: 'How names are answered on this host', answer: schema.DnsView },
  listNames: {
    method: 'GET',
    path: '/dns/names',
    sentence: 'Every name that is known on this host',
    answer: v.array(schema.NameView),
  },
  lookUpName: {
    method: 'GET',
    path: '/dns/names/:name',
    sentence: 'What a container, or the host, is answered for a name',
    params: schema.DnsNameParams,
    query: schema.LookupQuery,
    answer: schema.LookupView,
  },
  addRecord: {
    method: 'POST',
    path: '/dns/records',
    sentence: 'Gives a name to addresses, which need not be those of containers',
    body: schema.RecordBody,
    answer: schema.RecordView,
  },
  removeRecord: {
    method: 'DELETE',
    path: '/dns/records/:name',
    sentence: 'Takes addresses, or all, from a name that was given on this host; what was taken',
    params: schema.DnsNameParams,
    query: schema.RemoveRecordQuery,
    answer: v.array(schema.RecordView),
  },
} as const satisfies Record<string, Route>;

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly sentence: string;
  readonly params?: v.GenericSchema;
  readonly query?: v.GenericSchema;
  readonly body?: v.GenericSchema | 'bytes';
  readonly answer: v.GenericSchema | 'frames';
}

type Routes = typeof routes;
export type RouteKey = keyof Routes;

type Part<K extends RouteKey, P extends 'params' | 'query' | 'body'> = Routes[K] extends { readonly [X in P]: infer S }
  ? S
  : undefined;
type Input<S> = S extends v.GenericSchema ? v.InferInput<S> : undefined;
type Output<S> = S extends v.GenericSchema ? v.InferOutput<S> : undefined;

/** What a handler is given: read and checked. */
export interface RequestOf<K extends RouteKey> {
  readonly params: Output<Part<K, 'params'>>;
  readonly query: Output<Part<K, 'query'>>;
  readonly body: Output<Part<K, 'body'>>;
}

/** What a caller gives: only the parts that the route has. */
export type CallOf<K extends RouteKey> = {
  readonly [P in 'params' | 'body' as Part<K, P> extends v.GenericSchema ? P : never]: Input<Part<K, P>>;
} & { readonly query?: Partial<Output<Part<K, 'query'>>> };

export type AnswerOf<K extends RouteKey> = Output<Routes[K]['answer']>;

/** Routes that answer with JSON to at most a JSON body. */
export type JsonRouteKey = Exclude<RouteKey, 'readOutput' | 'writeInput'>;
