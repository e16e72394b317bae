import assert from 'node:assert/strict'
import { chmodSync, chownSync, readdirSync } from 'node:fs'
import tendmap, { Batch, Client, Double, NO_NODE, Node, Reader, digest, status, version } from '../index.mjs'
import { cluster, closing, program, test, until } from './common.mjs'

const owners = (sim, key, set = 'users') => sim.owners('test')[partition(digest(set, key))]
const partition = (digest) => digest.readUInt16LE(0) & 4095

test('keys of every type go to the node that holds them', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const bytes = new Uint8Array(new SharedArrayBuffer(3))
  for (const key of [42, -1, 0, 42n, 2n ** 63n - 1n, -(2n ** 63n), 'a', '', 'ä€😀', 'x'.repeat(3000), 'a\0b',
    Buffer.from('abc'), new Uint8Array(0), bytes, new Double(1.5), new Double(NaN)]) {
    const [master, second] = owners(sim, key)
    assert.equal(client.route('test', 'users', key).name, master, String(key))
    assert.equal(client.route('test', 'users', key, 'master').name, master)
    const route = client.locate('test', 'users', key)
    assert.deepEqual([route.node.name, route.replica, route.attempt], [master, 0, 1])
    assert.equal(route.partition, partition(digest('users', key)))
    const next = client.retry(route)
    assert.deepEqual([next.node.name, next.replica, next.attempt], [second, 1, 2])
    assert.equal(client.retry(next).node, route.node)
    assert.equal(client.routeDigest('test', digest('users', key)), route.node)
  }
  assert.equal(client.route('test', null, 7).name, owners(sim, 7, null)[0])
  assert.equal(client.route('test', null, 7), client.route('test', '', 7n))
})

test('digests are those of the official clients', () => {
  // Computed by the Aerospike client for Python.
  assert.equal(digest('set', 1).toString('hex'), '82d7213b469812947c109a6d341e3b5b1dedec1f')
  assert.equal(digest('set', 0n).toString('hex'), '93d943aae37b017ad7e011b0c1d2e2143c2fb37d')
  assert.equal(digest('test', 1).length, 20)
  assert.notDeepEqual(digest('test', 'a'), digest('test', Buffer.from('a')))
  assert.notDeepEqual(digest('test', 1), digest('test', new Double(1)))
  assert.deepEqual(digest('test', 1), digest('test', 1n))
})

test('a node is one object while it stays', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const nodes = client.nodes()
  assert.equal(nodes.length, 3)
  const node = client.route('test', 'users', 1)
  assert.ok(node instanceof Node && nodes.includes(node))
  node.state = { pool: 1 }
  for (let key = 0; key < 1000; key++) assert.ok(nodes.includes(client.route('test', 'users', key)))
  assert.equal(node.address, `${node.host}:${node.port}`)
  assert.match(node.build, /^\d+\./)
  assert.equal(JSON.parse(JSON.stringify(node)).name, node.name)
  // An upgrade leaves the object, a move to another address does not.
  const number = sim.hosts.indexOf(node.address) + 1
  sim.setBuild(number, '9.9.9.9')
  await until(() => client.nodes() && node.build === '9.9.9.9')
  assert.equal(client.route('test', 'users', 1), node)
  sim.moveNode(number)
  const moved = await until(() => client.nodes().find((other) => other.name === node.name && other !== node))
  assert.equal(moved.state, undefined)
  assert.notEqual(moved.address, node.address)
  await until(() => client.nodes().length === 3)
})

test('policies choose replicas', async (t) => {
  const { sim, settings } = cluster(t, { enterprise: true, namespaces: { test: 3 } })
  for (const number of [1, 2, 3]) sim.setRack(number, 'test', number)
  const client = closing(t, await Client.connect({ ...settings, preferredRacks: [2] }))
  const seen = (policy) => new Set(Array.from({ length: 60 }, () => client.route('test', 'users', 5, policy)))
  const all = (number) => [...seen('prefer_rack')].every((node) => node.address === sim.hosts[number - 1])
  await until(() => all(2))
  assert.equal(seen('master').size, 1)
  assert.equal(seen('sequence').size, 1)
  assert.equal(seen('any').size, 3)
  assert.equal(seen('random').size, 3)
  client.setPreferredRacks([3])
  // Each node's rack may come with a pass of its own.
  await until(() => all(3))
})

test('a batch routes as single calls do', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const numbers = Array.from({ length: 500 }, (_, key) => key * 7 - 100)
  const shared = new BigInt64Array(new SharedArrayBuffer(80)).fill(3n)
  const cases = [
    [numbers, numbers],
    [BigInt64Array.from(numbers.map(BigInt)), numbers],
    [BigUint64Array.from([0n, 5n, 2n ** 63n - 1n]), [0, 5, 2n ** 63n - 1n]],
    [Int32Array.from(numbers), numbers],
    [Uint32Array.of(0, 2 ** 32 - 1), [0, 2 ** 32 - 1]],
    [Int16Array.of(-5, 5), [-5, 5]],
    [Uint16Array.of(65535), [65535]],
    [Float64Array.of(1, 1.5, -0), [new Double(1), new Double(1.5), new Double(-0)]],
    [Float32Array.of(0.5), [new Double(0.5)]],
    [shared, [3, 3, 3, 3, 3, 3, 3, 3, 3, 3]],
    [numbers.map(String), numbers.map(String)],
    [['ä', '', '😀'], ['ä', '', '😀']],
    [[1, 2n, 'three', Buffer.from('four'), new Double(5)], [1, 2n, 'three', Buffer.from('four'), new Double(5)]],
    [[Buffer.from('a'), Buffer.from('bb')], [Buffer.from('a'), Buffer.from('bb')]],
    [[], []]
  ]
  for (const [keys, single] of cases) {
    const batch = client.routeBatch('test', 'users', keys)
    assert.ok(batch instanceof Batch && batch.indexes instanceof Uint16Array)
    assert.equal(batch.length, single.length)
    single.forEach((key, position) => {
      const node = client.route('test', 'users', key)
      assert.equal(batch.node(position), node)
      assert.equal(batch.indexes[position], node.index)
      assert.equal(batch.nodes[node.index], node)
    })
    const groups = batch.groups()
    assert.equal([...groups.values()].flat().length, single.length)
  }
  const digests = Buffer.concat(numbers.map((key) => digest('users', key)))
  assert.deepEqual(client.routeBatchDigests('test', digests).indexes, client.routeBatch('test', 'users', numbers).indexes)
  assert.equal(client.routeBatch('test', 'users', [1]).node(1), undefined)
  assert.equal(NO_NODE, 65535)
})

