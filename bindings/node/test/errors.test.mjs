import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { MessageChannel, Worker } from 'node:worker_threads'
import {
  ArgumentError, ArgumentTypeError, Client, ClosedError, ConfigError, ConnectError, Double, Reader, RouteError,
  SegmentError, TendmapError, digest, status
} from '../index.mjs'
import { SimulatedCluster } from '../testing.mjs'
import { cluster, closing, directory, test, until } from './common.mjs'

/** An error of this class, with this code, of all classes that it belongs to. */
function like (kind, code, text) {
  return (error) => {
    assert.ok(error instanceof kind, inspect(error))
    assert.ok(error instanceof TendmapError && error instanceof Error)
    assert.equal(error.code, code)
    assert.equal(error.name, kind.name)
    assert.match(error.message, text)
    return true
  }
}

test('h109_node_converts_no_argument_of_a_wrong_type', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const wrong = [
    [1.5, ArgumentError, /key 1\.5; wanted a whole number; for a key of type double write new Double\(number\)/],
    [NaN, ArgumentError, /key NaN/],
    [Infinity, ArgumentError, /key Infinity/],
    [2 ** 53, ArgumentError, /key 9007199254740992; .*BigInt/],
    [2n ** 63n, ArgumentError, /key 9223372036854775808; wanted an integer of 64 bits, signed/],
    [-(2n ** 63n) - 1n, ArgumentError, /64 bits/],
    ['\ud800', ArgumentError, /key is not UTF-8: it has half a surrogate pair/],
    [true, ArgumentTypeError, /key of type boolean; wanted a number, a bigint, a string, a Buffer, a Uint8Array or a Double/],
    [null, ArgumentTypeError, /key of type null/],
    [undefined, ArgumentTypeError, /key of type undefined/],
    [{}, ArgumentTypeError, /key of type Object/],
    [[1], ArgumentTypeError, /key of type Array/],
    [Symbol('a'), ArgumentTypeError, /key of type symbol/],
    [new Date(), ArgumentTypeError, /key of type Date/],
    [new Uint16Array(1), ArgumentTypeError, /key of type Uint16Array/],
    [Object.create(null), ArgumentTypeError, /key of type object/],
    [new Number(1), ArgumentTypeError, /key of type Number/],
    [Object.create(Double.prototype), ArgumentTypeError, /key of type Double/],
    [new Proxy({}, { getPrototypeOf () { throw new Error('trap') } }), ArgumentTypeError, /key of type Object/]
  ]
  for (const [key, kind, text] of wrong) {
    for (const call of [
      () => client.route('test', 'users', key),
      () => client.locate('test', 'users', key),
      () => client.routeBatch('test', 'users', [key]),
      () => client.routeBatch('test', 'users', ['a', key]),
      () => digest('users', key)
    ]) assert.throws(call, like(kind, 'ARGUMENT', text))
  }
  assert.throws(() => new Double('1'), like(ArgumentTypeError, 'ARGUMENT', /Double of type string/))
  assert.ok(new ArgumentTypeError('x') instanceof TypeError)
})

