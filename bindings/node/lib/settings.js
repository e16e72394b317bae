'use strict'
// Settings: the properties of an object become the texts that every language uses.

const { ConfigError } = require('./errors.js')
const { native } = require('./native.js')
const { kind, shown, text, wrongType } = require('./values.js')

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())

/** The rows of the table, by their name in JavaScript. */
const rows = new Map(native.settings().map((row) => [camel(row.name), row]))

const HOSTS = '"NAME:PORT", or a list of them, of [NAME, PORT] or of { host, port, tlsName }'

/** The kinds of settings with a single value that is not free text. */
const SCALARS = ['switch', 'number', 'key', 'mode', 'duration']

function refuse (why) {
  throw new ConfigError('CONFIG', why)
}

function list (name, value, one) {
  return Array.from(value, (item) => one(name, item)).join(',')
}

/** An item of a list: a comma would split it into two. */
function item (name, value) {
  if (typeof value === 'string') {
    if (value === '' || value.includes(',')) refuse(`${name} has ${shown(value)}; wanted one without a comma`)
    return text(name, value)
  }
  if (Number.isSafeInteger(value)) return String(value)
  throw wrongType(`${name} has an item of type ${kind(value)}; wanted strings or whole numbers`)
}

function host (name, value) {
  if (typeof value === 'string') return item(name, value)
  if (typeof value !== 'object' || value === null) {
    throw wrongType(`hosts has an item of type ${kind(value)}; wanted ${HOSTS}`)
  }
  const [address, port, tlsName] = Array.isArray(value) ? value : [value.host ?? value.addr, value.port, value.tlsName]
  if (typeof address !== 'string') throw wrongType(`a host's name of type ${kind(address)}; wanted a string`)
  if (!Number.isInteger(port)) throw wrongType(`a host's port is ${shown(port)}; wanted a whole number`)
  const written = item('hosts', address).includes(':') ? `[${address}]` : address
  return tlsName === undefined ? `${written}:${port}` : `${written}:${item('hosts', tlsName)}:${port}`
}

function pairs (name, value) {
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return entries.map((pair) => {
    for (const part of pair) {
      if (typeof part !== 'string') throw wrongType(`${name} has a value of type ${kind(part)}; wanted strings`)
      if (/[,=]/.test(part)) refuse(`${name} has ${shown(part)}; wanted names without comma and =`)
    }
    return pair.map((part) => text(name, part)).join('=')
  }).join(',')
}

/** The value of a setting as text. */
function converted (name, row, value) {
  const wrong = (wanted) => wrongType(`${name} of type ${kind(value)}; wanted ${wanted}`)
  const many = Array.isArray(value) || value instanceof Set
  // The library refuses those that do not fit, in the words of all languages.
  if (typeof value === 'boolean' && SCALARS.includes(row.kind)) return String(value)
  switch (row.kind) {
    case 'text':
      if (value instanceof URL && row.wanted !== 'a text') return text(name, require('node:url').fileURLToPath(value))
      break
    case 'duration':
      if (typeof value === 'number') return `${value}ms`
      if (typeof value === 'string' && /^\s*[\d.]+\s*$/.test(value)) {
        refuse(`${name} is ${shown(value)}; wanted a number of milliseconds, or text with a unit, such as "500ms" or "2s"`)
      }
      if (typeof value !== 'string') throw wrong('a number of milliseconds, or text such as "500ms" or "2s"')
      break
    case 'mode':
      if (typeof value === 'number') {
        if (!Number.isInteger(value) || value < 0) refuse(`${name} is ${value}; wanted mode bits such as 0o600`)
        return value.toString(8)
      }
      break
    case 'number': case 'key': case 'switch':
      if (typeof value === 'number' || typeof value === 'bigint') return String(value)
      break
    case 'hosts':
      if (Array.isArray(value)) return list(name, value, host)
      if (typeof value !== 'string') throw wrong(HOSTS)
      break
    case 'pairs':
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return pairs(name, value)
      break
    case 'users': case 'racks':
      if (many) return list(name, value, item)
      if (Number.isSafeInteger(value)) return String(value)
      break
    case 'targets':
      if (many) return list(name, value, item)
  }
  if (typeof value !== 'string') {
    throw wrong({
      text: 'a string',
      switch: 'true or false',
      mode: 'mode bits such as 0o600, or octal text',
      pairs: 'an object of strings',
      users: 'a user\'s name or number, or a list of them',
      racks: 'a list of whole numbers',
      targets: '"KEY:VERSION", or a list of them'
    }[row.kind] ?? row.wanted)
  }
  return text(name, value)
}

/** The row of a setting. */
function found (name) {
  const row = rows.get(name)
  if (row !== undefined) return row
  const meant = camel(name.toLowerCase())
  const close = [...rows.keys()].find((known) => known.toLowerCase() === meant.toLowerCase())
  refuse(`no setting ${shown(name)}; ${close ? `write ${close}` : `there are ${[...rows.keys()].join(', ')}`}`)
}

/** The names and the values of settings, as the addon takes them. */
function read (settings, { hosts = true } = {}) {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    const hint = typeof settings === 'string' ? `; write { hosts: ${shown(settings)} }` : ''
    throw wrongType(`settings of type ${kind(settings)}; wanted an object such as { hosts: "127.0.0.1:3000" }${hint}`)
  }
  const [names, values] = [[], []]
  for (const [name, value] of Object.entries(settings)) {
    const row = found(name)
    if (value === undefined || value === null) continue
    names.push(row.name)
    values.push(converted(name, row, value))
  }
  if (hosts && !names.includes('hosts')) throw wrongType(`hosts of type ${kind(settings.hosts)}; wanted ${HOSTS}`)
  return [names, values]
}

/** The value of one setting, as text. */
function readOne (name, value) {
  return converted(name, rows.get(name), value)
}

module.exports = { read, readOne, camel, names: () => [...rows.keys()] }
