// The example: a server of several processes.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { describe } from 'node:test'
import { ROOT, after, directory, ended, killed, test, until } from './common.mjs'

const SERVER = path.join(ROOT, 'examples', 'server.mjs')

/** The example, and the port at which its workers listen. */
async function server (t, environment = {}) {
  const shmDirectory = directory(t)
  const child = spawn(process.execPath, [SERVER], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TENDMAP_LISTEN: '0', TENDMAP_SETTINGS: JSON.stringify({ shmDirectory, tendInterval: 50 }), ...environment }
  })
  const exit = ended(child, 'close')
  after(t, () => killed(child, exit))
  return { child, lines: createInterface({ input: child.stdout }), errors: createInterface({ input: child.stderr }), exit }
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

/** What a server printed before it ended with an error. */
async function failed (t, environment) {
  const { errors, exit } = await server(t, environment)
  const lines = []
  errors.on('line', (line) => lines.push(line))
  assert.equal(await exit, 1, lines.join('\n'))
  // Workers that were starting then may have printed something more.
  const last = lines.indexOf('8 workers in a row ended before they had served; giving up')
  assert.ok(last >= 0 && lines.length <= 13, lines.join('\n'))
  return lines
}

// Their pauses pass at the same time.
describe('a server that gives up', { concurrency: true }, () => {
  test('h111_a_server_whose_workers_can_not_start_says_why_and_gives_up', async (t) => {
    const cases = [
      [{ TENDMAP_HOSTS: 'not a host' }, /not a host/],
      [{ TENDMAP_HOSTS: '127.0.0.1:1' }, /can't tend the cluster/],
      [{ TENDMAP_SETTINGS: '{' }, /JSON/],
      [{ TENDMAP_SETTINGS: '{"shm_key":1}' }, /write shmKey/],
      [{ TENDMAP_LISTEN: '-1' }, /port/]
    ]
    await Promise.all(cases.map(async ([environment, why]) => {
      const lines = await failed(t, environment)
      const told = lines.filter((line) => /^worker \d+: /.test(line) && why.test(line))
      assert.ok(told.length >= 8, lines.join('\n'))
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
    await failed(t, { NODE_OPTIONS: `--require ${ends}` })
  })
})
