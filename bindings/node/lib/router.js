'use strict'
// Routing: the nodes of keys, and the objects of nodes.

const { EventEmitter } = require('node:events')
const { Batch, digests, prepared } = require('./batch.js')
const { translated } = require('./errors.js')
const { Double, big, bytes, integer, isBytes, readDigest, wrongKey } = require('./keys.js')
const { native, raw } = require('./native.js')
const { BOUND, Node, Route } = require('./node.js')
const { kind, name, text, whole, wrongType } = require('./values.js')

const { routeNumber, routeText } = raw
const { isSafeInteger } = Number

/** The number of sets, policies and namespaces that are remembered. */
const SCOPES = 4096
// As in src/lookup.rs.
const SLOTS = 8192
const REPLICAS = 256
// For the classes that extend it.
const [FORGET, ID, SNAPSHOT] = ['forget', 'id', 'snapshot'].map((name) => Symbol(name))

/** An emitter whose first property is that one, before any listener, which can't be cloned either. */
function Emitter () {
  this._thread = BOUND
  EventEmitter.call(this)
}
Object.setPrototypeOf(Emitter.prototype, EventEmitter.prototype)
Object.setPrototypeOf(Emitter, EventEmitter)

/** Routes keys by the map of one client or reader. */
class Router extends Emitter {
  #id
  // What was used last: callers pass the same names again and again.
  #namespace
  #set
  #policy
  #scope = 0
  #scopes = new Map()
  #count = 0
  /** The objects of nodes by slot. */
  #nodes = []
  /** The last snapshot. */
  #last = null

  constructor (id) {
    super()
    this.#id = id
  }

