// The types of tendmap for Node.js.

import { EventEmitter } from 'node:events'

/**
 * A key: an integer of 64 bits, text, bytes, or a double. A `number` is an integer and has
 * to be whole and exact (`Number.isSafeInteger`); larger integers are BigInts, and
 * floating point keys are `new Double(number)`. Text and the bytes of that text are two keys.
 */
export type Key = number | bigint | string | Uint8Array | Double

/**
 * Many keys of one set.
 *
 * - an array of keys, of one or several types;
 * - a typed array of integers: `BigInt64Array`, `BigUint64Array` (up to 2^63 - 1),
 *   `Int32Array`, `Uint32Array`, `Int16Array`, `Uint16Array`, `Int8Array`;
 * - a `Float64Array` or `Float32Array`: keys of type double, **not** integers.
 */
export type Keys =
  | readonly Key[] | BigInt64Array | BigUint64Array
  | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array
  | Float64Array | Float32Array

/**
 * The choice of a replica.
 *
 * - `master`: only the master;
 * - `sequence`: the replicas in their order, from the master on;
 * - `any`: starts one replica further with each call;
 * - `random`: starts at a random replica;
 * - `prefer_rack`: a node in the first of the `preferredRacks` that has one, then in the
 *   second, and so on, then any.
 */
export type Policy = 'master' | 'sequence' | 'any' | 'random' | 'prefer_rack'

/** The role of a process: `owner` tends, `standby` is the next to become owner, `follower` reads. */
export type Role = 'owner' | 'standby' | 'follower' | 'closed'

/** A number of milliseconds, or text with a unit: `"500ms"`, `"1.5s"`, `"2m"`, `"1h"`. */
export type Duration = number | string

/**
 * Servers to ask first: `"NAME:PORT"` (several separated by commas), or a list of them, of
 * `[NAME, PORT]` or of objects. With TLS: `"NAME:TLS_NAME:PORT"`.
 */
export type Hosts = string | readonly (
  | string
  | readonly [host: string, port: number, tlsName?: string]
  | { readonly host: string, readonly port: number, readonly tlsName?: string }
)[]

/** Where a segment is, and who may have written it: the settings that a reader needs. */
export type ReaderSettings = { [Name in keyof Settings]?: Settings[Name] | undefined }

