import assert from 'node:assert/strict'
import { spawn, fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { Client } from '../index.mjs'
import { ROOT, cluster, closing, directory, ended, program, until } from './common.mjs'

const SERVER = path.join(ROOT, 'examples', 'server.mjs')

/** The example, and the port at which its workers listen. */
async function server (t, environment = {}) {
  const shmDirectory = directory(t)
  const child = spawn(process.execPath, [SERVER], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TENDMAP_LISTEN: '0', TENDMAP_SETTINGS: JSON.stringify({ shmDirectory, tendInterval: 50 }), ...environment }
  })
  t.after(() => child.kill('SIGKILL'))
  return { child, lines: createInterface({ input: child.stdout }), errors: createInterface({ input: child.stderr }), exit: ended(child) }
}

test('the example serves, survives kill -9 of the owner, and ends', async (t) => {
  const { child, lines, exit } = await server(t)
  const listening = []
  lines.on('line', (line) => {
    const [, pid, port] = /^worker (\d+) listens at port (\d+)/.exec(line) ?? []
    if (pid) listening.push({ pid: Number(pid), port: Number(port) })
  })
  await until(() => listening.length >= 4)
  const ask = async (query) => {
    const answer = await fetch(`http://127.0.0.1:${listening[0].port}/${query}`, { headers: { connection: 'close' } })
    return { status: answer.status, ...await answer.json() }
  }
  const owner = () => until(async () => {
    const found = await ask('?key=42').catch(() => null)
    return found?.role === 'owner' ? found : null
  })
  const first = await owner()
  for (const pid of listening.map((worker) => worker.pid)) assert.ok(pid > 0)
  process.kill(first.pid, 'SIGKILL')
  const second = await owner()
  assert.notEqual(second.pid, first.pid)
  assert.equal(second.node, first.node)
  assert.equal((await ask('?key=x')).status, 400)
  assert.equal((await ask('?key=99999999999999999999')).status, 400)
  await until(() => listening.length >= 5)
  child.kill('SIGTERM')
  assert.equal(await exit, 0)
})

test('h111_a_server_whose_workers_can_not_start_says_why_and_gives_up', async (t) => {
  const cases = [
    [{ TENDMAP_HOSTS: 'not a host' }, /not a host/],
    [{ TENDMAP_HOSTS: '127.0.0.1:1' }, /can't tend the cluster/],
    [{ TENDMAP_SETTINGS: '{' }, /JSON/],
    [{ TENDMAP_SETTINGS: '{"shm_key":1}' }, /write shmKey/],
    [{ TENDMAP_LISTEN: '-1' }, /port/]
  ]
  // Their pauses pass at the same time.
  await Promise.all(cases.map(async ([environment, why]) => {
    const { errors, exit } = await server(t, environment)
    const lines = []
    errors.on('line', (line) => lines.push(line))
    assert.equal(await exit, 1, lines.join('\n'))
    const told = lines.filter((line) => /^worker \d+: /.test(line) && why.test(line))
    assert.ok(told.length >= 8 && lines.length <= 13, lines.join('\n'))
    assert.match(lines.at(-1), /8 workers in a row ended before they had served; giving up/)
  }))
})

test('h111_a_server_whose_workers_end_as_they_listen_gives_up', async (t) => {
  const ends = path.join(directory(t), 'ends.cjs')
  writeFileSync(ends, `
    const { Server } = require('node:net')
    const listen = Server.prototype.listen
    Server.prototype.listen = function (...given) {
      if (require('node:cluster').isWorker) this.on('listening', () => process.exit(1))
      return listen.apply(this, given)
    }
  `)
  const { errors, exit } = await server(t, { NODE_OPTIONS: `--require ${ends}` })
  const lines = []
  errors.on('line', (line) => lines.push(line))
  assert.equal(await exit, 1)
  assert.match(lines.at(-1), /giving up/)
})

test('kill -9 of the owner: others route on, and one takes over', async (t) => {
  const { settings } = cluster(t)
  const source = `
    import { Client } from './index.mjs'
    const client = await Client.connect(${JSON.stringify(settings)})
    console.log(client.role)
    client.ref()
  `
  const owner = program(t, source)
  assert.equal(await owner.line(), 'owner')
  const client = closing(t, await Client.connect(settings))
  const before = client.route('test', 'users', 42)
  const owning = once(client, 'role')
  owner.child.kill('SIGKILL')
  assert.equal(await owner.exit, 'SIGKILL')
  assert.equal(client.route('test', 'users', 42), before)
  let [role] = await owning
  while (role !== 'owner') [role] = await once(client, 'role')
  assert.equal(client.status().ownerPid, process.pid)
})

test('a process that exits in order hands over', async (t) => {
  const { settings } = cluster(t)
  const source = `
    import { Client, status } from './index.mjs'
    const client = await Client.connect(${JSON.stringify(settings)})
    console.log(client.role)
    process.exit(0)
  `
  const last = program(t, source)
  assert.equal(await last.line(), 'owner')
  assert.equal(await last.exit, 0)
  // It was the last one, so the segment is gone.
  const { status } = await import('../index.mjs')
  assert.throws(() => status({ shmDirectory: settings.shmDirectory }), { code: 'SEGMENT' })
})

test('child_process.fork', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const file = path.join(directory(t), 'child.mjs')
  writeFileSync(file, `
    import { Client } from ${JSON.stringify(path.join(ROOT, 'index.mjs'))}
    process.once('message', async (settings) => {
      const client = await Client.connect(settings)
      process.send({ node: client.route('test', 'users', 42).name, role: client.role }, () => process.disconnect())
    })
  `)
  const child = fork(file)
  child.send(settings)
  const [message] = await once(child, 'message')
  assert.equal(message.node, client.route('test', 'users', 42).name)
  assert.match(message.role, /standby|follower/)
  assert.equal(await ended(child), 0)
})

