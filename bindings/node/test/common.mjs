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

/** A test with a limit of its own: that of `node --test` ends the file, and names no test. */
export function test (name, ...rest) {
  const f = rest.pop()
  return timed(name, { timeout: 200_000, ...rest[0] }, f)
}

/** A directory for segments, which ends with the test. */
export function directory (t) {
  const made = mkdtempSync(path.join(tmpdir(), 'tendmap-node-'))
  t.after(() => rmSync(made, { recursive: true, force: true }))
  return made
}

/** A simulated cluster, and settings that lead to it. */
export function cluster (t, options = {}) {
  const sim = new SimulatedCluster(options)
  t.after(() => sim.close())
  const settings = { hosts: sim.hosts, shmDirectory: directory(t), tendInterval: 50 }
  return { sim, settings }
}

/** Closes what the test has opened. Until then it keeps the process running, as listeners do not. */
export function closing (t, opened) {
  t.after(() => opened.close())
  return opened.ref()
}

/** Another process of Node, and the lines that it prints. */
export function program (t, source, ...args) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, ...args],
    { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return { child, line: async () => (await lines.next()).value, exit: ended(child) }
}

/**
 * The exit code of a process, or the signal that has ended it. With `close` also all that
 * it and its children have printed was read.
 */
export function ended (child, event = 'exit') {
  return once(child, event).then(([code, signal]) => code ?? signal)
}

/** Waits until `f` returns something; the test's own timeout ends it. */
export async function until (f) {
  for (;;) {
    const found = await f()
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