/** The settings of a client; docs/SETTINGS.md of the project explains them. */
export interface Settings {
  /** Servers to ask first; any one that answers leads to all others. */
  hosts: Hosts
  /** Refuse any other cluster, and any node of another. */
  clusterName?: string | undefined
  /** The user that logs in. */
  user?: string | undefined
  /** The user's password; it is never shown, and one copy is kept, excluded from core dumps. */
  password?: string | undefined
  /** How the user logs in: `INTERNAL`, `EXTERNAL`, `EXTERNAL_INSECURE` (without TLS) or `PKI`. Default: `INTERNAL`. */
  authMode?: 'INTERNAL' | 'EXTERNAL' | 'EXTERNAL_INSECURE' | 'PKI' | undefined
  /** Speak TLS with the servers; any other setting of TLS implies it. Default: `false`. */
  tls?: boolean | undefined
  /** Certificates of the trusted authorities, PEM; unset = the system's; read again when it changes. */
  tlsCafile?: string | URL | undefined
  /** The client's own certificate, PEM; read again when it changes. */
  tlsCertfile?: string | URL | undefined
  /** The private key of the client's certificate, PEM; read again when it changes. */
  tlsKeyfile?: string | URL | undefined
  /** Speak TLS for logins only. Default: `false`. */
  tlsForLoginOnly?: boolean | undefined
  /** Use the alternate addresses that servers advertise. Default: `false`. */
  useServicesAlternate?: boolean | undefined
  /** Hosts to use instead of those that servers advertise (private to public). */
  ipMap?: Readonly<Record<string, string>> | ReadonlyMap<string, string> | string | undefined
  /** Share the map; otherwise a private map and tender behind the same API. Default: `true`. */
  useShm?: boolean | undefined
  /** Names the segment: one key per cluster. Default: `0xA7000000`. */
  shmKey?: number | string | undefined
  /** Room for nodes in a new segment, 1 to 4096. Default: 16. */
  shmMaxNodes?: number | undefined
  /** Room for namespaces in a new segment, 1 to 4096. Default: 8. */
  shmMaxNamespaces?: number | undefined
  /** Room for replicas of a partition in a new segment, 1 to 255; it grows with the replication factor, up to 255. Default: 3. */
  shmMaxReplicas?: number | undefined
  /** Nodes that a segment may grow to; further nodes are refused, counted and shown. Default: 4096. */
  shmNodeCeiling?: number | undefined
  /** Namespaces that a segment may grow to. Default: 256. */
  shmNamespaceCeiling?: number | undefined
  /** How long a hung owner, or one that can't reach the cluster, keeps the ownership; at least 2 × (`tendInterval` + `connectTimeout`), at most 365 days. Default: 30s. */
  shmTakeoverThreshold?: Duration | undefined
  /** The kind of shared memory: `file`, or `sysv`. Default: `file`. */
  shmBackend?: 'file' | 'sysv' | undefined
  /** Where segments, and the lock files of System V ones, live. Default: `/dev/shm`. */
  shmDirectory?: string | URL | undefined
  /** Mode of a new segment, octal. Default: 0600. */
  shmMode?: number | string | undefined
  /** Users whose segments are trusted, in addition to the process's own user and root: names or numbers. */
  shmOwner?: string | number | readonly (string | number)[] | undefined
  /** Accept segments in files that their group may write: every member can then kill all attached processes. Default: `false`. */
  shmAllowGroupWrite?: boolean | undefined
  /** The racks, the best first, that the policy `prefer_rack` reads from; each client has its own. */
  preferredRacks?: readonly number[] | string | undefined
  /** How often the owner polls, 50 ms to 365 days. Default: 1s. */
  tendInterval?: Duration | undefined
  /** How long a server may take to accept a connection or to answer. Default: 1s. */
  connectTimeout?: Duration | undefined
  /** Segments of the Aerospike C client that are kept filled for official clients: `KEY:VERSION`. */
  cClient?: string | readonly string[] | undefined
  /** The clients' `shmMaxNodes`. Default: 16. */
  cClientMaxNodes?: number | undefined
  /** The clients' `shmMaxNamespaces`. Default: 8. */
  cClientMaxNamespaces?: number | undefined
  /** Mode of a new C client segment, octal; the clients need to write it. Default: 0666. */
  cClientMode?: number | string | undefined
  /** `hold` leaves the segment to the next mirror, `release` to a client. Default: `hold`. */
  cClientOnExit?: 'hold' | 'release' | undefined
  /** The owner that clients see: `pid` of this process, or `always` alive. Default: `pid`. */
  cClientOwner?: 'pid' | 'always' | undefined
}

/**
 * A floating point number as a key (a double of the server): JavaScript can't distinguish
 * the numbers `1` and `1.0`.
 */
export class Double {
  constructor (value: number)
  readonly value: number
}

/**
 * A node of the cluster. A client has one object for each node, while it is the same node
 * at the same address: `state`, a `Map` or a `WeakMap` can hold what belongs to it.
 */
export class Node {
  private constructor ()
  /** The index of the node in `Batch.indexes`. */
  readonly index: number
  /** How many times a node got this index. */
  readonly incarnation: number
  /** The node id. */
  readonly name: string
  /** IP address. */
  readonly host: string
  readonly port: number
  /** IP address and port: `"10.0.0.1:3000"`, `"[::1]:3000"`. */
  readonly address: string
  /** The name on its TLS certificate. */
  readonly tlsName: string | null
  /** The build of its server, such as `"8.1.2.0"`, as it was found last. A node that is upgraded stays the same object. */
  readonly build: string | null
  /** Any value of the application, such as a connection pool; `undefined` at first. */
  state: any
  toJSON (): object
}

