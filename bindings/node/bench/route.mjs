// What a route costs in Node, beside what a program without tendmap does: a digest by
// node:crypto and a table of its own. One run, so that all rows are of one machine.
//
//   node bench/route.mjs
//
// (The official client has no call for the digest or the node of a key.)

import crypto from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Client, Reader, digest } from '../index.mjs'
import { SimulatedCluster } from '../testing.mjs'

const COUNT = 2000
const ROUNDS = 150

/** Nanoseconds for each of `count` calls: the best of many short rounds, which other programs do not interrupt. */
function best (count, f) {
  let least = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    const begun = process.hrtime.bigint()
    f()
    least = Math.min(least, Number(process.hrtime.bigint() - begun) / count)
  }
  return least
}

const rows = []
function row (what, count, f) {
  const cost = best(count, f)
  rows.push([what, cost])
  const shown = cost >= 10_000 ? `${(cost / 1000).toFixed(0)} µs` : `${cost.toFixed(0)} ns`
  console.log(`| ${what} | ${shown} |`)
}

function each (f) {
  return () => { for (let key = 0; key < COUNT; key++) f(key) }
}

const shmDirectory = mkdtempSync(path.join(tmpdir(), 'tendmap-bench-'))
const sim = new SimulatedCluster({ nodes: 3 })
const settings = { hosts: sim.hosts, shmDirectory }
const client = await Client.connect(settings)
const texts = Array.from({ length: COUNT }, (_, key) => `user:${key}`)

console.log('| | each |\n| --- | --- |')
row('`route`, an integer', COUNT, each((key) => client.route('test', 'users', key)))
row('`route`, a string', COUNT, each((key) => client.route('test', 'users', texts[key])))
const buffers = texts.map((text) => Buffer.from(text))
row('`route`, a Buffer', COUNT, each((key) => client.route('test', 'users', buffers[key])))
row('`route`, a BigInt', COUNT, each((key) => client.route('test', 'users', BigInt(key))))
row('`route` with a policy (`any`)', COUNT, each((key) => client.route('test', 'users', key, 'any')))
row('`locate`', COUNT, each((key) => client.locate('test', 'users', key)))

const SIZE = 1000
const numbers = BigInt64Array.from({ length: SIZE }, (_, key) => BigInt(key))
const plain = Array.from({ length: SIZE }, (_, key) => key)
const some = texts.slice(0, SIZE)
const batches = (keys) => () => {
  for (let count = 0; count < COUNT / SIZE; count++) client.routeBatch('test', 'users', keys)
}
row('`routeBatch` of 1000, a BigInt64Array, for each key', COUNT, batches(numbers))
row('`routeBatch` of 1000, an array of numbers, for each key', COUNT, batches(plain))
row('`routeBatch` of 1000, an array of strings, for each key', COUNT, batches(some))

const ATTACHES = 20
row('attach: `Reader.open` and `close`', ATTACHES, () => {
  for (let count = 0; count < ATTACHES; count++) Reader.open({ shmDirectory }).close()
})
row('attach: `Client.connectSync` and `close`, a second client of the process', ATTACHES, () => {
  for (let count = 0; count < ATTACHES; count++) Client.connectSync(settings).close()
})

// What a program without tendmap does for a key, if it has a map at all.
const table = Array.from({ length: 4096 }, (_, partition) => client.nodes()[partition % 3])
const map = new Map([['test', table]])
const prefix = Buffer.from('users\x01')
function byHand (key) {
  const input = Buffer.allocUnsafe(prefix.length + 8)
  prefix.copy(input)
  input.writeBigInt64BE(BigInt(key), prefix.length)
  const found = crypto.createHash('ripemd160').update(input).digest()
  return map.get('test')[found.readUInt16LE(0) & 4095]
}
const same = crypto.createHash('ripemd160').update(Buffer.from('users\x01\0\0\0\0\0\0\0\x2a', 'latin1')).digest()
if (!same.equals(digest('users', 42))) throw new Error('the two compute different digests')
row('by hand: RIPEMD-160 of `node:crypto` and a `Map` in each process', COUNT, each(byHand))
row('the digest alone: `digest`', COUNT, each((key) => digest('users', key)))

client.close()
sim.close()
rmSync(shmDirectory, { recursive: true })
// .ci/packages/node asks for a limit: nanoseconds for one integer.
const limit = Number(process.env.TENDMAP_ROUTE_LIMIT ?? Infinity)
if (rows[0][1] > limit) {
  console.error(`a route takes ${rows[0][1].toFixed(0)} ns; at most ${limit}`)
  process.exit(1)
}
