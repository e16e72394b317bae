'use strict'
// What clients and readers have besides routing: news, waiting and closing.

const { setImmediate } = require('node:timers')
const { inspect } = require('node:util')
const { Changes, Waits, difference, readOptions } = require('./changes.js')
const { ClosedError } = require('./errors.js')
const { done, hold, native, ticket } = require('./native.js')
const { FORGET, ID, Router, SNAPSHOT } = require('./router.js')
const settings = require('./settings.js')
const { whole, wrongType } = require('./values.js')

/** Only this package makes clients. */
const OPENED = Symbol('opened')
// What a client has besides a reader, and what both share with it.
const [CHANGE, EVENTS, KIND, LOOKED, ROLE] = ['change', 'events', 'kind', 'looked', 'role'].map((name) => Symbol(name))
const NEWS = ['change', 'node-added', 'node-removed', 'role', 'event', 'close']

/** Closes what the program has lost. */
const lost = new FinalizationRegistry((id) => {
  const number = ticket(() => closed(id, number))
  native.closeAside(id, number)
})

/** The thread of `closeAside` has closed it. */
function closed (id, number) {
  done(number)
  native.close(id)
}

/** JSON of the library with names as in JavaScript. */
function parsed (json) {
  return JSON.parse(json, (_, value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const renamed = {}
    for (const name of Object.keys(value)) renamed[settings.camel(name)] = value[name]
    return renamed
  })
}

/** What a client and a reader have in common. */
class Session extends Router {
  #closed = false
  /** Whether nothing of it is left, as opposed to being closed at the moment. */
  #ended = false
  /** What `closeAsync` returns. */
  #closing = null
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
    super(id)
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

  /** The nodes of the last publication. */
  nodes () {
    const now = this[SNAPSHOT]()
    if (this.#ticket === null) this.#seen = now
    return now.nodes
  }

  /** The number of the live publication. */
  get sequence () {
    const now = native.sequence(this[ID])
    if (this.#ticket !== null || this.#seen?.sequence === now) return now
    this.#seen = this.#known()
    return this.#seen.sequence
  }

  /** The snapshot; without nodes as long as no map was published. */
  #known () {
    try {
      return this[SNAPSHOT]()
    } catch (error) {
      if (error.code !== 'NO_MAP') throw error
      return { sequence: native.sequence(this[ID]), nodes: Object.freeze([]) }
    }
  }

  /** The state of the segment and its owner. */
  status () {
    return parsed(native.status(this[ID]))
  }

  /** Asks the owner, whichever process that is, to tend soon. */
  requestTend () {
    native.requestTend(this[ID])
  }

  setPreferredRacks (racks) {
    this[CHANGE]('preferredRacks', 'preferred_racks', racks)
  }

  [CHANGE] (name, known, value) {
    native.change(this[ID], known, settings.readOne(name, value))
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
      const now = native.sequence(this[ID])
      return now === sequence ? undefined : now
    }
    const now = ready()
    if (now !== undefined || read.timeout === 0) return now ?? sequence
    return (await this.#wait(ready, read)) ?? sequence
  }

  /** An async iterator over the changes from now on. */
  changes (given) {
    return new Changes({
      snapshot: () => this[SNAPSHOT](),
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
      native.watch(this[ID], number)
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
    if (!this.#closed) native.unwatch(this[ID])
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
      native.news(this[ID])
    } catch (error) {
      end = error
    }
    const [before, previous] = [this.#seen, this.#role]
    try {
      this.#role = this[ROLE]()
      this.#seen = this[SNAPSHOT]()
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
    if (!this.#leave() && this.#closing === null) return
    // Also waits for the thread of `closeAsync`.
    native.close(this[ID])
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
      await new Promise((resolve) => {
        const number = ticket(() => {
          closed(this[ID], number)
          resolve()
        })
        native.closeAside(this[ID], number)
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
    this[FORGET]()
    lost.unregister(this)
    return true
  }

  #gone () {
    // `close` was called during a `closeAsync`.
    if (this.#ended) return
    this.#ended = true
    this.unref()
    if (this.#ticket !== null) done(this.#ticket)
    this.#ticket = this.#seen = null
    this.#waits.fail(new ClosedError('CLOSED', `the ${this[KIND]} is closed`))
    this.#tell('close')
  }

  [inspect.custom] () {
    return `${this.constructor.name} { ${this.closed ? 'closed' : 'open'} }`
  }
}

for (const [symbol, name] of [[Symbol.dispose, 'close'], [Symbol.asyncDispose, 'closeAsync']]) {
  if (symbol) Object.defineProperty(Session.prototype, symbol, { value () { return this[name]() } })
}

module.exports = { CHANGE, EVENTS, KIND, LOOKED, OPENED, ROLE, Session, parsed }
