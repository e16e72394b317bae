'use strict'
// Clients and readers.

const { digest } = require('./keys.js')
const { done, hold, native, ticket } = require('./native.js')
const { ID } = require('./router.js')
const { CHANGE, EVENTS, KIND, LOOKED, OPENED, ROLE, Session, parsed } = require('./session.js')
const settings = require('./settings.js')
const { options, signal } = require('./values.js')

/** An event of the library: its name is its `type`. */
function event (json) {
  const { event, time, level, ...values } = parsed(json)
  return { type: event.replaceAll('_', '-'), level, time: new Date(time * 1000), ...values }
}

/** A process's part in a cluster's map. */
class Client extends Session {
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

  get [KIND] () { return 'client' }

  /** This process's role. */
  get role () {
    return this[LOOKED](this[ROLE]())
  }

  [ROLE] () {
    return native.role(this[ID])
  }

  [EVENTS] () {
    if (this.#taken.length === 0) this.#taken = native.events(this[ID]).map(event)
    return this.#taken.shift()
  }

  /** The events that were not returned yet, the oldest first. */
  events () {
    const later = native.events(this[ID]).map(event)
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
class Reader extends Session {
  /** Attaches to the newest segment under the key. */
  static open (given = {}) {
    return new this(OPENED, native.read(...settings.read(given, { hosts: false })))
  }

  get [KIND] () { return 'reader' }
}

/** The state of a segment and its owner, without attaching. */
function status (given = {}) {
  return parsed(native.look(...settings.read(given, { hosts: false })))
}

module.exports = { Client, Reader, digest, status }
