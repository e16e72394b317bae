import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, readdir } from 'node:fs/promises'
import { readFileSync, readdirSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { Client, ClosedError, Reader, status } from '../index.mjs'
import { cluster, closing, program, test, until } from './common.mjs'

const threads = () => readdirSync('/proc/self/task').map((task) => {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}).filter((name) => name === 'tendmap-events').length

test('events of a client and of a reader', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const reader = closing(t, Reader.open({ shmDirectory: settings.shmDirectory }))
  for (const it of [client, reader]) {
    const before = it.nodes()
    const changed = once(it, 'change')
    const added = once(it, 'node-added')
    const number = sim.add()
    const [change] = await changed
    assert.ok(change.sequence > 0)
    const [node] = await added
    assert.equal(it.nodes().length, before.length + 1)
    assert.ok(it.nodes().includes(node) && !before.includes(node))
    const removed = once(it, 'node-removed')
    sim.remove(number)
    assert.equal((await removed)[0], node)
    assert.deepEqual(it.nodes(), before)
  }
})

test('the events of the tender', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const seen = []
  client.on('event', (event) => seen.push(event))
  // What happened before the first listener is not lost.
  const owner = await until(() => seen.find((event) => event.type === 'owner'))
  assert.ok(owner.time instanceof Date && owner.level === 'info' && owner.generation >= 1)
  sim.add()
  const added = await until(() => seen.find((event) => event.type === 'node-added' && !sim.hosts.slice(0, 3).includes(event.address)))
  assert.equal(added.address, sim.hosts[3])
  // A listener has taken them.
  for (const event of client.events()) assert.ok(!seen.some((other) => isDeepStrictEqual(event, other)))
  client.removeAllListeners()
  // The tender reports what it finds before it publishes it.
  await until(() => client.nodes().length === 4)
  sim.stop(1)
  await until(() => client.nodes().length === 3)
  const kept = client.events().map((event) => event.type)
  assert.ok(kept.includes('node-removed'), String(kept))
})

test('h224_a_listener_for_one_event_of_node_leaves_the_others', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const [first] = await once(client, 'event')
  const rest = client.events()
  const added = ({ type }) => type === 'node-added'
  assert.equal([first, ...rest].filter(added).length, 3, `only ${JSON.stringify(first)}`)
  assert.deepEqual(client.events(), [])
  // One after the other, in their order.
  const other = closing(t, await Client.connect({ ...settings, useShm: false }))
  const seen = []
  while (seen.filter(added).length < 3) seen.push((await once(other, 'event'))[0])
  assert.deepEqual(seen.map(({ time }) => +time), seen.map(({ time }) => +time).sort())
})

test('every event of the library has a type', () => {
  const source = readFileSync(new URL('../../../src/client/json/event.rs', import.meta.url), 'utf8').split('#[cfg(test)]\nmod tests')[0]
  const names = [...source.matchAll(/"event": "(\w+)"/g)].map(([, name]) => name)
  names.push('owner', 'takeover', 'events_lost')
  const mirror = source.slice(source.indexOf('fn mirror('), source.indexOf('fn tend('))
  names.push(...[...mirror.matchAll(/\("(\w+)", /g)].map(([, name]) => `c_client_${name}`))
  const types = readFileSync(new URL('../index.d.ts', import.meta.url), 'utf8')
  const known = [...types.matchAll(/\| EventBase<'([\w-]+)'>/g)].map(([, name]) => name)
  assert.deepEqual([...known].sort(), [...new Set(names)].map((name) => name.replaceAll('_', '-')).sort())
})

test('roles change', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const other = program(t, `
    import { Client } from './index.mjs'
    const client = await Client.connect(${JSON.stringify(settings)})
    client.on('role', (role, previous) => console.log(previous, role))
    console.log(client.role)
    client.ref()
    process.stdin.on('end', () => client.close()).resume()
  `)
  assert.match(await other.line(), /standby|follower/)
  client.close()
  let line
  do line = await other.line()
  while (!line.endsWith('owner'))
  other.child.stdin.end()
  assert.equal(await other.exit, 0)
})

/** Waits without the event loop, as a program that computes does. */
function block (f) {
  while (!f()) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
}

test('h182_a_change_between_a_look_and_the_listener_is_reported', async (t) => {
  const { sim, settings } = cluster(t)
  const { shmDirectory } = settings
  const client = closing(t, await Client.connect(settings))
  const reader = closing(t, Reader.open({ shmDirectory }))
  for (const [it, count] of [[client, 4], [reader, 5]]) {
    const before = it.nodes()
    sim.add()
    block(() => status({ shmDirectory }).nodes === count)
    const [change] = await once(it, 'change')
    assert.equal(change.added.length, 1)
    assert.deepEqual(change.nodes.filter((node) => node !== change.added[0]), before)
    // Between two listeners, too.
    const { sequence } = it
    sim.setBuild(1, `9.${count}`)
    block(() => status({ shmDirectory }).sequence > sequence)
    await once(it, 'change')
  }
})