test('h109_node_takes_no_memory_that_is_gone_and_no_hole_for_a_key', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const value = (text) => like(ArgumentError, 'ARGUMENT', text)
  const gone = (keys) => {
    structuredClone(keys.buffer, { transfer: [keys.buffer] })
    return keys
  }
  const cut = (Keys) => {
    const buffer = new ArrayBuffer(32, { maxByteLength: 64 })
    const keys = new Keys(buffer, 16, 1)
    buffer.resize(8)
    return keys
  }
  for (const key of [gone(new Uint8Array(8)), cut(Uint8Array), gone(Buffer.from(new ArrayBuffer(3)))]) {
    const text = value(/^key whose memory was transferred or cut off; wanted memory that this thread has$/)
    for (const call of [
      () => client.route('test', 'users', key),
      () => client.locate('test', 'users', key),
      () => client.routeBatch('test', 'users', [1, key]),
      () => digest('users', key)
    ]) assert.throws(call, text)
    assert.throws(() => client.routeDigest('test', key), value(/^digest whose memory/))
  }
  for (const Keys of [BigInt64Array, BigUint64Array, Int32Array, Uint32Array, Float64Array, Float32Array, Int16Array]) {
    for (const keys of [gone(new Keys(8)), cut(Keys)]) {
      assert.throws(() => client.routeBatch('test', 'users', keys), value(/^keys whose memory/))
    }
    assert.equal(client.routeBatch('test', 'users', new Keys(0)).length, 0)
  }
  // Memory that has grown is read as far as it reaches now.
  const growing = new ArrayBuffer(16, { maxByteLength: 64 })
  const keys = new BigInt64Array(growing)
  growing.resize(64)
  assert.equal(client.routeBatch('test', 'users', keys).length, 8)
  // eslint-disable-next-line no-sparse-arrays
  for (const holes of [['a', , 'b'], [1, , 2], [, 1]]) {
    assert.throws(() => client.routeBatch('test', 'users', holes), like(ArgumentTypeError, 'ARGUMENT', /key of type undefined/))
  }
})

