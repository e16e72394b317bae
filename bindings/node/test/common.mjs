// What the tests share.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test as timed } from 'node:test'
import { SimulatedCluster } from '../testing.mjs'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const REPOSITORY = path.join(ROOT, '..', '..')

/** The limit of a test, in milliseconds. */
const LIMIT = 200_000

/** A test with a limit of its own: that of `node --test` ends the file, and names no test. */
export function test (name, ...rest) {
  const f = rest.pop()
  return timed(name, { timeout: LIMIT, ...rest[0] }, f)
}

const ends = new WeakMap()

/**
 * Runs `f` after the test, what was begun last first: a client makes files as long as it is
 * open. All of them run, whichever fails. (Hooks of `t` run in the order in which they were
 * added, until one fails.)
 */
export function after (t, f) {
  if (!ends.has(t)) {
    const all = []
    ends.set(t, all)
    t.after(async () => {
      const failures = []
      for (const end of all.reverse()) {
        try {
          await end()
        } catch (error) {
          failures.push(error)
        }
      }
      if (failures.length > 0) throw failures[0]
    })
  }
  ends.get(t).push(f)
}

/** A directory for segments, which ends with the test. */
export function directory (t) {
  const made = mkdtempSync(path.join(tmpdir(), 'tendmap-node-'))
  after(t, () => until(() => {
    try {
      rmSync(made, { recursive: true, force: true })
      return true
    } catch (error) {
      // The thread of a connect that was aborted may be making a file.
      if (error.code !== 'ENOTEMPTY') throw error
    }
  }))
  return made
}

/** A simulated cluster, and settings that lead to it. */
export function cluster (t, options = {}) {
  const sim = new SimulatedCluster(options)
  after(t, () => sim.close())
  const settings = { hosts: sim.hosts, shmDirectory: directory(t), tendInterval: 50 }
  return { sim, settings }
}

/** Closes what the test has opened. Until then it keeps the process running, as listeners do not. */
export function closing (t, opened) {
  after(t, () => opened.close())
  return opened.ref()
}

/** Another process of Node, and the lines that it prints. */
export function program (t, source, ...args) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, ...args],
    { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const exit = ended(child)
  after(t, () => killed(child, exit))
  return { child, line: async () => (await lines.next()).value, exit }
}

/**
 * The exit code of a process, or the signal that has ended it. With `close` also all that
 * it and its children have printed was read.
 */
export function ended (child, event = 'exit') {
  return once(child, event).then(([code, signal]) => code ?? signal)
}

/** Kills a process, and waits until it has ended. */
export function killed (child, exit) {
  child.kill('SIGKILL')
  return exit
}

/** Waits until `f` returns something. It ends before the test does, which it would outlive. */
export async function until (f) {
  for (const last = performance.now() + LIMIT * 0.9; performance.now() < last;) {
    const found = await f()
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`waited in vain: ${f}`)
}
