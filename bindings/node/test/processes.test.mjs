import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { chownSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { Client } from '../index.mjs'
import { ROOT, cluster, closing, directory, ended, program, test, until } from './common.mjs'

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
  const roles = []
  client.on('role', (role, previous) => roles.push([role, previous]))
  owner.child.kill('SIGKILL')
  assert.equal(await owner.exit, 'SIGKILL')
  assert.equal(client.route('test', 'users', 42), before)
  await until(() => roles.at(-1)?.[0] === 'owner')
  // Each begins where the one before has ended.
  roles.slice(1).forEach(([, previous], at) => assert.equal(previous, roles[at][0]))
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

test('h183_modules_that_are_loaded_again_do_not_take_each_others_news', async (t) => {
  const { sim, settings } = cluster(t)
  const require = createRequire(import.meta.url)
  // As runners of tests do for each file; the second time the addon as well.
  const again = (addon) => {
    const own = Object.keys(require.cache).filter((name) => name.startsWith(ROOT) && (addon || !name.endsWith('.node')))
    for (const name of own) delete require.cache[name]
    return require(ROOT)
  }
  const loaded = [{ Client }, again(false), again(true)]
  const opened = await Promise.all(loaded.map((tendmap) => tendmap.Client.connect(settings)))
  for (const client of opened) closing(t, client)
  const waits = opened.map((client) => client.waitForChange(client.sequence))
  sim.add()
  for (const sequence of await Promise.all(waits)) assert.ok(sequence > 0)
})

test('h196_what_a_node_program_has_lost_is_closed_without_another_thread', async (t) => {
  const { settings } = cluster(t)
  // The limit of processes does not hold for root.
  if (process.getuid() === 0) chownSync(settings.shmDirectory, 65534, 65534)
  const running = program(t, `
    import { execFileSync } from 'node:child_process'
    import { setFlagsFromString } from 'node:v8'
    import { runInNewContext } from 'node:vm'
    import { Client, status } from './index.mjs'
    if (process.getuid() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534) }
    const settings = ${JSON.stringify(settings)}
    const attached = () => {
      try {
        return status({ shmDirectory: settings.shmDirectory }).attached
      } catch (error) {
        return error.code
      }
    }
    let lost = Client.connectSync(settings)
    const abort = new AbortController()
    const aborted = Client.connect(settings, { signal: abort.signal }).catch((error) => error.name)
    console.log(attached())
    execFileSync('prlimit', ['--nproc=1:1', '--pid', String(process.pid)])
    const code = await Client.connect(settings).catch((error) => error.code)
    abort.abort()
    console.log(code, await aborted)
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc')
    lost = null
    while (attached() !== 'SEGMENT') {
      gc()
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    console.log('closed')
  `)
  assert.equal(await running.line(), '1')
  assert.equal(await running.line(), 'THREAD AbortError')
  assert.equal(await running.line(), 'closed')
  assert.equal(await running.exit, 0)
})

/** A thread that connects, reports the owner's pid, and then runs `then`. */
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
  // The library has one observer for the attachment; every thread gets its events.
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
      const [message] = await once(worker, 'message')
      assert.doesNotMatch(message, /Error/)
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
