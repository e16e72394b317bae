'use strict'
// A simulated cluster for tests. The documentation is in testing.d.ts.

const { setTimeout: sleep } = require('node:timers/promises')
const { inspect } = require('node:util')
const { native } = require('./lib/native.js')
const { flag, kind, options, text, whole, wrongType } = require('./lib/values.js')

const one = (number) => whole("a node's number", number, 1, 65535)

class SimulatedCluster {
  #id

  constructor (given) {
    const known = ['nodes', 'namespaces', 'clusterName', 'basePort', 'enterprise']
    const { nodes = 3, namespaces = { test: 2 }, clusterName = 'sim', basePort = 0, enterprise = false } =
      options('options', given, known)
    if (typeof namespaces !== 'object' || namespaces === null || Array.isArray(namespaces)) {
      throw wrongType(`namespaces of type ${kind(namespaces)}; wanted an object such as { test: 2 }`)
    }
    const factors = Object.values(namespaces).map((factor) => whole('a replication factor', factor, 1, 255))
    this.#id = native.simStart(whole('nodes', nodes, 1, 4096), Object.keys(namespaces), factors,
      text('clusterName', clusterName), whole('basePort', basePort, 0, 65535), flag('enterprise', enterprise))
  }

  get hosts () { return native.simHosts(this.#id) }
  kill (number) { native.simDo(this.#id, 'kill', one(number)) }
  stop (number) { native.simDo(this.#id, 'stop', one(number)) }
  start (number) { native.simDo(this.#id, 'start', one(number)) }
  freeze (number) { native.simDo(this.#id, 'freeze', one(number)) }
  thaw (number) { native.simDo(this.#id, 'thaw', one(number)) }
  remove (number) { native.simDo(this.#id, 'remove', one(number)) }
  add () { return native.simAdd(this.#id) }
  moveNode (number, port = 0) { return native.simMove(this.#id, one(number), whole('port', port, 0, 65535)) }
  setBuild (number, build) { native.simSetBuild(this.#id, one(number), text('build', build)) }

  setRack (number, namespace, rack) {
    native.simSetRack(this.#id, one(number), text('namespace', namespace), whole('rack', rack, -(2 ** 31), 2 ** 31 - 1))
  }

  owners (namespace) { return native.simOwners(this.#id, text('namespace', namespace)) }

  async settle (timeout = 30000) {
    const until = performance.now() + whole('timeout', timeout, 0, Number.MAX_SAFE_INTEGER)
    while (!native.simIsSettled(this.#id)) {
      if (performance.now() >= until) return false
      await sleep(10)
    }
    return true
  }

  close () { native.simClose(this.#id) }

  [inspect.custom] () {
    try {
      return `SimulatedCluster { ${this.hosts.join(',')} }`
    } catch {
      return 'SimulatedCluster { closed }'
    }
  }
}

if (Symbol.dispose) {
  Object.defineProperty(SimulatedCluster.prototype, Symbol.dispose, { value () { this.close() } })
}

module.exports = { SimulatedCluster }
