// The invalid calls that every language answers with the same kind of error and text.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Client, Reader, TendmapError } from '../index.mjs'
import { REPOSITORY, ROOT, cluster, closing, test } from './common.mjs'

const SHARED = JSON.parse(readFileSync(path.join(REPOSITORY, 'bindings/glue/tests/invalid.json'), 'utf8'))
const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

test('each kind of error has a code', () => {
  const declared = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')
  const codes = /type ErrorCode =([^/]*)/.exec(declared)[1].match(/[A-Z_]+/g)
  assert.deepEqual(codes.toSorted?.() ?? codes.sort(), Object.keys(SHARED.kinds).sort())
})

test('invalid calls give the errors of every language', async (t) => {
  const { sim, settings } = cluster(t, { nodes: 3, namespaces: { test: 2 }, clusterName: 'lab' })
  const client = closing(t, await Client.connect(settings))
  const { shmDirectory } = settings
  const found = client.locate('test', 'users', 1)

  /** A value of the file in JavaScript; durations are milliseconds here. */
  const value = (given, call) => {
    const times = ['wait', 'interval'].includes(call) ? 1000 : 1
    if (given === '$HOSTS') return sim.hosts
    if (typeof given === 'number') return given * times
    if (Array.isArray(given)) return given.map((item) => value(item))
    if (typeof given !== 'object' || given === null) return given
    if ('broken' in given) return '\ud800'
    if ('integer' in given) return times === 1 ? BigInt(given.integer) : Number(given.integer) * times
    if ('double' in given) return Number(given.double) * times
    if ('bytes' in given) return Buffer.from(given.bytes, 'hex')
    if ('object' in given) return {}
    return Object.fromEntries(Object.entries(given).map(([name, item]) => [name, value(item)]))
  }
  const named = (given) => Object.fromEntries(Object.entries(given).map(([name, item]) => [camel(name), item]))
  const asked = {
    route: (it) => it.route('test', 'users', 1),
    locate: (it) => it.locate('test', 'users', 1),
    retry: (it) => it.retry(found),
    batch: (it) => it.routeBatch('test', 'users', [1]),
    nodes: (it) => it.nodes(),
    status: (it) => it.status(),
    sequence: (it) => it.sequence,
    wait: (it) => it.waitForChange(1),
    changes: (it) => it.changes(),
    request_tend: (it) => it.requestTend(),
    racks: (it) => it.setPreferredRacks([1]),
    role: (it) => it.role,
    events: (it) => it.events(),
    interval: (it) => it.setTendInterval(1000),
    password: (it) => it.setPassword('x')
  }
  const closed = async (it, calls) => {
    it.close()
    let last
    for (const call of calls) {
      await assert.rejects(async () => asked[call](it), (error) => {
        last = error
        return error.code === 'CLOSED'
      }, call)
    }
    throw last
  }
  const calls = {
    route: (...given) => client.route(...given),
    route_digest: (...given) => client.routeDigest(...given),
    batch: (...given) => client.routeBatch(...given),
    retry: (route) => client.retry(route),
    client: async (given) => (await Client.connect({ ...settings, ...named(given) })).close(),
    reader: (given) => Reader.open({ shmDirectory, ...named(given) }).close(),
    wait: (sequence, timeout) => client.waitForChange(sequence, { timeout }),
    racks: (racks) => client.setPreferredRacks(racks),
    interval: (interval) => client.setTendInterval(interval),
    password: (password) => client.setPassword(password),
    closed_client: async (...given) => closed(await Client.connect(settings), given),
    closed_reader: (...given) => closed(Reader.open({ shmDirectory }), given)
  }
  // In JavaScript the names of settings are in camelCase.
  const names = SHARED.cases.flatMap((it) => Object.keys(it.with[0] ?? {})).concat('tend_interval', 'preferred_racks', 'cluster_name')
  const plain = (text) => names.reduce((all, name) => all.replaceAll(camel(name), name), text)

  const wrong = []
  for (const { what, call, with: given, kind, text = '', except = [] } of SHARED.cases) {
    if (except.includes('node')) continue
    let code = null
    let message = ''
    try {
      await calls[call](...given.map((one, place) => value(one, call === 'wait' && place === 0 ? undefined : call)))
    } catch (error) {
      if (!(error instanceof TendmapError)) throw error
      code = error.code
      message = plain(error.message)
    }
    const pattern = text.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+')
    if (code !== kind || !new RegExp(`^${pattern}$`, 's').test(message)) wrong.push([what, code, message])
  }
  assert.deepEqual(wrong, [])
})