test('h109_a_route_in_node_that_was_changed_is_refused', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const route = client.locate('test', 'users', 1)
  const changed = (values) => Object.assign(Object.create(Object.getPrototypeOf(route)), route, values)
  const value = (text) => like(ArgumentError, 'ARGUMENT', text)
  const type = (text) => like(ArgumentTypeError, 'ARGUMENT', text)
  const cases = [
    [{ partition: 4096 }, like(RouteError, 'OUT_OF_RANGE', /partition 4096/)],
    [{ partition: 1.5 }, value(/the route's partition is 1\.5/)],
    [{ replica: -1 }, value(/the route's replica is -1/)],
    [{ replica: 256 }, value(/the route's replica is 256/)],
    [{ node: null }, type(/the index of the route's node of type undefined/)],
    [{ node: { index: 4096 } }, value(/the index of the route's node is 4096/)],
    [{ namespace: 5 }, type(/namespace of type number/)],
    [{ policy: 'x' }, value(/policy is "x"/)]
  ]
  for (const [values, expected] of cases) assert.throws(() => client.retry(changed(values)), expected)
  assert.equal(client.retry(changed({})).attempt, 2)
})

test('h184_what_belongs_to_a_thread_of_node_is_not_sent_to_another', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const reader = closing(t, Reader.open({ shmDirectory: settings.shmDirectory }))
  const refused = { name: 'DataCloneError', message: /belongs to its thread: each thread connects for itself/ }
  const { port1, port2 } = new MessageChannel()
  for (let round = 0; round < 2; round++) {
    for (const it of [client, reader, client.nodes()[0], client.locate('test', 'users', 1), client.routeBatch('test', 'users', [1])]) {
      assert.throws(() => structuredClone(it), refused)
      assert.throws(() => port1.postMessage({ it }), refused)
      assert.throws(() => new Worker('', { eval: true, workerData: it }), refused)
    }
    client.on('change', () => {})
  }
  // Node's own error, which differs from version to version.
  assert.throws(() => port1.postMessage(1, [client]), /transferList|cloned|[Tt]ransfer/)
  assert.ok(structuredClone(client.nodes()[0].toJSON()).address)
  assert.ok(structuredClone(client.status()).healthy)
  port2.close()
})

test('other arguments', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const type = (text) => like(ArgumentTypeError, 'ARGUMENT', text)
  const value = (text) => like(ArgumentError, 'ARGUMENT', text)
  for (const bad of [undefined, null, 1, {}, Symbol('x')]) {
    assert.throws(() => client.route(bad, 'users', 1), type(/namespace of type .*; wanted a string/))
    assert.throws(() => client.route('test', bad === null ? 1 : bad, 1), type(/set of type .*; wanted a string/))
    assert.throws(() => client.retry(bad), type(/route of type .*; wanted the Route of locate\(\)/))
    assert.throws(() => client.routeDigest('test', bad), type(/digest of type .*; wanted 20 bytes/))
    assert.throws(() => client.routeBatch('test', 'users', bad), type(/keys of type/))
  }
  assert.throws(() => client.route('test', 'users', 1, 'Master'),
    value(/policy is "Master"; wanted "master", "sequence", "any", "random" or "prefer_rack"/))
  assert.throws(() => client.route('test', 'users', 1, 7), type(/policy of type number/))
  assert.throws(() => client.route('test\ud800', 'users', 1), value(/half a surrogate pair/))
  assert.throws(() => client.routeDigest('test', Buffer.alloc(19)), value(/digest of 19 bytes; wanted 20/))
  assert.throws(() => client.routeBatchDigests('test', Buffer.alloc(21)), value(/21 bytes; wanted 20 for each/))
  assert.throws(() => client.routeBatch('test', 'users', 'key'), type(/this is one key: use route/))
  assert.throws(() => client.routeBatch('test', 'users', Buffer.from('key')), type(/this is one key/))
  assert.throws(() => client.routeBatch('test', 'users', BigUint64Array.of(2n ** 63n)), value(/64 bits, signed/))
  assert.throws(() => client.route('nope', 'users', 1), like(RouteError, 'NAMESPACE_UNKNOWN', /nope/))
  assert.throws(() => client.route('te\0st', 'users', 1), value(/^namespace has a zero byte; only keys may have one$/))
  assert.throws(() => client.setPreferredRacks([1.5]), like(ArgumentTypeError, 'ARGUMENT', /preferredRacks/))
  assert.throws(() => client.setTendInterval(1), like(ConfigError, 'CONFIG', /tend_interval/))
  await assert.rejects(client.waitForChange('1'), type(/sequence of type string/))
  await assert.rejects(client.waitForChange(1, { timeout: -1 }), value(/timeout is -1/))
  await assert.rejects(client.waitForChange(1, { timeout: '1' }), type(/timeout of type string/))
  await assert.rejects(client.waitForChange(1, { signal: 1 }), type(/signal of type number; wanted an AbortSignal/))
  await assert.rejects(client.waitForChange(1, { signal: { aborted: false, addEventListener () {} } }), type(/signal of type Object; wanted an AbortSignal/))
  assert.throws(() => client.changes({ timeOut: 1 }), value(/options has "timeOut"; wanted signal, ref/))
  assert.throws(() => new Client(), type(/wanted await Client\.connect\(settings\)/))
  assert.throws(() => new Reader(), type(/wanted Reader\.open\(settings\)/))
  // After all of that it works.
  assert.ok(client.route('test', 'users', 1))
})

test('settings', async (t) => {
  const shmDirectory = directory(t)
  const config = (text) => like(ConfigError, 'CONFIG', text)
  const type = (text) => like(ArgumentTypeError, 'ARGUMENT', text)
  const cases = [
    [undefined, type(/settings of type undefined; wanted an object such as/)],
    ['127.0.0.1:3000', type(/write \{ hosts: "127\.0\.0\.1:3000" \}/)],
    [{}, type(/hosts of type undefined; wanted/)],
    [{ hosts: [] }, config(/./)],
    [{ hosts: 7 }, type(/hosts of type number; wanted "NAME:PORT"/)],
    [{ hosts: [7] }, type(/hosts has an item of type number/)],
    [{ hosts: [['a', '3000']] }, type(/a host's port is "3000"; wanted a whole number/)],
    [{ hosts: 'a:b:c:d' }, config(/a:b:c:d/)],
    [{ hosts: 'a:1', shm_key: 5 }, config(/no setting "shm_key"; write shmKey/)],
    [{ hosts: 'a:1', ShmKey: 5 }, config(/write shmKey/)],
    [{ hosts: 'a:1', sharedMemory: true }, config(/no setting "sharedMemory"; there are hosts, clusterName/)],
    [{ hosts: 'a:1', tendInterval: '5' }, config(/tendInterval is "5"; wanted a number of milliseconds, or text with a unit/)],
    [{ hosts: 'a:1', tendInterval: NaN }, config(/tend_interval is "NaNms"/)],
    [{ hosts: 'a:1', tendInterval: 'x' }, config(/"x"/)],
    [{ hosts: 'a:1', tendInterval: 1 }, config(/tend_interval/)],
    [{ hosts: 'a:1', useShm: 7 }, config(/use_shm is "7"; wanted true or false/)],
    [{ hosts: 'a:1', useShm: [] }, type(/useShm of type Array; wanted true or false/)],
    [{ hosts: 'a:1', clusterName: 5 }, type(/clusterName of type number; wanted a string/)],
    [{ hosts: 'a:1', clusterName: 'a\0b' }, config(/^cluster_name has a zero byte; wanted text without it$/)],
    [{ hosts: 'a:1', user: 'u', password: 'secret\0' }, config(/^password has a zero byte; wanted text without it$/)],
    [{ hosts: 'a:1', user: 'u', password: 5 }, type(/password of type number/)],
    [{ hosts: 'a:1', shmMode: 0.5 }, config(/shmMode is 0\.5/)],
    [{ hosts: 'a:1', shmMaxNodes: 99999 }, config(/99999/)],
    [{ hosts: 'a:1', ipMap: { 'a,b': 'c' } }, config(/without comma/)],
    [{ hosts: 'a:1', ipMap: [1] }, type(/ipMap of type Array/)],
    [{ hosts: 'a:1', preferredRacks: [true] }, type(/preferredRacks has an item of type boolean/)],
    [{ hosts: 'a:1', shmBackend: 'shm' }, config(/shm_backend|file/)]
  ]
  for (const [settings, expected] of cases) {
    const given = typeof settings === 'object' ? { shmDirectory, ...settings } : settings
    await assert.rejects(Client.connect(given), expected, inspect(settings))
    assert.throws(() => Client.connectSync(given), expected)
  }
})

test('every setting is taken', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, Client.connectSync({
    ...settings,
    clusterName: 'sim',
    useShm: true,
    shmKey: '0xA7000001',
    shmMaxNodes: 16,
    shmMaxNamespaces: 8n,
    shmMaxReplicas: 3,
    shmNodeCeiling: 4096,
    shmNamespaceCeiling: 256,
    shmTakeoverThreshold: '30s',
    shmBackend: 'file',
    shmMode: 0o640,
    shmOwner: ['root', 5001],
    shmAllowGroupWrite: false,
    preferredRacks: [1, 2],
    tendInterval: '50ms',
    connectTimeout: 1000,
    useServicesAlternate: false,
    ipMap: new Map([['10.0.0.1', '127.0.0.1']]),
    tls: false,
    tlsForLoginOnly: false,
    user: undefined,
    password: null,
    cClient: [],
    cClientMaxNodes: 16,
    cClientMode: '0666',
    cClientOnExit: 'hold',
    cClientOwner: 'pid'
  }))
  assert.equal(client.status().key, 0xA7000001)
  const shapes = [
    settings.hosts.join(','),
    settings.hosts.map((host) => host.split(':')).map(([name, port]) => [name, Number(port)]),
    settings.hosts.map((host) => host.split(':')).map(([host, port]) => ({ host, port: Number(port) }))
  ]
  for (const hosts of shapes) Client.connectSync({ ...settings, hosts }).close()
})

test('connecting that fails', async (t) => {
  const shmDirectory = directory(t)
  const failing = { hosts: '127.0.0.1:1', shmDirectory, connectTimeout: '100ms' }
  await assert.rejects(Client.connect(failing), like(ConnectError, 'TEND', /127\.0\.0\.1:1/))
  assert.throws(() => Reader.open({ shmDirectory }), like(SegmentError, 'SEGMENT', /./))
  assert.throws(() => status({ shmDirectory }), like(SegmentError, 'SEGMENT', /./))
  const abort = new AbortController()
  const connecting = Client.connect({ ...failing, hosts: '127.0.0.1:1,localhost:1' }, { signal: abort.signal })
  abort.abort(new Error('stop'))
  await assert.rejects(connecting, /stop/)
  await assert.rejects(Client.connect(failing, { signal: AbortSignal.abort() }), { name: 'AbortError' })
})

test('h172_a_connect_that_nobody_awaits_leaves_no_client_behind', async (t) => {
  const { settings } = cluster(t)
  const abort = new AbortController()
  const connecting = Client.connect(settings, { signal: abort.signal })
  abort.abort()
  await assert.rejects(connecting, { name: 'AbortError' })
  const client = await Client.connect(settings)
  await client.closeAsync()
  // The last one to close removes the segment.
  await until(() => {
    try {
      status({ shmDirectory: settings.shmDirectory })
    } catch (error) {
      assert.equal(error.code, 'SEGMENT')
      return true
    }
  })
})

test('a closed handle answers every call', async (t) => {
  const { settings } = cluster(t)
  const client = await Client.connect(settings)
  const reader = Reader.open({ shmDirectory: settings.shmDirectory })
  const route = client.locate('test', 'users', 1)
  client.route('test', 'users', 1)
  reader.route('test', 'users', 1)
  reader.close()
  client.close()
  client.close()
  for (const it of [client, reader]) {
    const closed = like(ClosedError, 'CLOSED', it === client ? /^the client is closed$/ : /^the reader is closed$/)
    for (const call of [
      () => it.route('test', 'users', 1),
      () => it.route('test', 'users', 'a'),
      () => it.route('test', 'users', 1n),
      () => it.locate('test', 'users', 1),
      () => it.retry(route),
      () => it.routeBatch('test', 'users', [1]),
      () => it.routeDigest('test', Buffer.alloc(20)),
      () => it.nodes(),
      () => it.status(),
      () => it.sequence,
      () => it.requestTend(),
      () => it.setPreferredRacks([1]),
      () => it.changes()
    ]) assert.throws(call, closed, String(call))
    await assert.rejects(it.waitForChange(1), closed)
    assert.equal(inspect(it), `${it.constructor.name} { closed }`)
    it.on('change', () => {})
    it.removeAllListeners()
  }
  assert.throws(() => client.role, ClosedError)
  assert.throws(() => client.events(), ClosedError)
  await client.closeAsync()
  const sim = new SimulatedCluster()
  sim.close()
  sim.close()
  assert.throws(() => sim.hosts, like(ClosedError, 'CLOSED', /the simulated cluster is closed/))
})

test('a client shows no secret', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect({ ...settings, user: undefined }))
  assert.equal(inspect(client), 'Client { open }')
  assert.equal(JSON.stringify(client).includes('127.0.0.1'), false)
})

test('a simulated cluster refuses what is none', () => {
  assert.throws(() => new SimulatedCluster({ nodes: 0 }), like(ArgumentError, 'ARGUMENT', /nodes is 0/))
  assert.throws(() => new SimulatedCluster({ nodez: 1 }), like(ArgumentError, 'ARGUMENT', /nodez/))
  assert.throws(() => new SimulatedCluster({ namespaces: ['test'] }), like(ArgumentTypeError, 'ARGUMENT', /namespaces of type Array/))
  const sim = new SimulatedCluster()
  assert.throws(() => sim.kill(9), like(ArgumentError, 'ARGUMENT', /9/))
  assert.throws(() => sim.kill('1'), like(ArgumentTypeError, 'ARGUMENT', /a node's number/))
  sim.close()
})
