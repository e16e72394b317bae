'use strict'
// Nodes and routes.

const { inspect } = require('node:util')

/**
 * In a property of clients, readers and nodes: `postMessage` and `structuredClone` would make
 * an empty object of them; they refuse a symbol, and their error has its text.
 */
const BOUND = Symbol('a Client, a Reader or a Node of tendmap belongs to its thread: each thread connects for itself')

/** A node of the cluster. */
class Node {
  _thread = BOUND
  #described
  /** Any value of the application, such as a connection pool. */
  state = undefined

  constructor (described) {
    this.#described = described
  }

  get index () { return this.#described.index }
  get incarnation () { return this.#described.incarnation }
  get name () { return this.#described.name }
  get host () { return this.#described.host }
  get port () { return this.#described.port }
  get address () { return this.#described.address }
  get tlsName () { return this.#described.tlsName ?? null }
  get build () { return this.#described.build ?? null }

  /** Whether it is that node at that address; then it has that build now. */
  static is (node, described) {
    const known = node.#described
    const same = known.incarnation === described.incarnation && known.name === described.name &&
      known.address === described.address && known.tlsName === described.tlsName
    if (same) node.#described = described
    return same
  }

  toJSON () {
    const { index, incarnation, name, host, port, address, tlsName, build } = this
    return { index, incarnation, name, host, port, address, tlsName, build }
  }

  [inspect.custom] () {
    return `Node { ${this.name} at ${this.address} }`
  }
}

/** The route of a key, as `locate` and `retry` return it. */
class Route {
  constructor (node, namespace, partition, replica, sequence, policy, attempt) {
    this.node = node
    this.namespace = namespace
    this.partition = partition
    this.replica = replica
    this.sequence = sequence
    this.policy = policy
    this.attempt = attempt
  }
}

module.exports = { BOUND, Node, Route }
