'use strict'
// Builds the addon where the package has none that works: from the sources in `native`,
// with Rust's cargo. Where the package's own addon works, it does nothing.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { file } = require('../lib/platform.js')

const root = path.join(__dirname, '..')
const LEAST = [1, 89]

function fail (text) {
  console.error(`tendmap: ${text}`)
  process.exit(1)
}

function works (addon) {
  if (!fs.existsSync(addon)) return false
  // In another process: an addon for another platform could end this one.
  const tried = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', addon], { stdio: 'ignore' })
  return tried.status === 0
}

function build (addon) {
  const name = path.basename(addon)
  const manifest = path.join(root, 'native', 'bindings', 'node', 'Cargo.toml')
  if (!fs.existsSync(manifest)) fail(`the package has neither ${name} nor sources; install it from npm`)
  const found = spawnSync('cargo', ['--version'], { encoding: 'utf8' })
  const todo = `install Rust ${LEAST.join('.')} or later (https://rustup.rs), then run "node ${__filename}"`
  if (found.error) {
    fail(`the package has no ${name}, and cargo, which builds it, can't be started (${found.error.code}): ${todo}`)
  }
  const [major, minor] = (/(\d+)\.(\d+)/.exec(found.stdout) ?? [0, 0, 0]).slice(1).map(Number)
  if (major < LEAST[0] || (major === LEAST[0] && minor < LEAST[1])) {
    fail(`the package has no ${name}, and ${found.stdout.trim()} is too old to build it: ${todo}`)
  }
  const target = process.env.CARGO_TARGET_DIR ?? fs.mkdtempSync(path.join(os.tmpdir(), 'tendmap-'))
  // For tests of this script, which have no time for an optimised build.
  const profile = process.env.TENDMAP_BUILD_PROFILE ?? 'release'
  console.error(`tendmap: building ${name} with ${found.stdout.trim()}, which takes a minute or more`)
  const built = spawnSync('cargo', ['build', '--locked', '--quiet', '--profile', profile, '--manifest-path', manifest],
    { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, CARGO_TARGET_DIR: target } })
  if (built.status !== 0) fail(`cargo could not build ${name}: see its messages above`)
  const output = path.join(target, profile === 'dev' ? 'debug' : profile, 'libtendmap_node.so')
  // Replaced as a whole: a running program may have loaded the file.
  fs.copyFileSync(output, `${addon}.new`)
  fs.renameSync(`${addon}.new`, addon)
  if (!process.env.CARGO_TARGET_DIR) fs.rmSync(target, { recursive: true, force: true })
}

if (process.platform !== 'linux') fail(`it runs on Linux, not on ${process.platform}`)
const addon = path.join(root, file())
// In the repository there is nothing to install: .ci/packages/node builds the addon.
if (!fs.existsSync(path.join(root, 'src', 'lib.rs')) && !works(addon)) {
  build(addon)
  if (!works(addon)) fail(`${addon} was built but can't be loaded`)
}
