'use strict'
// Waiting for changes of the map: promises and an async iterator.

const { hold } = require('./native.js')
const { ClosedError } = require('./errors.js')
const { options, signal, shown, wrongType, wrongValue, kind, flag } = require('./values.js')

/** What has changed between two snapshots of the nodes. */
function difference (before, now) {
  const gone = new Set(before.nodes)
  const added = now.nodes.filter((node) => !gone.delete(node))
  return Object.freeze({
    sequence: now.sequence,
    nodes: now.nodes,
    added: Object.freeze(added),
    removed: Object.freeze([...gone])
  })
}

/** Milliseconds; undefined = for ever. */
function milliseconds (value) {
  if (value === undefined || value === null) return Infinity
  if (typeof value !== 'number') throw wrongType(`timeout of type ${kind(value)}; wanted milliseconds from 0 on`)
  if (!(value >= 0)) throw wrongValue(`timeout is ${shown(value)}; wanted milliseconds from 0 on`)
  return value
}

function readOptions (given, known) {
  const read = options('options', given, known)
  return {
    signal: signal(read.signal),
    ref: read.ref === undefined ? true : flag('ref', read.ref),
    timeout: milliseconds(read.timeout)
  }
}

/** The longest timer of Node, in milliseconds. */
const LONGEST = 2 ** 31 - 1

/** All waits of one client or reader. */
class Waits {
  #waits = new Set()
  /** One listener for each signal: Node warns of more than ten. */
  #signals = new Map()

  get size () { return this.#waits.size }

  /**
   * Resolves with `ready()` as soon as that is not undefined, or with undefined after the
   * timeout. `begin` and `end` are called around each wait.
   */
  wait (ready, { signal, ref, timeout }, begin, end) {
    return new Promise((resolve, reject) => {
      let timer
      const release = ref ? hold() : () => {}
      // A timer that is longer would fire at once.
      const sleep = (left) => {
        const now = Math.min(left, LONGEST)
        timer = setTimeout(() => left > now ? sleep(left - now) : finish(() => resolve(undefined)), now)
        if (!ref) timer.unref()
      }
      const finish = (settle) => {
        if (!this.#waits.delete(wait)) return
        release()
        clearTimeout(timer)
        if (signal) this.#unhear(signal, abort)
        end()
        settle()
      }
      const wait = {
        look: () => {
          let found
          try {
            found = ready()
          } catch (error) {
            return finish(() => reject(error))
          }
          if (found !== undefined) finish(() => resolve(found))
        },
        fail: (error) => finish(() => reject(error))
      }
      const abort = () => finish(() => reject(signal.reason))
      this.#waits.add(wait)
      try {
        if (signal) this.#hear(signal, abort)
        begin()
      } catch (error) {
        return wait.fail(error)
      }
      // A change before the watch began.
      wait.look()
      if (this.#waits.has(wait) && timeout !== Infinity) {
        sleep(timeout)
      }
    })
  }

  #hear (signal, abort) {
    let heard = this.#signals.get(signal)
    if (heard === undefined) {
      const aborts = new Set()
      heard = { aborts, listener: () => { for (const abort of [...aborts]) abort() } }
      this.#signals.set(signal, heard)
      signal.addEventListener('abort', heard.listener, { once: true })
    }
    heard.aborts.add(abort)
  }

  #unhear (signal, abort) {
    const { aborts, listener } = this.#signals.get(signal)
    aborts.delete(abort)
    if (aborts.size > 0) return
    this.#signals.delete(signal)
    signal.removeEventListener('abort', listener)
  }

  /** There is news. */
  look () {
    for (const wait of [...this.#waits]) wait.look()
  }

  /** There will be no more. */
  fail (error) {
    for (const wait of [...this.#waits]) wait.fail(error)
  }
}

/** The iterator of `changes()`. `client` has `snapshot()` and `next(ready, options)`. */
class Changes {
  #client
  #options
  #last
  #ended = false
  /** Calls of `next` follow one another. */
  #previous = Promise.resolve()

  constructor (client, given) {
    this.#client = client
    this.#options = readOptions(given, ['signal', 'ref'])
    this.#last = client.snapshot()
  }

  next () {
    const next = this.#previous.then(() => this.#next())
    this.#previous = next.catch(() => {})
    return next
  }

  async #next () {
    if (this.#ended) return { done: true, value: undefined }
    try {
      this.#options.signal?.throwIfAborted()
      const change = await this.#client.next(() => {
        if (this.#ended) return null
        const now = this.#client.snapshot()
        if (now.sequence === this.#last.sequence) return undefined
        const change = difference(this.#last, now)
        this.#last = now
        return change
      }, this.#options)
      if (change === null) return { done: true, value: undefined }
      return { done: false, value: change }
    } catch (error) {
      this.#ended = true
      // A closed client ends the loop.
      if (error instanceof ClosedError) return { done: true, value: undefined }
      throw error
    }
  }

  async return (value) {
    this.#ended = true
    this.#client.look()
    return { done: true, value }
  }

  async throw (error) {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator] () {
    return this
  }

  async [Symbol.asyncDispose] () {
    await this.return()
  }
}

module.exports = { Changes, Waits, difference, readOptions }