/** The route of a key. */
export class Route {
  private constructor ()
  readonly node: Node
  readonly namespace: string
  readonly partition: number
  /** The number of the replica; 0 = the master. */
  readonly replica: number
  /** The publication from which it was read. */
  readonly sequence: number
  readonly policy: Policy
  /** 1 for a first attempt, one more with each `retry`. */
  readonly attempt: number
}

/** The routes of many keys, all from one publication. */
export class Batch {
  private constructor ()
  readonly length: number
  /** For each key the `index` of its node, or `NO_NODE`. */
  readonly indexes: Uint16Array
  /** The nodes that occur, by their index. */
  readonly nodes: readonly (Node | undefined)[]
  /** The node of the key at that position; `undefined` if its partition has none. */
  node (position: number): Node | undefined
  /** For each node the positions of its keys: one request for each node. */
  groups (): Map<Node, number[]>
}

/** The index that means "no node". */
export const NO_NODE: 65535

/** What a publication has changed. A node that moves to another address is removed and added. */
export interface Change {
  /** The live publication. It is one or more after the previous change. */
  readonly sequence: number
  /** All nodes. */
  readonly nodes: readonly Node[]
  readonly added: readonly Node[]
  readonly removed: readonly Node[]
}

/** How to wait. */
export interface WaitOptions {
  /** Ends the wait: it rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Whether the wait keeps the process running (default: true). */
  ref?: boolean | undefined
}

/**
 * The events that a client emits, and the arguments of their listeners. A listener also
 * hears of what has changed before it was added, since the program looked last (`nodes()`,
 * `sequence`, `role`) or was told by an event.
 */
export interface ClientEvents {
  /** Another publication is live. Several in short succession may be one event. */
  'change': [change: Change]
  /** A node has joined. */
  'node-added': [node: Node]
  /** A node has left. */
  'node-removed': [node: Node]
  /** This process has another role. */
  'role': [role: Role, previous: Role]
  /** Something that an operator wants to know. */
  'event': [event: ClientEvent]
  /** It was closed, by a call or because its thread has ended. */
  'close': []
  /** No further change can be reported. Without a listener, only waits fail. */
  'error': [error: TendmapError]
}

/** The events that a reader emits. */
export type ReaderEvents = Pick<ClientEvents, 'change' | 'node-added' | 'node-removed' | 'close' | 'error'>

