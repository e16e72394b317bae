'use strict'
// Clients and readers.

const { EventEmitter } = require('node:events')
const { inspect } = require('node:util')
const { Batch, digests, prepared } = require('./batch.js')
const { Changes, Waits, difference, readOptions } = require('./changes.js')
const { ClosedError, translated } = require('./errors.js')
const { Double, big, bytes, digest, integer, isBytes, readDigest, wrongKey } = require('./keys.js')
const { done, hold, native, raw, ticket } = require('./native.js')
const { BOUND, Node, Route } = require('./node.js')
const settings = require('./settings.js')
const { kind, name, options, signal, text, whole, wrongType } = require('./values.js')

const { routeNumber, routeText } = raw
const { isSafeInteger } = Number

/** Only this module makes clients. */
const OPENED = Symbol('opened')
// What a client has besides a reader, and what both share with it.
const [CHANGE, EVENTS, ID, LOOKED, ROLE] = ['change', 'events', 'id', 'looked', 'role'].map((name) => Symbol(name))
/** The number of sets, policies and namespaces that are remembered. */
const SCOPES = 4096
// As in src/lookup.rs.
const SLOTS = 8192
const REPLICAS = 256
const NEWS = ['change', 'node-added', 'node-removed', 'role', 'event', 'close']

/** Closes what the program has lost. */
const lost = new FinalizationRegistry((id) => {
  const number = ticket(() => done(number))
  native.closeAside(id, number)
})

/** JSON of the library with names as in JavaScript. */
function parsed (json) {
  return JSON.parse(json, (_, value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const renamed = {}
    for (const name of Object.keys(value)) renamed[settings.camel(name)] = value[name]
    return renamed
  })
}

/** An event of the library: its name is its `type`. */
function event (json) {
  const { event, time, level, ...values } = parsed(json)
  return { type: event.replaceAll('_', '-'), level, time: new Date(time * 1000), ...values }
}

/** An emitter whose first property is that one, before any listener, which can't be cloned either. */
function Emitter () {
  this._thread = BOUND
  EventEmitter.call(this)
}
Object.setPrototypeOf(Emitter.prototype, EventEmitter.prototype)
Object.setPrototypeOf(Emitter, EventEmitter)

/** What a client and a reader have in common. */
class Base extends Emitter {
  #id
  #closed = false
  /** What `closeAsync` returns. */
  #closing = null
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
  #waits = new Waits()
  #ticket = null
  /**
   * What the program knows, from events or because it has looked while there were none: a
   * thread may have changed the map before a listener is added in the same step.
   */
  #seen = null
  #role = null
  #release = null

  constructor (opened, id) {
    if (opened !== OPENED) {
      const name = new.target.name
      throw wrongType(`new ${name}(); wanted ${name === 'Reader' ? 'Reader.open(settings)' : 'await Client.connect(settings)'}`)
    }
    super()
    this.#id = id
    lost.register(this, id, this)
  }

