// A simulated cluster for tests.

/** What cluster to simulate. */
export interface SimulatedClusterOptions {
  /** The number of nodes (default: 3). */
  nodes?: number | undefined
  /** Replication factors by name (default: `{ test: 2 }`). */
  namespaces?: Record<string, number> | undefined
  /** Default: `"sim"`; `""` = the cluster has no name. */
  clusterName?: string | undefined
  /** The port of node 1; the others follow. 0 = any free ports (default). */
  basePort?: number | undefined
  /** Answer as the Enterprise Edition does, with racks. */
  enterprise?: boolean | undefined
}

/**
 * A cluster for tests, in a thread of this process, that speaks the real protocol on the
 * loopback. Nodes are numbered from 1 on.
 */
export class SimulatedCluster {
  constructor (options?: SimulatedClusterOptions)
  /** The addresses of all nodes, by number: pass them to `Client.connect` as `hosts`. */
  readonly hosts: string[]
  /** Kills a node: its sockets close at once, and the others notice after about two seconds. */
  kill (number: number): void
  /** Stops a node cleanly. */
  stop (number: number): void
  /** Starts a stopped node at its port. */
  start (number: number): void
  /** Stops a node as SIGSTOP would. */
  freeze (number: number): void
  /** Resumes a frozen node. */
  thaw (number: number): void
  /** Adds a node and returns its number. */
  add (): number
  /** Stops a node for good. */
  remove (number: number): void
  /** Restarts a node at another port and returns the port. */
  moveNode (number: number, port?: number): number
  /** Makes a node report another build, such as `"8.1.2.0"`. */
  setBuild (number: number, build: string): void
  /** Puts a node of an `enterprise` cluster into a rack for a namespace. */
  setRack (number: number, namespace: string, rack: number): void
  /** For each partition the names of the nodes that hold it, from the cluster's own state. */
  owners (namespace: string): string[][]
  /** Waits until the cluster is quiet; false if it is not within `timeout` milliseconds. */
  settle (timeout?: number): Promise<boolean>
  /** Stops all nodes; closing again does nothing. */
  close (): void
  [Symbol.dispose] (): void
}