declare abstract class Base<Events extends { [Name in keyof Events]: any[] }> extends EventEmitter {
  /**
   * The node to ask for a key. Neither waits nor allocates: reads shared memory.
   *
   * @param namespace The namespace.
   * @param set The set; `null` or `""` = in no set.
   * @param key The key.
   * @param policy The choice of a replica; `sequence` if it is not given.
   * @throws {RouteError} with `code` `NO_NODE`, `NAMESPACE_UNKNOWN`, `CLUSTER_EMPTY` or `NO_MAP`.
   */
  route (namespace: string, set: string | null, key: Key, policy?: Policy): Node
  /** As `route`, for a digest that was computed before. */
  routeDigest (namespace: string, digest: Uint8Array, policy?: Policy): Node
  /** As `route`, with partition and replica, and for use with `retry`. */
  locate (namespace: string, set: string | null, key: Key, policy?: Policy): Route
  /**
   * The next attempt after the node of `route` has failed a command: starts at the next
   * replica. (`master` returns the master again; `prefer_rack` returns the failed node only
   * if there is no other.)
   */
  retry (route: Route): Route
  /** The nodes of many keys. */
  routeBatch (namespace: string, set: string | null, keys: Keys, policy?: Policy): Batch
  /** As `routeBatch`, for digests of 20 bytes, one after the other. */
  routeBatchDigests (namespace: string, digests: Uint8Array, policy?: Policy): Batch
  /** All nodes of the last publication. */
  nodes (): readonly Node[]
  /** The number of the live publication; it only grows. */
  readonly sequence: number
  /** The state of the segment and its owner. */
  status (): Status
  /** Asks the owner, whichever process that is, to tend soon. */
  requestTend (): void
  /** Changes the racks of the policy `prefer_rack`, the best first. */
  setPreferredRacks (racks: readonly number[]): void
  /**
   * Resolves with the live publication as soon as it is another one than `sequence`, or
   * with `sequence` after `timeout` milliseconds. Rejects with ClosedError when it is closed.
   */
  waitForChange (sequence: number, options?: WaitOptions & { timeout?: number | undefined }): Promise<number>
  /**
   * The changes from now on: `for await (const change of client.changes())`. A slow loop
   * gets several changes as one. The loop ends when it is closed.
   */
  changes (options?: WaitOptions): AsyncIterableIterator<Change> & AsyncDisposable
  /** Keeps the process running until it is closed. By default listeners do not. */
  ref (): this
  /** Undoes `ref`. */
  unref (): this
  readonly closed: boolean
  /** Closes; blocks for the moment that this takes. Closing again does nothing. */
  close (): void
  /** Closes without blocking the event loop. */
  closeAsync (): Promise<void>
  [Symbol.dispose] (): void
  [Symbol.asyncDispose] (): Promise<void>

  on<K extends keyof Events & string> (name: K, listener: (...values: Events[K]) => void): this
  once<K extends keyof Events & string> (name: K, listener: (...values: Events[K]) => void): this
  off<K extends keyof Events & string> (name: K, listener: (...values: Events[K]) => void): this
  addListener<K extends keyof Events & string> (name: K, listener: (...values: Events[K]) => void): this
  removeListener<K extends keyof Events & string> (name: K, listener: (...values: Events[K]) => void): this
  prependListener<K extends keyof Events & string> (name: K, listener: (...values: Events[K]) => void): this
}

/**
 * A process's part in a cluster's map: it shares the tending with the other processes of
 * the host. One of them, the owner, polls the cluster; when it ends, another one takes over.
 *
 * Each thread of `worker_threads` connects for itself; the clients of a process that have
 * the same `shmKey` share one attachment. It is closed when its thread or the process ends
 * in an orderly way.
 */
export class Client extends Base<ClientEvents> {
  private constructor ()
  /**
   * Connects: attaches to the segment of `shmKey`, or creates it and tends. That can take
   * seconds if no process tends and no server answers; it runs on a thread of its own.
   *
   * @throws {ConnectError} Then nothing is left behind. ConfigError: a setting is invalid.
   */
  static connect (settings: Settings, options?: { signal?: AbortSignal | undefined }): Promise<Client>
  /** As `connect`, but blocks the event loop until it is connected. */
  static connectSync (settings: Settings): Client
  /** The current role of this process. */
  readonly role: Role
  /** The events that were neither emitted nor returned yet, the oldest first; the last 256 are kept. */
  events (): ClientEvent[]
  /** Changes how often the owner polls. */
  setTendInterval (interval: Duration): void
  /** Changes the password of the user that logs in. */
  setPassword (password: string): void
}

/**
 * Reads the map, and nothing else: needs no network and no permission to write, and never
 * tends. While it waits for changes, the process counts as attached.
 */
export class Reader extends Base<ReaderEvents> {
  private constructor ()
  /** Attaches to the newest segment under the key, whether it has an owner or not. */
  static open (settings?: ReaderSettings): Reader
}

/** The RIPEMD-160 digest of a key in a set (`null` = in none): 20 bytes. */
export function digest (set: string | null, key: Key): Buffer

/**
 * The state of a segment and its owner, read without attaching, for monitoring.
 *
 * @throws {SegmentError} if there is no such segment.
 */
