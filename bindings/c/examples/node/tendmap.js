'use strict'
// Routing for Node 20 or later through the C library and koffi (npm install koffi@2).
//
//   const tendmap = new Tendmap('127.0.0.1:3000', { shm_key: 0xA7000000 })
//   tendmap.route('test', 'users', 42).address   // '10.0.0.1:3000'
//
// One object for each thread (the main one, and workers of worker_threads); those
// of one process share an attachment. Close it when the process ends.

const koffi = require('koffi')

const SEQUENCE = 1
const ERROR_ARGUMENT = 1
const ERROR_CLOSED = 2
const ROLES = ['owner', 'standby', 'follower', 'closed']
const SMALLEST = -(2n ** 63n)
const LARGEST = 2n ** 63n - 1n

// What is needed of tendmap.h.
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
  tls_name: koffi.array('char', 256, 'String')
})

const loaded = new Map()

function load (path) {
  if (loaded.has(path)) return loaded.get(path)
  const library = koffi.load(path)
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

/** What went wrong; `code` is a tendmap_error of tendmap.h. */
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

/** Half a character would become another one on the way to UTF-8, unseen. */
function wellFormed (what, value) {
  if (typeof value !== 'string') refuse(`${what} of type ${typeof value}; wanted a string`)
  if (!value.isWellFormed()) refuse(`${what} with half a surrogate pair, ${JSON.stringify(value)}`)
  return value
}

/** A text for C, which ends at a zero byte: one amid it would cut it, unseen. */
function text (what, value) {
  wellFormed(what, value)
  if (value.includes('\0')) {
    refuse(`${what} with a zero byte, ${JSON.stringify(value)}; only keys may have one`)
  }
  return value
}

class Tendmap {
  #c
  #client = null
  #router = null
  #namespaces = new Map()

  /** `settings` are those of tendmap_config_set(). */
  constructor (hosts, settings = {}, library = 'libtendmap.so.0') {
    this.#c = load(library)
    const config = this.#made(this.#c.config_new(text('hosts', hosts)))
    try {
      for (const [name, value] of Object.entries(settings)) {
        this.#check(this.#c.config_set(config, text('a name', name), text('a value', String(value))))
      }
      this.#client = this.#made(this.#c.connect(config))
    } finally {
      this.#c.config_free(config)
    }
    this.#router = this.#made(this.#c.router_new(this.#client, null))
  }

  /** The node of a key: a whole number of 64 bits (Number or BigInt) or a string. */
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
    return { name, address, host, port, partition: route.partition }
  }

  /** owner, standby, follower or closed */
  get role () {
    const role = this.#c.client_role(this.#open(this.#client))
    if (role < 0) throw this.#error()
    return ROLES[role]
  }

  /** What `tendmap status --json` tells. */
  status () {
    const json = this.#made(this.#c.client_status_json(this.#open(this.#client)))
    try {
      return JSON.parse(koffi.decode(json, 'char', -1))
    } finally {
      this.#c.string_free(json)
    }
  }

  /**
   * Resolves with the publication that is live as soon as it is another one than
   * `sequence`, or after `timeout` milliseconds. It waits in a thread of Node's
   * pool; closing ends it.
   */
  waitForChange (sequence, timeout) {
    const client = this.#open(this.#client)
    const now = [null]
    return new Promise((resolve, reject) => {
      this.#c.wait_for_change.async(client, sequence, timeout, now, (failed, code) => {
        if (failed) return reject(failed)
        // The text of the error is that of the other thread.
        if (code !== 0) return reject(new TendmapError(code, 'the client was closed meanwhile'))
        resolve(now[0])
      })
    })
  }

  /** Hands the ownership over, if this process has it. A second time is no error. */
  close () {
    if (this.#client === null) return
    const [router, client] = [this.#router, this.#client]
    this.#router = this.#client = null
    this.#check(this.#c.router_free(router))
    this.#check(this.#c.close(client))
  }

  #resolve (namespace) {
    const out = [null]
    this.#check(this.#c.router_namespace(this.#router, text('a namespace', namespace), out))
    this.#namespaces.set(namespace, out[0])
    return out[0]
  }

  #open (handle) {
    if (handle === null) throw new TendmapError(ERROR_CLOSED, 'the tendmap_client is closed')
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

function integer (key) {
  if (Number.isSafeInteger(key)) return key
  if (typeof key !== 'bigint') {
    refuse(`key ${String(key)} of type ${typeof key}; wanted a string, a safe integer or a BigInt`)
  }
  if (key < SMALLEST || key > LARGEST) refuse(`key ${key}; wanted an integer of 64 bits`)
  return key
}

module.exports = { Tendmap, TendmapError }
