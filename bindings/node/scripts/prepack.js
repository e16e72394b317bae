'use strict'
// Puts into the package what lies elsewhere in the repository: the sources for other
// platforms (`native`), the licences and the changelog. `--clean` removes them again.

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
  write('bindings/Cargo.lock', locked(read('bindings/Cargo.lock')))
}

/** The lock file without the packages that only other members need. */
function locked (text) {
  const [head, ...packages] = text.split(/^(?=\[\[package\]\])/m)
  // By name, and by name and version: that is how one refers to another.
  const known = new Map()
  for (const one of packages) {
    const [name, version] = [/^name = "(.*)"/m, /^version = "(.*)"/m].map((row) => row.exec(one)[1])
    for (const key of [name, `${name} ${version}`]) known.set(key, [...(known.get(key) ?? []), one])
  }
  const needed = new Set()
  const visit = (name) => {
    for (const one of known.get(name) ?? []) {
      if (needed.has(one)) continue
      needed.add(one)
      const dependencies = /^dependencies = \[([^\]]*)\]/m.exec(one)?.[1] ?? ''
      for (const [, dependency] of dependencies.matchAll(/"([^"]+)"/g)) visit(dependency)
    }
  }
  visit('tendmap-node')
  return head + packages.filter((one) => needed.has(one)).join('')
}

clean()
if (process.argv[2] !== '--clean') pack()
