'use strict'
// Routing for Node 20 or later through the C library and koffi (npm install koffi@2).
//
//   const tendmap = new Tendmap('127.0.0.1:3000', { shm_key: 0xA7000000 })
//   tendmap.route('test', 'users', 42).address   // '10.0.0.1:3000'
//
// One object for each thread (the main one, and workers of worker_threads); the
// objects of one process share an attachment. Close it when the process ends.

const koffi = needed()

const SEQUENCE = 1
const ERROR_ARGUMENT = 1
const ERROR_CLOSED = 2
const ROLES = ['owner', 'standby', 'follower', 'closed']
const SMALLEST = -(2n ** 63n)
const LARGEST = 2n ** 63n - 1n

// The part of tendmap.h that this class needs.
koffi.opaque('tendmap_config')
koffi.opaque('tendmap_client')
koffi.opaque('tendmap_router')
koffi.struct('tendmap_route', {
  sequence: 'uint64_t',
  state: 'void *',
  partition: 'uint32_t',
  incarnation: 'uint32_t',
  node: 'uint16_t',
  replica: 'uint16_t'
})
koffi.struct('tendmap_node', {
  index: 'uint16_t',
  port: 'uint16_t',
  incarnation: 'uint32_t',
  name: koffi.array('char', 32, 'String'),
  host: koffi.array('char', 64, 'String'),
  address: koffi.array('char', 64, 'String'),
  tls_name: koffi.array('char', 256, 'String'),
  build: koffi.array('char', 32, 'String')
})

/** The interval between two checks of a wait, in milliseconds. */
const LOOK = 20

function needed () {
  try {
    return require('koffi')
  } catch (cause) {
    throw new Error(`koffi can't be used: ${cause.message.split('\n')[0]}; npm install koffi@2`, { cause })
  }
}

const loaded = new Map()

