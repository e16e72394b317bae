'use strict'
// Finds the addon: the one that was built here, or the one in the package.

const path = require('node:path')
// As they are now: a test may replace them by timers that it moves itself.
const { clearInterval, setInterval } = require('node:timers')
const { made, translating } = require('./errors.js')
const { file, platform } = require('./platform.js')
const { version } = require('../package.json')

function load () {
  // One that is named must be the one that is used.
  const addon = path.resolve(process.env.TENDMAP_ADDON || path.join(__dirname, '..', file()))
  try {
    const found = require(addon)
    const its = found.version?.() ?? 'unknown'
    if (its !== version) throw new Error(`${addon} has the version ${its}; wanted ${version}`)
    return found
  } catch (error) {
    throw made('CONNECT', `tendmap's addon can't be used on ${platform()} with Node ${process.version}: ` +
      `${String(error.message).split('\n')[0]}; build it: install Rust (https://rustup.rs), then run ` +
      `"node ${path.join(__dirname, '..', 'scripts', 'install.js')}"; or name one that was built by TENDMAP_ADDON`,
    { cause: error })
  }
}

/** As it is: its exceptions are to be translated. */
const raw = load()
const native = translating(raw)

/** What waits for a thread of the addon, by ticket. */
const waiting = new Map()
native.listen((ticket) => waiting.get(ticket)?.())

/** Calls `f` each time a thread sends this ticket. */
function ticket (f) {
  let number
  do number = native.ticket()
  while (waiting.has(number))
  waiting.set(number, f)
  return number
}

function done (ticket) {
  waiting.delete(ticket)
}

/**
 * Keeps the process running while something is awaited; the addon's threads do not.
 * The result ends that.
 */
function hold () {
  const timer = setInterval(() => {}, 2 ** 31 - 1)
  return () => clearInterval(timer)
}

module.exports = { raw, native, ticket, done, hold }