export function status (settings?: ReaderSettings): Status

/** The version of this package. */
export const version: string

/** The kind of an error, the same in every language. */
export type ErrorCode =
  | 'ARGUMENT' | 'CLOSED' | 'WRONG_THREAD' | 'INTERNAL' | 'FORKED' | 'READ_ONLY'
  | 'CONFIG' | 'CONNECT' | 'SEGMENT' | 'OTHER_CLUSTER' | 'OTHER_HOSTS' | 'TEND' | 'NO_MAP_YET'
  | 'THREAD' | 'DESCRIPTOR'
  | 'ROUTE' | 'NO_MAP' | 'CLUSTER_EMPTY' | 'NAMESPACE_UNKNOWN' | 'NO_NODE' | 'OUT_OF_RANGE'
  | 'FOREIGN_HANDLE' | 'MAP'

/** Any error of tendmap: `error instanceof TendmapError` holds for all of these classes. */
export class TendmapError extends Error {
  constructor (code: ErrorCode, message: string, options?: ErrorOptions)
  readonly code: ErrorCode
}
/** An argument of a type that the call does not take. */
export class ArgumentTypeError extends TypeError {
  constructor (message: string)
  readonly code: 'ARGUMENT'
}
/** An argument of a value that the call does not take. */
export class ArgumentError extends TendmapError {}
/** The client, the reader or the simulated cluster is closed. */
export class ClosedError extends TendmapError {}
/** Connecting failed. */
export class ConnectError extends TendmapError {}
/** A setting is unknown, or its value is out of its range. */
export class ConfigError extends ConnectError {}
/** The segment's files can't be created, attached or read. */
export class SegmentError extends ConnectError {}
/** Routing failed. */
export class RouteError extends TendmapError {}

/** How long something took, since the segment was created. */
export interface Times {
  count: number
  sumUs: number
  /** `upToUs` is inclusive, and null for the last bucket. */
  buckets: { upToUs: number | null, count: number }[]
}

/** The state of a segment and its owner: the fields of `tendmap status --json`, in camelCase. */
export interface Status {
  backend: 'file' | 'sysv' | null
  path: string | null
  shmid: number | null
  user: number | null
  bytes: number
  layoutVersion: number
  key: number
  generation: number
  retired: boolean
  clusterName: string | null
  term: number
  sequence: number
  ownerPid: number | null
  ownerAlive: boolean
  abdicated: boolean
  heartbeatAgeMs: number | null
  tendedAgeMs: number | null
  tendIntervalMs: number | null
  nodes: number
  members: {
    id: string
    address: string
    build: string | null
    /** Consecutive passes in which it did not answer the owner; null = not known. */
    failures: number | null
    lastError: string | null
    lastErrorAgeMs: number | null
  }[]
  maxNodes: number
  maxNamespaces: number
  maxReplicas: number
  namespaces: {
    name: string
    replicationFactor: number
    /** The number of replicas that routes can use. */
    routableReplicas: number
    strongConsistency: boolean
    /** Partitions without a master. */
    holes: number
  }[]
  publications: number
  takeovers: number
  refusedNodes: number
  tends: number
  tendErrors: number
  passUs: number | null
  bytesIn: number
  failingNodes: number
  askErrors: number
  badReplies: number
  /** Null if a new owner has not continued them yet. */
  passTimes: Times | null
  publicationTimes: Times | null
  conditions: { condition: string, passes: number, count: number }[]
  lastError: string | null
  lastErrorAgeMs: number | null
  shortage: string | null
  /** Nodes that left within the last ten minutes. */
  departed: { id: string, ageMs: number, reason: string }[]
  attached: number | null
  healthy: boolean
  problems: string[]
  remarks: string[]
}

/** What all events have. */
interface EventBase<Type extends string> {
  type: Type
  level: 'debug' | 'info' | 'warning'
  /** When it happened. */
  time: Date
}