test('h182_a_new_role_between_a_look_and_the_listener_is_reported', async (t) => {
  const { settings } = cluster(t)
  const owner = program(t, `
    import { Client } from './index.mjs'
    const client = await Client.connect(${JSON.stringify(settings)})
    console.log(client.role)
    client.ref()
  `)
  assert.equal(await owner.line(), 'owner')
  const client = closing(t, await Client.connect(settings))
  assert.notEqual(client.role, 'owner')
  owner.child.kill('SIGKILL')
  block(() => client.status().ownerPid === process.pid)
  const roles = []
  while (roles.at(-1) !== 'owner') roles.push((await once(client, 'role'))[0])
})

test('h110_a_wait_in_node_sees_a_change_of_the_cluster', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const sizes = []
  let last = client.sequence
  sim.add()
  for await (const change of client.changes()) {
    assert.ok(change.sequence > last)
    last = change.sequence
    sizes.push(change.nodes.length)
    if (change.added.length === 1) sim.stop(1)
    if (change.removed.length === 1 && change.nodes.length === 3) break
  }
  assert.ok(sizes.includes(4))
  await until(() => threads() === 0)
  // Changes between two steps of a slow loop are one.
  const changes = client.changes()
  const before = client.nodes()
  sim.start(1)
  await until(() => client.nodes().length === 4)
  const { value } = await changes.next()
  assert.equal(value.added.length, 1)
  assert.equal(value.removed.length, 0)
  assert.notDeepEqual(value.nodes, before)
  await changes.return()
  assert.deepEqual(await changes.next(), { done: true, value: undefined })
})

test('a signal ends a wait and leaves nothing behind', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const abort = new AbortController()
  const loop = (async () => {
    for await (const change of client.changes({ signal: abort.signal })) assert.ok(change)
  })()
  const settled = []
  const wait = (async () => {
    for (let sequence = client.sequence; ;) sequence = await client.waitForChange(sequence, { signal: abort.signal })
  })()
  await until(() => threads() === 1)
  abort.abort(new Error('enough'))
  await assert.rejects(loop, /enough/)
  await assert.rejects(wait, /enough/)
  await until(() => threads() === 0)
  await assert.rejects(client.waitForChange(client.sequence, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  await assert.rejects(client.changes({ signal: AbortSignal.abort() }).next(), { name: 'AbortError' })
  assert.deepEqual(settled, [])
})

test('h110_waiting_in_node_ends_with_a_change_the_time_a_signal_or_closing', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const sequence = client.sequence
  assert.equal(await client.waitForChange(sequence - 1), sequence)
  sim.add()
  assert.ok(await client.waitForChange(sequence) > sequence)
  await sim.settle()
  let now = client.sequence
  while ((await client.waitForChange(now, { timeout: 300 })) !== now) now = client.sequence
  assert.equal(await client.waitForChange(now, { timeout: 0 }), now)
  const waiting = client.waitForChange(client.sequence)
  const loop = (async () => { for await (const change of client.changes()) assert.ok(change) })()
  setTimeout(() => client.close(), 10)
  await assert.rejects(waiting, ClosedError)
  await loop
})

test('h110_waits_of_node_occupy_no_thread_of_its_pool', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const abort = new AbortController()
  const warnings = []
  const warn = (warning) => warnings.push(warning)
  process.on('warning', warn)
  t.after(() => process.off('warning', warn))
  // Each waits for a change that does not come; the pool has four threads.
  const waits = Array.from({ length: 16 }, () => client.waitForChange(client.sequence, { signal: abort.signal }))
  const done = Promise.allSettled(waits)
  for (let count = 0; count < 8; count++) {
    assert.ok((await readFile('/proc/self/status')).length > 0)
    assert.ok((await readdir('/')).length > 0)
  }
  // Its name is seen as soon as the thread has run.
  await until(() => threads() === 1)
  abort.abort()
  assert.ok((await done).every(({ reason }) => reason === abort.signal.reason))
  // Such as one of many listeners of a signal.
  assert.deepEqual(warnings, [])
})

test('h110_no_wait_holds_up_the_end_of_a_node_process', async (t) => {
  const { settings } = cluster(t)
  const start = `
    import { Client } from './index.mjs'
    const client = await Client.connect(${JSON.stringify(settings)})
    client.on('change', () => {})
  `
  assert.equal(await program(t, start).exit, 0)
  assert.equal(await program(t, `${start}; client.ref(); client.unref()`).exit, 0)
  assert.equal(await program(t, `${start}; client.waitForChange(client.sequence, { ref: false })`).exit, 0)
  // Node's code for a process whose main module awaits what nothing can settle.
  assert.equal(await program(t, `${start}; await client.waitForChange(client.sequence, { ref: false })`).exit, 13)
  for (const end of ['client.ref()', 'client.waitForChange(client.sequence).catch(() => {})']) {
    const running = program(t, `${start}; ${end}; process.stdin.once('data', () => client.close()); process.stdin.unref(); console.log('on')`)
    assert.equal(await running.line(), 'on')
    running.child.stdin.write('x')
    assert.equal(await running.exit, 0)
  }
})