test('any number of sets, policies and namespaces', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  for (let number = 0; number < 10000; number++) assert.ok(client.route('test', `set${number}`, 1))
  assert.equal(client.route('test', 'set7', 1), client.locate('test', 'set7', 1).node)
})

test('a reader reads what a client tends, and nothing else', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const { shmDirectory } = settings
  const reader = closing(t, Reader.open({ shmDirectory }))
  assert.equal(reader.route('test', 'users', 42).name, client.route('test', 'users', 42).name)
  assert.deepEqual(reader.nodes().map(String), client.nodes().map(String))
  assert.equal(reader.sequence, client.sequence)
  assert.equal(reader.status().ownerPid, process.pid)
  assert.equal(reader.role, undefined)
  assert.deepEqual([...reader.routeBatch('test', 'users', [1, 2]).indexes], [...client.routeBatch('test', 'users', [1, 2]).indexes])
  client.close()
  // It was the last one that was attached, so the segment is gone; the map is still there.
  assert.ok(reader.route('test', 'users', 42).address)
})

test('a reader has no thread of its own, and needs only permission to read', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const { path, user } = client.status()
  const only = process.getuid() === 0
  if (only) {
    chmodSync(settings.shmDirectory, 0o755)
    chownSync(path, 0, 65534)
    chmodSync(path, 0o640)
  } else {
    t.diagnostic('skipped: only root can become another user')
  }
  const { line } = program(t, `
    import { readdirSync } from 'node:fs'
    import { Reader } from './index.mjs'
    if (${only}) { process.setgroups([]); process.setgid(65534); process.setuid(65534) }
    const threads = () => readdirSync('/proc/self/task').length
    const before = threads()
    const reader = Reader.open({ shmDirectory: ${JSON.stringify(settings.shmDirectory)}, shmOwner: ${user} })
    const node = reader.route('test', 'users', 1)
    reader.routeBatch('test', 'users', [1]); reader.nodes(); reader.status()
    await reader.waitForChange(0)
    const after = threads()
    const waiting = reader.waitForChange(reader.sequence)
    console.log(node.name, after - before, threads() > after)
    reader.close()
    await waiting.catch(() => {})
  `)
  assert.equal(await line(), `${client.route('test', 'users', 1).name} 0 true`)
})

test('the status has its fields in camelCase', async (t) => {
  const { settings } = cluster(t, { clusterName: 'lab' })
  const client = closing(t, await Client.connect(settings))
  const found = client.status()
  assert.equal(found.clusterName, 'lab')
  assert.equal(found.ownerPid, process.pid)
  assert.equal(found.healthy, true)
  assert.equal(found.namespaces[0].replicationFactor, 2)
  assert.equal(found.members.length, 3)
  assert.ok(found.passTimes.buckets.length > 3)
  assert.deepEqual(Object.keys(status({ shmDirectory: settings.shmDirectory })), Object.keys(found))
  assert.equal(client.role, 'owner')
  client.requestTend()
  client.setTendInterval('100ms')
  await until(() => client.status().tendIntervalMs === 100)
  client.setTendInterval(50)
  await until(() => client.status().tendIntervalMs === 50)
})

test('a private map needs no shared memory', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect({ ...settings, useShm: false }))
  assert.ok(client.route('test', 'users', 42).address)
})

test('both module systems export the same', () => {
  assert.equal(tendmap.Client, Client)
  assert.match(version, /^\d+\.\d+\.\d+/)
})

test('opening and closing leaves nothing behind', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const { shmDirectory } = settings
  const use = (opened) => {
    opened.on('change', () => {})
    opened.route('test', 'users', 1)
    return opened
  }
  const round = async () => {
    use(Reader.open({ shmDirectory })).close()
    use(Client.connectSync(settings)).close()
    await use(await Client.connect(settings)).closeAsync()
    Reader.open({ shmDirectory })[Symbol.dispose]()
    await Reader.open({ shmDirectory })[Symbol.asyncDispose]()
  }
  const left = () => ['fd', 'task'].map((what) => readdirSync(`/proc/self/${what}`).length)
  for (let count = 0; count < 5; count++) await round()
  const before = left()
  for (let count = 0; count < 50; count++) await round()
  // A thread that has said that it is done may take a moment to end.
  await until(() => left().every((count, at) => count <= before[at]))
  assert.ok(client.route('test', 'users', 1))
})