/**
 * Something that an operator wants to know: `event.type` names it and decides which values
 * it has.
 */
export type ClientEvent =
  | EventBase<'owner'> & { generation: number, term: number }
  | EventBase<'takeover'> & { generation: number, term: number }
  | EventBase<'follower'> & { generation: number, term: number }
  | EventBase<'fenced'> & { term: number }
  | EventBase<'new-owner'> & { term: number, ownerPid: number | null }
  | EventBase<'moved'> & { generation: number }
  | EventBase<'published'> & { sequence: number, nodes: number, namespaces: number }
  | EventBase<'tend-failed'> & { error: string }
  | EventBase<'tend-recovered'> & { failedForMs: number }
  | EventBase<'abdicated'> & { failedForMs: number }
  | EventBase<'grown'> & { generation: number, maxNodes: number, maxNamespaces: number, maxReplicas: number }
  | EventBase<'offered'>
  | EventBase<'no-room'> & { error: string }
  | EventBase<'capacity-ignored'> & { what: string }
  | EventBase<'read-only'> & { segment: string, reason: string }
  | EventBase<'secret-exposed'> & { path: string, mode: string }
  | EventBase<'trouble'> & { error: string }
  | EventBase<'node-added'> & { node: string, address: string }
  | EventBase<'node-removed'> & { node: string, reason: string }
  | EventBase<'node-moved'> & { node: string, from: string, to: string }
  | EventBase<'node-upgraded'> & { node: string, from: string, to: string }
  | EventBase<'node-failed'> & { node: string, address: string, error: string }
  | EventBase<'node-unresolved'> & { node: string, error: string }
  | EventBase<'node-recovered'> & { node: string }
  | EventBase<'node-refused'> & { node: string, capacity: number }
  | EventBase<'peers-cut-off'> & { listed: number, followed: number, ceiling: number, node: string | null }
  | EventBase<'namespace-added'> & { namespace: string }
  | EventBase<'namespace-removed'> & { namespace: string }
  | EventBase<'namespace-refused'> & { namespace: string, capacity: number }
  | EventBase<'namespaces-cut-off'> & { listed: number, ceiling: number, node: string, byNode: number }
  | EventBase<'bad-reply'> & { node: string, error: string }
  | EventBase<'bad-entry'> & { node: string, list: string, entry: string, problem: string }
  | EventBase<'no-alternate-address'> & { node: string, setting: string }
  | EventBase<'cluster-renamed'> & { from: string | null, to: string | null }
  | EventBase<'claims-contradict'> & { partitions: number, nodes: string[] }
  | EventBase<'claims-agree'>
  | EventBase<'c-client-created'> & { cClientKey: number, shmId: number }
  | EventBase<'c-client-took-over'> & { cClientKey: number, shmId: number, fromPid: number | null }
  | EventBase<'c-client-standby'> & { cClientKey: number, mirrorPid: number }
  | EventBase<'c-client-waiting'> & { cClientKey: number, ownerPid: number }
  | EventBase<'c-client-refused'> & { cClientKey: number, reason: string }
  | EventBase<'c-client-fenced'> & { cClientKey: number, ownerPid: number }
  | EventBase<'c-client-removed'> & { cClientKey: number, shmId: number }
  | EventBase<'c-client-node-left-out'> & { cClientKey: number, node: string, capacity: number }
  | EventBase<'c-client-namespace-left-out'> & { cClientKey: number, namespace: string, capacity: number }
  | EventBase<'c-client-slot-reused-early'> & { cClientKey: number, node: string, slot: number, outOfUseMs: number }
  | EventBase<'c-client-mended'> & { cClientKey: number, words: number }
  | EventBase<'c-client-locks-freed'> & { cClientKey: number, locks: number }
  | EventBase<'c-client-released'> & { cClientKey: number }
  | EventBase<'c-client-trouble'> & { cClientKey: number, error: string }
  | EventBase<'events-lost'> & { count: number }
