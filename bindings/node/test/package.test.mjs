// The package as npm packs and installs it.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, before } from 'node:test'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { REPOSITORY, ROOT, directory, test } from './common.mjs'

const project = mkdtempSync(path.join(tmpdir(), 'tendmap-project-'))
const installed = path.join(project, 'node_modules', 'tendmap')
const npm = (args, options) => execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { encoding: 'utf8', ...options })
let tarball

before(() => {
  const [packed] = JSON.parse(npm(['pack', '--json', '--pack-destination', project], { cwd: ROOT }))
  tarball = path.join(project, packed.filename)
  writeFileSync(path.join(project, 'package.json'), '{ "name": "empty", "private": true }')
  // No toolchain: cargo can't be found, and nothing needs it on this platform.
  const bin = path.join(project, 'bin')
  mkdirSync(bin)
  for (const tool of ['node', 'npm', 'sh']) symlinkSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), path.join(bin, tool))
  npm(['install', '--no-package-lock', '--offline', tarball], { cwd: project, env: { ...process.env, PATH: bin } })
})
after(() => rmSync(project, { recursive: true, force: true }))

test('the package has what it needs, and nothing else', () => {
  const files = readdirSync(installed)
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE', 'CHANGELOG.md', 'README.md', 'index.d.ts', 'native', 'tendmap.linux-x64-gnu.node']) {
    if (name.endsWith('.node') && process.arch !== 'x64') continue
    assert.ok(files.includes(name), `${name} of ${files}`)
  }
  for (const name of ['test', 'bench', 'src', 'node_modules', 'target']) assert.ok(!files.includes(name), name)
  // Nothing is left in the repository.
  for (const name of ['native', 'LICENSE-MIT', 'CHANGELOG.md']) assert.ok(!existsSync(path.join(ROOT, name)), name)
})

test('the package has the version of the crate, and depends on nothing', () => {
  const { version, dependencies } = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8'))
  assert.equal(version, /^version = "(.*)"/m.exec(readFileSync(path.join(REPOSITORY, 'Cargo.toml'), 'utf8'))[1])
  assert.equal(dependencies, undefined)
})

/** The compiler; the lock file of this folder names its version. */
const typescript = path.join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')

const SOURCE = `
import { Client, Reader, Batch, Change, ClientEvent, Node, Policy, Route, Role, Settings, Status, TendmapError, ConfigError, Double, NO_NODE, digest, status } from 'tendmap'
import { SimulatedCluster } from 'tendmap/testing'

async function main (): Promise<void> {
  const sim: SimulatedCluster = new SimulatedCluster({ nodes: 3, namespaces: { test: 2 } })
  const settings: Settings = { hosts: sim.hosts, shmDirectory: process.argv[2]!, tendInterval: '50ms' }
  const client: Client = await Client.connect(settings, { signal: AbortSignal.timeout(30_000) })
  const node: Node = client.route('test', 'users', 42)
  const policy: Policy = 'any'
  const route: Route = client.retry(client.locate('test', null, 2n ** 40n, policy))
  const batch: Batch = client.routeBatch('test', 'users', BigInt64Array.of(1n, 2n))
  const groups: Map<Node, number[]> = batch.groups()
  client.on('change', (change: Change) => { change.added.map((added) => added.address) })
  client.on('node-added', (added) => { const text: string = added.name; void text })
  client.on('role', (role: Role, previous) => { void [role, previous] })
  client.once('role', (role) => { const name: 'owner' | 'standby' | 'follower' | 'closed' = role; void name })
  // @ts-expect-error A role is no number.
  client.once('role', (role: number) => { void role })
  // @ts-expect-error An unknown event.
  client.on('rolle', () => {})
  client.on('event', (event: ClientEvent) => {
    if (event.type === 'node-failed') { const text: string = event.error; void text }
    // @ts-expect-error
    if (event.type === 'node-faild') void event
  })
  const found: Status = client.status()
  const reader: Reader = Reader.open({ shmDirectory: settings.shmDirectory })
  reader.once('node-removed', (removed) => { void removed.host })
  // @ts-expect-error A reader has no role.
  void (() => reader.on('role', () => {}))
  // @ts-expect-error An unknown setting.
  void (() => Client.connect({ hosts: 'a', shmKye: 5 }))
  // @ts-expect-error A key is no boolean.
  void (() => client.route('test', 'users', true))
  // @ts-expect-error An unknown policy.
  void (() => client.route('test', 'users', 1, 'masters'))
  try {
    client.route('nope', 'users', new Double(1.5))
  } catch (error) {
    if (!(error instanceof TendmapError) || error instanceof ConfigError) throw error
    const code: 'NAMESPACE_UNKNOWN' | string = error.code
    void code
  }
  const abort = new AbortController()
  setTimeout(() => abort.abort(new Error('enough')), 10)
  try {
    for await (const change of client.changes({ signal: abort.signal })) { const count: number = change.nodes.length; void count }
  } catch (error) {
    if (error !== abort.signal.reason) throw error
  }
  console.log([node.port > 0, route.attempt, groups.size > 0, batch.indexes[0] !== NO_NODE, found.healthy, digest('users', 'a').length, status({ shmDirectory: settings.shmDirectory }).nodes].join())
  reader.close()
  await client.closeAsync()
  sim.close()
}
void main()
`