  /** The number of the client or reader in the addon. */
  get [ID] () { return this.#id }

  /** The node to ask for a key. */
  route (namespace, set, key, policy = 'sequence') {
    if (namespace !== this.#namespace || set !== this.#set || policy !== this.#policy) {
      this.#enter(namespace, set, policy)
    }
    let slot
    try {
      if (typeof key === 'number') {
        slot = routeNumber(this.#id, this.#scope, isSafeInteger(key) ? key : integer(key))
      } else if (typeof key === 'string') {
        slot = routeText(this.#id, this.#scope, key.isWellFormed() ? key : text('key', key))
      } else {
        slot = this.#other(key)
      }
    } catch (error) {
      throw translated(error)
    }
    return this.#nodes[slot] ?? this.#learn(slot)
  }

  /** Routes a key of a rarer type. */
  #other (key) {
    if (typeof key === 'bigint') return raw.routeBig(this.#id, this.#scope, big(key))
    if (isBytes(key)) return raw.routeBytes(this.#id, this.#scope, bytes(key))
    if (Double.is(key)) return raw.routeDouble(this.#id, this.#scope, key.value)
    throw wrongKey(key)
  }

  /** As `route`, for a digest that was computed before. */
  routeDigest (namespace, digest, policy = 'sequence') {
    this.#enter(namespace, '', policy)
    return this.#node(native.routeDigest(this.#id, this.#scope, readDigest(digest)))
  }

  /** The route of a key, which can be retried. */
  locate (namespace, set, key, policy = 'sequence') {
    this.#enter(namespace, set, policy)
    let found
    try {
      found = this.#located(key)
    } catch (error) {
      throw translated(error)
    }
    return this.#route(namespace, policy, 1, found)
  }

  #located (key) {
    if (typeof key === 'number') {
      return raw.locateNumber(this.#id, this.#scope, isSafeInteger(key) ? key : integer(key))
    }
    if (typeof key === 'string') return raw.locateText(this.#id, this.#scope, text('key', key))
    if (typeof key === 'bigint') return raw.locateBig(this.#id, this.#scope, big(key))
    if (isBytes(key)) return raw.locateBytes(this.#id, this.#scope, bytes(key))
    if (Double.is(key)) return raw.locateDouble(this.#id, this.#scope, key.value)
    throw wrongKey(key)
  }

  /** The next attempt after the node of `route` has failed a command. */
  retry (route) {
    if (!(route instanceof Route)) {
      throw wrongType(`route of type ${kind(route)}; wanted the Route of locate()`)
    }
    const { namespace, policy, partition, replica, node, attempt } = route
    whole("the route's partition", partition, 0, 2 ** 32 - 1)
    whole("the route's replica", replica, 0, REPLICAS - 1)
    whole("the index of the route's node", node?.index, 0, SLOTS / 2 - 1)
    this.#enter(namespace, '', policy)
    const found = native.retry(this.#id, this.#scope, partition, replica, node.index)
    return this.#route(namespace, policy, attempt + 1, found)
  }

  /** The nodes of many keys, all from one publication. */
  routeBatch (namespace, set, keys, policy = 'sequence') {
    return this.#batch(namespace, set, prepared(keys), policy)
  }

  /** As `routeBatch`, for digests that were computed before. */
  routeBatchDigests (namespace, all, policy = 'sequence') {
    return this.#batch(namespace, '', digests(all), policy)
  }

  #batch (namespace, set, [name, ...keys], policy) {
    this.#enter(namespace, set, policy)
    const { indexes, slots } = native[name](this.#id, this.#scope, ...keys)
    const nodes = []
    for (const slot of slots) {
      const node = this.#node(slot)
      nodes[node.index] = node
    }
    return new Batch(indexes, Object.freeze(nodes))
  }

  /** A route from the number that the addon makes of it: slot, replica and partition. */
  #route (namespace, policy, attempt, found) {
    const slot = found % SLOTS
    const rest = (found - slot) / SLOTS
    const replica = rest % REPLICAS
    const sequence = raw.locatedSequence(this.#id)
    const node = this.#node(slot - SLOTS / 2)
    return new Route(node, namespace, (rest - replica) / REPLICAS, replica, sequence, policy, attempt)
  }

  /** Selects a namespace, a set and a policy. */
  #enter (namespace, set, policy) {
    if (namespace === this.#namespace && set === this.#set && policy === this.#policy) return
    name('namespace', namespace)
    const plainSet = set === null ? '' : name('set', set)
    if (typeof policy !== 'string') throw wrongType(`policy of type ${kind(policy)}; wanted a string`)
    if (this.#count >= SCOPES) this.#forget()
    let sets = this.#scopes.get(policy)?.get(namespace)
    let scope = sets?.get(plainSet)
    if (scope === undefined) {
      scope = native.enter(this.#id, namespace, plainSet, policy)
      if (!this.#scopes.has(policy)) this.#scopes.set(policy, new Map())
      const namespaces = this.#scopes.get(policy)
      sets ??= new Map()
      namespaces.set(namespace, sets)
      sets.set(plainSet, scope)
      this.#count++
    }
    this.#namespace = namespace
    this.#set = set
    this.#policy = policy
    this.#scope = scope
  }

  /** A program may have any number of sets. */
  #forget () {
    this.#namespace = this.#set = this.#policy = undefined
    this.#scopes.clear()
    this.#count = 0
    native.leave(this.#id)
  }

  #node (slot) {
    return this.#nodes[slot] ?? this.#learn(slot)
  }

  /** The object of a node that the router has found for the first time. */
  #learn (slot) {
    const index = slot < 0 ? -1 - slot : slot
    return this.#object(native.describe(this.#id, index))
  }

  /** The same object as before while it is the same node at the same address. */
  #object (described) {
    const known = this.#nodes[described.index]
    if (known !== undefined && Node.is(known, described)) return known
    const node = new Node(described)
    this.#nodes[described.index] = node
    return node
  }

  /** The nodes of the last publication. */
  [SNAPSHOT] () {
    // Any number of loops may ask for the same one.
    if (this.#last !== null && this.#last.sequence === native.sequence(this.#id)) return this.#last
    const { sequence, nodes } = native.nodes(this.#id)
    this.#last = { sequence, nodes: Object.freeze(nodes.map((described) => this.#object(described))) }
    return this.#last
  }

  /** It is closed. */
  [FORGET] () {
    this.#namespace = this.#set = this.#policy = undefined
    this.#nodes = []
    this.#last = null
  }
}

module.exports = { FORGET, ID, Router, SNAPSHOT }