function load (path) {
  text('a library', path)
  if (loaded.has(path)) return loaded.get(path)
  let library
  try {
    library = koffi.load(path)
  } catch (error) {
    refuse(`${path} can't be used: ${error.message}; install it (bindings/c/install.sh, then ` +
      'ldconfig), or name it by TENDMAP_LIBRARY')
  }
  const declared = {}
  for (const declaration of [
    'tendmap_config *tendmap_config_new(const char *hosts)',
    'int tendmap_config_set(tendmap_config *config, const char *name, const char *value)',
    'void tendmap_config_free(tendmap_config *config)',
    'tendmap_client *tendmap_connect(const tendmap_config *config)',
    'int tendmap_close(tendmap_client *client)',
    'int tendmap_client_role(const tendmap_client *client)',
    'void *tendmap_client_status_json(const tendmap_client *client)',
    'void tendmap_string_free(void *text)',
    'int tendmap_wait_for_change(const tendmap_client *client, uint64_t sequence,' +
      ' uint64_t timeout_ms, _Out_ uint64_t *now)',
    'tendmap_router *tendmap_router_new(const tendmap_client *client, void *free_state)',
    'int tendmap_router_free(tendmap_router *router)',
    'int tendmap_router_namespace(tendmap_router *router, const char *name, _Out_ uint64_t *out)',
    'int tendmap_router_node(tendmap_router *router, uint16_t node, _Out_ tendmap_node *out)',
    'int tendmap_route_integer(tendmap_router *router, uint64_t name_space, const char *set,' +
      ' int64_t key, uint32_t policy, _Out_ tendmap_route *out)',
    'int tendmap_route_string(tendmap_router *router, uint64_t name_space, const char *set,' +
      ' const char *key, size_t length, uint32_t policy, _Out_ tendmap_route *out)',
    'int tendmap_last_error_code()',
    'const char *tendmap_last_error()'
  ]) {
    const name = /(\w+)\(/.exec(declaration)[1]
    declared[name.slice('tendmap_'.length)] = library.func(declaration)
  }
  loaded.set(path, declared)
  return declared
}

/** An error; `code` is a tendmap_error of tendmap.h. */
class TendmapError extends Error {
  constructor (code, text) {
    super(text)
    this.name = 'TendmapError'
    this.code = code
  }
}

function refuse (text) {
  throw new TendmapError(ERROR_ARGUMENT, text)
}

/** Settings whose value may be any text. */
const TEXTS = ['cluster_name', 'user', 'password', 'tls_cafile', 'tls_certfile', 'tls_keyfile',
  'shm_directory']

/** The kind of a value, for errors. */
function kind (value) {
  if (value === null) return 'null'
  if (Number.isNaN(value)) return 'NaN'
  return Array.isArray(value) ? 'array' : typeof value
}

/** Half a surrogate pair is refused: the conversion to UTF-8 would silently replace it. */
function wellFormed (what, value) {
  if (typeof value !== 'string') refuse(`${what} of type ${kind(value)}; wanted a string`)
  if (!value.isWellFormed()) refuse(`${what} with half a surrogate pair${shown(what, value)}`)
  return value
}

/** A text for C, which ends at a zero byte: an inner one would silently truncate it. */
function text (what, value) {
  wellFormed(what, value)
  if (value.includes('\0')) {
    refuse(`${what} with a zero byte${shown(what, value)}; only keys may have one`)
  }
  return value
}

function shown (what, value) {
  return what === 'password' ? '' : `, ${JSON.stringify(value)}`
}

/** The value of a setting as text. */
function setting (name, value) {
  const given = typeof value
  const plain = given === 'boolean' || given === 'bigint' || Number.isFinite(value)
  if (given !== 'string' && !plain) {
    refuse(`${name} is ${kind(value)}; wanted a string, a number or a boolean`)
  }
  return text(name, plain && !TEXTS.includes(name) ? String(value) : value)
}

/** A publication: an unsigned whole number of 64 bits. */
function publication (sequence) {
  const whole = typeof sequence === 'bigint' || Number.isSafeInteger(sequence)
  if (!whole || sequence < 0 || sequence > 2n ** 64n - 1n) {
    refuse(`sequence ${described(sequence)} of type ${kind(sequence)}; wanted that of a route or a status`)
  }
  return sequence
}

class Tendmap {
  #c
  #client = null
  #router = null
  #namespaces = new Map()
  #waits = new Set()
  #timer = null
  /** The number of waits that keep the process running. */
  #held = 0

  /**
   * `settings` are those of tendmap_config_set(). `library` is the value of
   * TENDMAP_LIBRARY if it is not given, or else libtendmap.so.0.
   */
  constructor (hosts, settings = {}, library = process.env.TENDMAP_LIBRARY ?? 'libtendmap.so.0') {
    this.#c = load(library)
    if (typeof settings !== 'object' || settings === null || Symbol.iterator in settings) {
      refuse(`settings of type ${kind(settings)}; wanted an object such as { shm_key: 0xA7000000 }`)
    }
    const config = this.#made(this.#c.config_new(text('hosts', hosts)))
    try {
      for (const [name, value] of Object.entries(settings)) {
        const known = text('the name of a setting', name)
        this.#check(this.#c.config_set(config, known, setting(known, value)))
      }
      this.#client = this.#made(this.#c.connect(config))
    } finally {
      this.#c.config_free(config)
    }
    this.#router = this.#made(this.#c.router_new(this.#client, null))
  }

  /**
   * The node of a key: a whole number of 64 bits (Number or BigInt) or a string. The set
   * '' means no set. `sequence` is the publication that the route was read from.
   */
  route (namespace, set, key) {
    const router = this.#open(this.#router)
    let number = this.#namespaces.get(namespace)
    if (number === undefined) number = this.#resolve(namespace)
    text('a set', set)
    const route = {}
    if (typeof key === 'string') {
      const bytes = Buffer.from(wellFormed('a key', key))
      this.#check(this.#c.route_string(router, number, set, bytes, bytes.length, SEQUENCE, route))
    } else {
      this.#check(this.#c.route_integer(router, number, set, integer(key), SEQUENCE, route))
    }
    const node = {}
    this.#check(this.#c.router_node(router, route.node, node))
    const { name, address, host, port } = node
    return { name, address, host, port, partition: route.partition, sequence: route.sequence }
  }

  /** owner, standby, follower or closed */
  get role () {
    const role = this.#c.client_role(this.#open(this.#client))
    if (role < 0) throw this.#error()
    return ROLES[role]
  }

  /** The output of `tendmap status --json`. */
  status () {
    const json = this.#made(this.#c.client_status_json(this.#open(this.#client)))
    try {
      return JSON.parse(koffi.decode(json, 'char', -1))
    } finally {
      this.#c.string_free(json)
    }
  }

  /**
   * Resolves with the live publication as soon as it differs from `sequence` (that of a
   * route or a status), or after `timeout` milliseconds; without a timeout it waits for
   * ever. Closing rejects it with an error, `signal` (an AbortSignal) with its reason.
   * Until then it keeps the process running, unless `ref` is false.
   *
   * It occupies no thread: one timer checks all waits of this object, fifty times a
   * second.
   */
  async waitForChange (sequence, timeout = Infinity, { signal, ref = true } = {}) {
    this.#open(this.#client)
    publication(sequence)
    if (typeof timeout !== 'number' || !(timeout >= 0)) {
      refuse(`timeout ${described(timeout)} of type ${kind(timeout)}; wanted milliseconds from 0 on`)
    }
    signal?.throwIfAborted()
    const now = this.#live()
    // Numbers and BigInts are compared by value.
    // eslint-disable-next-line eqeqeq
    if (now != sequence || timeout === 0) return now
    return new Promise((resolve, reject) => {
      const wait = { sequence, until: performance.now() + timeout, ref, resolve, reject }
      wait.abort = () => this.#end(wait, () => reject(signal.reason))
      wait.free = () => signal?.removeEventListener('abort', wait.abort)
      signal?.addEventListener('abort', wait.abort)
      this.#waits.add(wait)
      if (ref) this.#held++
      this.#watch()
    })
  }

  /** Hands the ownership over, if this process has it. Closing again does nothing. */
  close () {
    if (this.#client === null) return
    const [router, client] = [this.#router, this.#client]
    this.#router = this.#client = null
    for (const wait of [...this.#waits]) this.#end(wait, () => wait.reject(closed()))
    this.#check(this.#c.router_free(router))
    this.#check(this.#c.close(client))
  }

  /** The live publication; this does not wait. */
  #live () {
    const now = [null]
    this.#check(this.#c.wait_for_change(this.#open(this.#client), 0, 0, now))
    return now[0]
  }

  /** Keeps the timer running while there are waits. */
  #watch () {
    if (this.#waits.size === 0) {
      clearInterval(this.#timer)
      this.#timer = null
      return
    }
    this.#timer ??= setInterval(() => this.#look(), LOOK)
    if (this.#held > 0) this.#timer.ref()
    else this.#timer.unref()
  }

  #look () {
    let now
    try {
      now = this.#live()
    } catch (error) {
      for (const wait of [...this.#waits]) this.#end(wait, () => wait.reject(error))
      return
    }
    const time = performance.now()
    for (const wait of [...this.#waits]) {
      // eslint-disable-next-line eqeqeq
      if (now != wait.sequence || time >= wait.until) this.#end(wait, () => wait.resolve(now))
    }
  }

  #end (wait, how) {
    wait.free()
    this.#waits.delete(wait)
    if (wait.ref) this.#held--
    this.#watch()
    how()
  }

  #resolve (namespace) {
    const out = [null]
    this.#check(this.#c.router_namespace(this.#router, text('a namespace', namespace), out))
    this.#namespaces.set(namespace, out[0])
    return out[0]
  }

  #open (handle) {
    if (handle === null) throw closed()
    return handle
  }

  #check (code) {
    if (code !== 0) throw this.#error()
  }

  #made (pointer) {
    if (pointer === null) throw this.#error()
    return pointer
  }

  #error () {
    return new TendmapError(this.#c.last_error_code(), this.#c.last_error())
  }
}

/** A value as text; some values can't be converted. */
function described (value) {
  try {
    return String(value)
  } catch {
    return 'something'
  }
}

function closed () {
  return new TendmapError(ERROR_CLOSED, 'the tendmap_client is closed')
}

function integer (key) {
  if (Number.isSafeInteger(key)) return key
  if (typeof key !== 'bigint') {
    refuse(`key ${described(key)} of type ${kind(key)}; wanted a string, a safe integer or a BigInt`)
  }
  if (key < SMALLEST || key > LARGEST) refuse(`key ${key}; wanted an integer of 64 bits`)
  return key
}

module.exports = { Tendmap, TendmapError }
