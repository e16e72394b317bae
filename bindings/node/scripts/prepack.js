'use strict'
// Puts into the package what lies elsewhere in the repository: the sources for other
// platforms (`native`), the licences and the changelog. `--clean` removes them again.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')
const repository = path.join(root, '..', '..')
const native = path.join(root, 'native')
const TEXTS = ['CHANGELOG.md', 'LICENSE-APACHE', 'LICENSE-MIT']

/** A manifest without the sections that need what is not packed. */
function without (text, ...names) {
  const sections = text.split(/^(?=\[)/m)
  return sections.filter((section) => !names.some((name) => section.startsWith(name))).join('')
}

function write (name, text) {
  const file = path.join(native, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
}

const read = (name) => fs.readFileSync(path.join(repository, name), 'utf8')

function copy (name) {
  fs.cpSync(path.join(repository, name), path.join(native, name), { recursive: true })
}

function clean () {
  fs.rmSync(native, { recursive: true, force: true })
  for (const name of TEXTS) fs.rmSync(path.join(root, name), { force: true })
}

function pack () {
  for (const name of TEXTS) fs.copyFileSync(path.join(repository, name), path.join(root, name))
  for (const name of ['src', 'bindings/glue', 'bindings/node/src', 'bindings/node/build.rs', 'bindings/node/Cargo.toml', 'README.md']) {
    copy(name)
  }
  const product = without(read('Cargo.toml'), '[[', '[dev-dependencies]', '[profile')
  write('Cargo.toml', product.replace(/^members = \[[^\]]*\]/m, 'members = [".", "bindings/glue"]')
    .replace(/^default-members = .*$/m, 'default-members = ["."]'))
  write('bindings/Cargo.toml', read('bindings/Cargo.toml').replace(/^members = .*$/m, 'members = ["node"]'))
  write('bindings/Cargo.lock', read('bindings/Cargo.lock'))
  prune()
}

/** Removes from the lock file what only the other members need; versions stay. */
function prune () {
  const manifest = path.join(native, 'bindings', 'Cargo.toml')
  const command = ['update', '--workspace', '--quiet', '--manifest-path', manifest]
  // The network is needed only if cargo has not seen a package yet.
  const tried = spawnSync('cargo', [...command, '--offline'], { encoding: 'utf8' })
  if (tried.error) throw new Error(`packing needs cargo (${tried.error.code}): install Rust, https://rustup.rs`)
  if (tried.status === 0) return
  const again = spawnSync('cargo', command, { encoding: 'utf8' })
  if (again.status !== 0) throw new Error(`cargo can't use the lock file: ${tried.stderr}${again.stderr}`)
}

clean()
if (process.argv[2] !== '--clean') pack()