test('an exception of a listener hides no event', async (t) => {
  const { settings } = cluster(t)
  const program_ = program(t, `
    import { Client } from './index.mjs'
    import { SimulatedCluster } from './testing.mjs'
    const sim = new SimulatedCluster()
    const client = await Client.connect({ ...${JSON.stringify(settings)}, shmKey: 5, hosts: sim.hosts })
    process.on('uncaughtException', (error) => console.log(error.message))
    client.on('change', () => { throw new Error('mine') })
    client.on('node-added', () => { console.log('added'); setImmediate(() => process.exit(0)) })
    client.ref()
    sim.add()
  `)
  const lines = []
  for (let line; (line = await program_.line()) !== undefined;) lines.push(line)
  assert.ok(lines.includes('mine') && lines.includes('added'), String(lines))
})

test('h186_a_listener_of_node_that_closes_hears_of_nothing_afterwards', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const heard = []
  client.on('change', () => client.close())
  for (const name of ['node-added', 'role', 'event', 'close']) client.on(name, () => heard.push([name, client.closed]))
  sim.add()
  await once(client, 'close')
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(heard.filter(([, closed]) => closed), [['close', true]])
})

test('every closeAsync waits until it is closed', async (t) => {
  const { settings } = cluster(t)
  const client = await Client.connect(settings)
  const order = []
  client.on('close', () => order.push('close'))
  const calls = [client.closeAsync(), client.closeAsync(), client.closeAsync()]
  await Promise.all(calls.map((call) => call.then(() => order.push('resolved'))))
  assert.deepEqual(order, ['close', 'resolved', 'resolved', 'resolved'])
})

test('h194_close_of_node_waits_for_a_close_that_is_under_way', async (t) => {
  const { settings } = cluster(t)
  const { shmDirectory } = settings
  for (let round = 0; round < 10; round++) {
    const client = await Client.connect(settings)
    const order = []
    client.on('close', () => order.push('close'))
    const closing = client.closeAsync().then(() => order.push('resolved'))
    assert.equal(client.closed, true)
    client.close()
    // It was the last one, so the segment is gone.
    assert.throws(() => status({ shmDirectory }), { code: 'SEGMENT' })
    assert.deepEqual(order, ['close'])
    await closing
    client.close()
    assert.deepEqual(order, ['close', 'resolved'])
  }
})

test('h195_a_wait_of_node_lasts_longer_than_the_longest_timer', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const { setTimeout: before } = globalThis
  const timers = []
  // The pieces of the wait, as fast as they are set.
  const pass = () => {
    globalThis.setTimeout = (f, ms) => {
      timers.push({ f, ms })
      return before(() => {}, 0)
    }
    try {
      return timers.length === 0 ? client.waitForChange(client.sequence, { timeout: 2 ** 33 + 5 }) : timers.at(-1).f()
    } finally {
      globalThis.setTimeout = before
    }
  }
  let ended = false
  const wait = pass().finally(() => { ended = true })
  const sum = () => timers.reduce((sum, { ms }) => sum + ms, 0)
  while (sum() < 2 ** 33 + 5) {
    const count = timers.length
    pass()
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(ended, false, `after ${sum()} ms`)
    assert.equal(timers.length, count + 1)
  }
  pass()
  assert.equal(await wait, client.sequence)
  assert.equal(sum(), 2 ** 33 + 5)
  assert.ok(timers.every(({ ms }) => ms < 2 ** 31))
})

test('h243_timers_that_a_test_of_node_replaces_end_neither_a_connect_nor_a_wait', async (t) => {
  const { sim, settings } = cluster(t)
  const other = program(t, `
    import { Client } from './index.mjs'
    for (const name of ['setInterval', 'setTimeout', 'setImmediate']) {
      globalThis[name] = () => ({ ref () {}, unref () {} })
      globalThis[name.replace('set', 'clear')] = () => {}
    }
    const client = await Client.connect(${JSON.stringify(settings)})
    const { sequence } = client
    console.log('waits')
    console.log(await client.waitForChange(sequence) > sequence)
    // The listener hears of what differs from what was read last, without a further change.
    const known = client.sequence
    process.stdin.once('data', () => {
      while (client.status().sequence === known) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
      client.once('change', async () => {
        await client.closeAsync()
        console.log('heard')
      })
    })
    console.log('listens')
  `)
  assert.equal(await other.line(), 'waits')
  sim.stop(1)
  assert.equal(await other.line(), 'true')
  assert.equal(await other.line(), 'listens')
  sim.stop(2)
  other.child.stdin.end('x')
  assert.equal(await other.line(), 'heard')
  assert.equal(await other.exit, 0)
})

test('closing emits close once', async (t) => {
  const { settings } = cluster(t)
  const client = await Client.connect(settings)
  let closes = 0
  client.on('close', () => closes++)
  await client.closeAsync()
  client.close()
  assert.equal(closes, 1)
  assert.equal(client.closed, true)
})
