'use strict'
// Arguments: what they are, and errors that say so.

const { ArgumentError, ArgumentTypeError } = require('./errors.js')

/** The type of a value, for errors. */
function kind (value) {
  if (value === null) return 'null'
  if (typeof value !== 'object') return typeof value
  try {
    const name = value.constructor?.name
    return typeof name === 'string' && name !== '' ? name : 'object'
  } catch {
    return 'object'
  }
}

/** A value as text; some values can't be converted. */
function shown (value) {
  try {
    if (typeof value === 'string') return JSON.stringify(value)
    if (typeof value === 'bigint') return `${value}n`
    return Object.is(value, -0) ? '-0' : String(value)
  } catch {
    return 'something'
  }
}

function wrongType (message) {
  return new ArgumentTypeError(message)
}

function wrongValue (message) {
  return new ArgumentError('ARGUMENT', message)
}

/** A text. Half a surrogate pair would silently become another character. */
function text (what, value) {
  if (typeof value !== 'string') throw wrongType(`${what} of type ${kind(value)}; wanted a string`)
  if (!value.isWellFormed()) {
    throw wrongValue(`${what} is not UTF-8: it has half a surrogate pair`)
  }
  return value
}

/** The name of a namespace or a set. */
function name (what, value) {
  if (text(what, value).includes('\0')) throw wrongValue(`${what} has a zero byte; only keys may have one`)
  return value
}

function flag (what, value) {
  if (typeof value !== 'boolean') throw wrongType(`${what} of type ${kind(value)}; wanted true or false`)
  return value
}

/** A whole number from `least` to `most`. */
function whole (what, value, least, most) {
  if (typeof value !== 'number') {
    throw wrongType(`${what} of type ${kind(value)}; wanted a whole number from ${least} to ${most}`)
  }
  if (!Number.isInteger(value) || value < least || value > most) {
    throw wrongValue(`${what} is ${shown(value)}; wanted a whole number from ${least} to ${most}`)
  }
  return value
}

/** The properties of an object of options, all of which are known. */
function options (what, value, known) {
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType(`${what} of type ${kind(value)}; wanted an object`)
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      throw wrongValue(`${what} has ${shown(name)}; wanted ${known.join(', ')}`)
    }
  }
  return value
}

function signal (value) {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object' || typeof value.addEventListener !== 'function' || typeof value.throwIfAborted !== 'function') {
    throw wrongType(`signal of type ${kind(value)}; wanted an AbortSignal`)
  }
  return value
}

module.exports = { kind, shown, wrongType, wrongValue, text, name, flag, whole, options, signal }