  on (name, listener) { return this.#update(super.on(name, listener)) }
  addListener (name, listener) { return this.on(name, listener) }
  prependListener (name, listener) { return this.#update(super.prependListener(name, listener)) }
  removeListener (name, listener) { return this.#update(super.removeListener(name, listener)) }
  off (name, listener) { return this.removeListener(name, listener) }
  removeAllListeners (...name) { return this.#update(super.removeAllListeners(...name)) }

  /** It is watched while there are listeners. */
  #update (self) {
    if (this.#closed) return self
    if (this.#listens()) {
      this.#watch()
      // What has happened since the program looked.
      setImmediate(() => this.#look()).unref()
    } else {
      this.#relax()
    }
    return self
  }

  #listens () {
    return NEWS.some((name) => this.listenerCount(name) > 0)
  }

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
  nodes () {
    const now = this.#snapshot()
    if (this.#ticket === null) this.#seen = now
    return now.nodes
  }

  #snapshot () {
    // Any number of loops may ask for the same one.
    if (this.#last !== null && this.#last.sequence === native.sequence(this.#id)) return this.#last
    const { sequence, nodes } = native.nodes(this.#id)
    this.#last = { sequence, nodes: Object.freeze(nodes.map((described) => this.#object(described))) }
    return this.#last
  }

  /** The number of the live publication. */
  get sequence () {
    const now = native.sequence(this.#id)
    if (this.#ticket !== null || this.#seen?.sequence === now) return now
    this.#seen = this.#known()
    return this.#seen.sequence
  }

  /** The snapshot; without nodes as long as no map was published. */
  #known () {
    try {
      return this.#snapshot()
    } catch (error) {
      if (error.code !== 'NO_MAP') throw error
      return { sequence: native.sequence(this.#id), nodes: Object.freeze([]) }
    }
  }

  /** The state of the segment and its owner. */
  status () {
    return parsed(native.status(this.#id))
  }

  /** Asks the owner, whichever process that is, to tend soon. */
  requestTend () {
    native.requestTend(this.#id)
  }

  setPreferredRacks (racks) {
    this[CHANGE]('preferredRacks', 'preferred_racks', racks)
  }

  [CHANGE] (name, known, value) {
    native.change(this.#id, known, settings.readOne(name, value))
  }

  get closed () {
    return this.#closed
  }

  /** Resolves with the live publication as soon as it is another than `sequence`. */
  async waitForChange (sequence, given) {
    const read = readOptions(given, ['timeout', 'signal', 'ref'])
    whole('sequence', sequence, 0, Number.MAX_SAFE_INTEGER)
    read.signal?.throwIfAborted()
    const ready = () => {
      const now = native.sequence(this.#id)
      return now === sequence ? undefined : now
    }
    const now = ready()
    if (now !== undefined || read.timeout === 0) return now ?? sequence
    return (await this.#wait(ready, read)) ?? sequence
  }

  /** An async iterator over the changes from now on. */
  changes (given) {
    return new Changes({
      snapshot: () => this.#snapshot(),
      next: (ready, options) => this.#wait(ready, { ...options, timeout: Infinity }),
      look: () => this.#waits.look()
    }, given)
  }

  #wait (ready, options) {
    return this.#waits.wait(ready, options, () => this.#watch(), () => this.#relax())
  }

  /** Starts to watch. */
  #watch () {
    if (this.#ticket !== null) return
    const number = ticket(() => this.#look())
    try {
      native.watch(this.#id, number)
    } catch (error) {
      done(number)
      throw error
    }
    this.#ticket = number
    this.#seen ??= this.#known()
    this.#role ??= this[ROLE]()
  }

  /** Stops to watch when nobody waits. */
  #relax () {
    if (this.#ticket === null || this.#listens() || this.#waits.size > 0) return
    done(this.#ticket)
    this.#ticket = null
    if (!this.#closed) native.unwatch(this.#id)
  }

  [ROLE] () {
    return null
  }

  [LOOKED] (role) {
    if (this.#ticket === null) this.#role = role
    return role
  }

  /** The next event of the library. */
  [EVENTS] () {
    return undefined
  }

  /** There is news: a publication, an event, or the end. */
  #look () {
    if (this.#ticket === null || this.#closed) return
    let end
    try {
      native.news(this.#id)
    } catch (error) {
      end = error
    }
    const [before, previous] = [this.#seen, this.#role]
    try {
      this.#role = this[ROLE]()
      this.#seen = this.#snapshot()
    } catch {
      // There is no map at the moment, as when another segment was just created.
    }
    const [now, role] = [this.#seen, this.#role]
    // A listener may close it.
    const tell = (...event) => this.#closed || this.#tell(...event)
    this.#waits.look()
    if (now.sequence !== before.sequence) {
      const change = difference(before, now)
      tell('change', change)
      for (const node of change.removed) tell('node-removed', node)
      for (const node of change.added) tell('node-added', node)
    }
    if (role !== previous) tell('role', role, previous)
    // A listener for one event leaves the others to the next.
    while (this.listenerCount('event') > 0 && !this.#closed) {
      const event = this[EVENTS]()
      if (event === undefined) break
      tell('event', event)
    }
    if (end !== undefined && !this.#closed) this.#end(end)
  }

  /** An exception of a listener is the program's, and hides no other event. */
  #tell (name, ...values) {
    try {
      this.emit(name, ...values)
    } catch (error) {
      process.nextTick(() => { throw error })
    }
  }

  /** It was closed by something else than `close`. */
  #end (error) {
    this.#waits.fail(error)
    if (error instanceof ClosedError) this.#tell('close')
    else if (this.listenerCount('error') > 0) this.#tell('error', error)
  }

  /** Keeps the process running while it is open. */
  ref () {
    if (!this.#closed) this.#release ??= hold()
    return this
  }

  /** Undoes `ref`. */
  unref () {
    this.#release?.()
    this.#release = null
    return this
  }

  /** Closes; it is closed when this returns. */
  close () {
    if (!this.#leave()) return
    native.close(this.#id)
    this.#gone()
  }

  /** Closes on another thread. */
  async closeAsync () {
    await (this.#closing ??= this.#closeAside())
  }

  async #closeAside () {
    if (!this.#leave()) return
    const release = hold()
    try {
      await new Promise((resolve, reject) => {
        const number = ticket(() => { done(number); resolve() })
        try {
          native.closeAside(this.#id, number)
        } catch (error) {
          done(number)
          reject(error)
        }
      })
    } finally {
      release()
      this.#gone()
    }
  }

  /** Whether it was open. */
  #leave () {
    if (this.#closed) return false
    this.#closed = true
    this.#namespace = this.#set = this.#policy = undefined
    lost.unregister(this)
    return true
  }

  #gone () {
    this.unref()
    if (this.#ticket !== null) done(this.#ticket)
    this.#ticket = this.#seen = this.#last = null
    this.#nodes = []
    this.#waits.fail(new ClosedError('CLOSED', `the ${this instanceof Client ? 'client' : 'reader'} is closed`))
    this.#tell('close')
  }

  [ID] () {
    return this.#id
  }

  [inspect.custom] () {
    return `${this.constructor.name} { ${this.closed ? 'closed' : 'open'} }`
  }
}

for (const [symbol, name] of [[Symbol.dispose, 'close'], [Symbol.asyncDispose, 'closeAsync']]) {
  if (symbol) Object.defineProperty(Base.prototype, symbol, { value () { return this[name]() } })
}

/** A process's part in a cluster's map. */
class Client extends Base {
  /** Events that no listener has heard yet, the oldest first. */
  #taken = []

  /** Connects; the event loop goes on meanwhile. */
  static async connect (given, others) {
    const wanted = signal(options('options', others, ['signal']).signal)
    const [names, values] = settings.read(given)
    wanted?.throwIfAborted()
    const release = hold()
    return await new Promise((resolve, reject) => {
      let aborted = false
      const abort = () => {
        aborted = true
        release()
        reject(wanted.reason)
      }
      const number = ticket(() => {
        done(number)
        wanted?.removeEventListener('abort', abort)
        release()
        if (aborted) return native.discard(number)
        try {
          resolve(new this(OPENED, native.claim(number)))
        } catch (error) {
          reject(error)
        }
      })
      try {
        native.connect(names, values, number)
      } catch (error) {
        done(number)
        release()
        return reject(error)
      }
      wanted?.addEventListener('abort', abort, { once: true })
    })
  }

  /** Connects, and blocks the event loop for that time. */
  static connectSync (given) {
    return new this(OPENED, native.connectNow(...settings.read(given)))
  }

  /** This process's role. */
  get role () {
    return this[LOOKED](this[ROLE]())
  }

  [ROLE] () {
    return native.role(this[ID]())
  }

  [EVENTS] () {
    if (this.#taken.length === 0) this.#taken = native.events(this[ID]()).map(event)
    return this.#taken.shift()
  }

  /** The events that were not returned yet, the oldest first. */
  events () {
    const later = native.events(this[ID]()).map(event)
    return [...this.#taken.splice(0), ...later]
  }

  setTendInterval (interval) {
    this[CHANGE]('tendInterval', 'tend_interval', interval)
  }

  setPassword (password) {
    this[CHANGE]('password', 'password', password)
  }
}

/** Reads the map, and changes nothing. */
class Reader extends Base {
  /** Attaches to the newest segment under the key. */
  static open (given = {}) {
    return new this(OPENED, native.read(...settings.read(given, { hosts: false })))
  }
}

/** The state of a segment and its owner, without attaching. */
function status (given = {}) {
  return parsed(native.look(...settings.read(given, { hosts: false })))
}

module.exports = { Client, Reader, digest, status }