const DEFAULT = `
import tendmap from 'tendmap'
import testing from 'tendmap/testing'
const same: [typeof Client, typeof SimulatedCluster] = [tendmap.Client, testing.SimulatedCluster]
void same
`

for (const [name, module, file, json, more] of [
  ['an ES module', 'NodeNext', 'main.mts', {}, DEFAULT],
  ['CommonJS', 'NodeNext', 'main.cts', {}, '']
]) {
  test(`TypeScript with --strict: ${name}`, (t) => {
    const folder = path.join(project, file)
    mkdirSync(folder)
    writeFileSync(path.join(folder, 'package.json'), JSON.stringify(json))
    writeFileSync(path.join(folder, file), SOURCE + more)
    mkdirSync(path.join(project, 'node_modules', '@types'), { recursive: true })
    for (const types of ['node', 'undici-types']) {
      const from = path.join(ROOT, 'node_modules', types === 'node' ? '@types/node' : types)
      cpSync(from, path.join(project, 'node_modules', types === 'node' ? '@types/node' : types), { recursive: true })
    }
    const compiled = spawnSync(process.execPath, [typescript, '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--module', module,
      '--target', 'es2022', '--lib', 'es2023,esnext.disposable', '--types', 'node', file], { cwd: folder, encoding: 'utf8' })
    assert.equal(compiled.status, 0, compiled.stdout + compiled.stderr)
    const output = file.replace('ts', 'js')
    const run = execFileSync(process.execPath, [path.join(folder, output), directory(t)], { encoding: 'utf8' })
    assert.equal(run, 'true,2,true,true,true,20,3\n')
  })
}

test('the types of the package are complete, and every export has one', () => {
  const types = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')
  const exported = Object.keys(createExports())
  for (const name of exported) assert.match(types, new RegExp(`export (class|const|function) ${name}\\b`))
})

function createExports () {
  return JSON.parse(execFileSync(process.execPath, ['-p', 'JSON.stringify(Object.fromEntries(Object.keys(require("./index.js")).map((k) => [k, 1])))'],
    { cwd: installed, encoding: 'utf8' }))
}

test('every setting has a type and a default in the documentation', () => {
  const types = readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')
  const table = readFileSync(path.join(REPOSITORY, 'docs', 'SETTINGS.md'), 'utf8')
  const names = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())
  assert.ok(names.length > 30)
  for (const name of names.slice(0, names.lastIndexOf('c_client_owner') + 1)) {
    assert.match(types, new RegExp(`^  ${camel(name)}\\??: `, 'm'), name)
  }
})