/** A thread that connects, tells the owner's pid, and then runs `then`. */
function thread (settings, then) {
  const source = `
    const { workerData, parentPort } = require('node:worker_threads')
    const { Client, Reader } = require(workerData.root)
    const settings = workerData.settings
    Client.connect(settings).then(async (client) => {
      const reader = Reader.open({ shmDirectory: settings.shmDirectory })
      client.on('change', () => {})
      client.on('event', (event) => parentPort.postMessage(event.type))
      parentPort.postMessage(client.route('test', 'users', 42).name)
      ${then}
    }).catch((error) => { parentPort.postMessage(error.stack) })
  `
  return new Worker(source, { eval: true, workerData: { root: ROOT, settings } })
}

test('h170_every_thread_gets_the_events_of_the_attachment_that_they_share', async (t) => {
  const { sim, settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const name = client.route('test', 'users', 42).name
  const workers = Array.from({ length: 3 }, () => thread(settings, 'client.ref(); reader.ref()'))
  const told = workers.map((worker) => {
    const lines = []
    worker.on('message', (line) => lines.push(line))
    return lines
  })
  await until(() => told.every((lines) => lines.includes(name)))
  // The library tells one observer for the attachment; every thread gets its events.
  sim.add()
  await until(() => told.every((lines) => lines.includes('node-added')))
  for (const worker of workers) await worker.terminate()
  assert.equal(client.route('test', 'users', 42).name, name)
  assert.equal(client.role, 'owner')
  client.close()
})

test('h171_a_thread_that_is_terminated_while_it_waits_closes_its_clients', async (t) => {
  const { settings } = cluster(t)
  const client = closing(t, await Client.connect(settings))
  const waits = [
    'await client.waitForChange(client.sequence)',
    'for await (const change of client.changes()) parentPort.postMessage(change.sequence)',
    'for (;;) client.route("test", "users", 1)',
    'Client.connect(settings); Client.connect({ ...settings, shmKey: 9, hosts: "127.0.0.1:1" }).catch(() => {})',
    'for (;;) { const other = await Client.connect(settings); other.on("change", () => {}); await other.closeAsync() }',
    'client.close(); reader.close()',
    'process.exit(3)',
    'throw new Error("mine")'
  ]
  for (let round = 0; round < 3; round++) {
    for (const wait of waits) {
      const worker = thread(settings, wait)
      await once(worker, 'message')
      await worker.terminate()
    }
  }
  // The owner is this thread's client: nothing has ended it.
  assert.equal(client.role, 'owner')
  assert.ok(client.route('test', 'users', 42).address)
})

test('the last thread with a client may end before the process does', async (t) => {
  const { settings } = cluster(t)
  const running = program(t, `
    import { Worker } from 'node:worker_threads'
    const worker = new Worker(\`
      import(${JSON.stringify(path.join(ROOT, 'index.mjs'))}).then(async ({ Client }) => {
        const client = await Client.connect(${JSON.stringify(settings)})
        client.on('change', () => {})
        const { parentPort } = await import('node:worker_threads')
        parentPort.postMessage(client.role)
        client.ref()
      })
    \`, { eval: true })
    worker.on('message', async (role) => {
      console.log(role)
      await worker.terminate()
      setTimeout(() => console.log('after'), 200)
    })
  `)
  assert.equal(await running.line(), 'owner')
  assert.equal(await running.line(), 'after')
  assert.equal(await running.exit, 0)
})