test('the README is run, and the snippets of the other documents', async (t) => {
  const others = ['README.md', 'docs/PREFORK.md'].map((name) => readFileSync(path.join(REPOSITORY, name), 'utf8'))
  const text = readFileSync(path.join(installed, 'README.md'), 'utf8') + others.join('\n').replaceAll('127.0.0.1:3000', '10.0.0.1:3000')
  const snippets = [...text.matchAll(/^```(js|ts|cjs)\n([^]*?)^```/gm)]
  assert.ok(snippets.length >= 9)
  for (const [, language, code] of snippets) {
    const shmDirectory = directory(t)
    // The README's cluster is a simulated one here, with a directory of its own.
    const commonjs = language === 'cjs'
    const start = commonjs
      ? "const { SimulatedCluster: Sim } = require('tendmap/testing');"
      : "import { SimulatedCluster as Sim } from 'tendmap/testing';"
    const whole = `${start}const sim_ = new Sim();\n` + code
      .replaceAll("'10.0.0.1:3000'", `sim_.hosts, shmDirectory: ${JSON.stringify(shmDirectory)}`)
      // A server runs on; a snippet ends.
      .concat(code.includes('const node = client.route') && !code.includes('close()') ? 'client.close()\n' : '')
      .replaceAll('shmKey: 7', `shmDirectory: ${JSON.stringify(shmDirectory)}`)
      .replaceAll('Reader.open()', `Reader.open({ shmDirectory: ${JSON.stringify(shmDirectory)} })`)
    const file = path.join(project, `snippet.${commonjs ? 'cjs' : 'mjs'}`)
    writeFileSync(file, whole)
    const run = spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 60_000 })
    assert.equal(run.status, 0, `${whole}\n${run.stdout}${run.stderr}`)
  }
})

test('without an addon and without cargo the installation says what to do', (t) => {
  const copy = path.join(directory(t), 'tendmap')
  cpSync(installed, copy, { recursive: true, filter: (name) => !name.endsWith('.node') })
  const run = spawnSync(process.execPath, ['scripts/install.js'], { cwd: copy, encoding: 'utf8', env: { PATH: '/nowhere' } })
  assert.equal(run.status, 1)
  assert.match(run.stderr, /the package has no tendmap\.linux-.*\.node, and cargo, which builds it, can't be started \(ENOENT\): install Rust 1\.89 or later \(https:\/\/rustup\.rs\), then run "node .*install\.js"/)
  const use = spawnSync(process.execPath, ['-e', 'require("./index.js")'], { cwd: copy, encoding: 'utf8' })
  assert.match(use.stderr, /tendmap's addon can't be used on linux-.*; build it: install Rust .*TENDMAP_ADDON/)
  const named = spawnSync(process.execPath, ['-e', 'require("./index.js")'], { cwd: copy, encoding: 'utf8', env: { ...process.env, TENDMAP_ADDON: '/nowhere.node' } })
  assert.match(named.stderr, /nowhere\.node/)
})

test('h185_an_addon_of_another_version_is_refused', (t) => {
  const other = path.join(directory(t), 'other.cjs')
  for (const [source, version] of [['exports.version = () => "0.0.9"', '0\\.0\\.9'], ['', 'unknown']]) {
    writeFileSync(other, source)
    const run = spawnSync(process.execPath, ['-e', 'require("./index.js")'],
      { cwd: installed, encoding: 'utf8', env: { ...process.env, TENDMAP_ADDON: other } })
    assert.match(run.stderr, new RegExp(`other\\.cjs has the version ${version}; wanted \\d+\\.\\d+\\.\\d+; build it`))
  }
})

test('the package is built from its own sources', { timeout: 3_600_000, skip: !process.env.TENDMAP_BUILD_PROFILE && 'TENDMAP_BUILD_PROFILE is not set; .ci/deep sets it' }, () => {
  // Always the same place, so that cargo knows it again.
  const copy = path.join(REPOSITORY, 'target', 'node-package')
  rmSync(copy, { recursive: true, force: true })
  cpSync(installed, copy, { recursive: true, preserveTimestamps: true, filter: (name) => !name.endsWith('.node') })
  const run = spawnSync(process.execPath, ['scripts/install.js'], { cwd: copy, encoding: 'utf8' })
  assert.equal(run.status, 0, run.stderr)
  assert.match(run.stderr, /tendmap: building tendmap\.linux-/)
  const use = execFileSync(process.execPath, ['-p', 'require("./index.js").digest("users", 42).length'], { cwd: copy, encoding: 'utf8' })
  assert.equal(use, '20\n')
})
