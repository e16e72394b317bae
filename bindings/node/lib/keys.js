'use strict'
// Keys: integers, texts, bytes and doubles. A number is never silently another key.

const { types } = require('node:util')
const { native } = require('./native.js')
const { kind, name, shown, text, wrongType, wrongValue } = require('./values.js')

const SMALLEST = -(2n ** 63n)
const LARGEST = 2n ** 63n - 1n
const WANTED = 'a number, a bigint, a string, a Buffer, a Uint8Array or a Double'

/**
 * A floating point number as a key (a double of the server). A plain number is an
 * integer, because JavaScript can't distinguish `1` from `1.0`.
 */
class Double {
  /** Only the constructor makes one. */
  #made

  constructor (value) {
    if (typeof value !== 'number') throw wrongType(`Double of type ${kind(value)}; wanted a number`)
    this.value = value
    Object.freeze(this)
  }

  static is (key) {
    return typeof key === 'object' && key !== null && #made in key
  }
}

/** A number that is a key, in words for one that is not. */
function integer (key) {
  if (Number.isSafeInteger(key)) return key
  const hint = Number.isInteger(key)
    ? 'write it as a BigInt: numbers beyond 2^53 are not exact'
    : 'for a key of type double write new Double(number)'
  throw wrongValue(`key ${shown(key)}; wanted a whole number; ${hint}`)
}

function big (key) {
  if (key < SMALLEST || key > LARGEST) {
    throw wrongValue(`key ${key}; wanted an integer of 64 bits, signed`)
  }
  return key
}

const { at } = Object.getPrototypeOf(Uint8Array.prototype)

/** Refuses memory that is gone: it would be empty, and so another key. */
function attached (what, value) {
  if (value.length > 0) return
  try {
    at.call(value, 0)
  } catch {
    throw wrongValue(`${what} whose memory was transferred or cut off; wanted memory that this thread has`)
  }
}

/** Bytes that no other thread changes. */
function bytes (value, what = 'key') {
  attached(what, value)
  return types.isSharedArrayBuffer(value.buffer) ? Uint8Array.from(value) : value
}

function isBytes (key) {
  return types.isUint8Array(key)
}

function wrongKey (key) {
  return wrongType(`key of type ${kind(key)}; wanted ${WANTED}`)
}

/** The digest of a key in a set: 20 bytes. */
function digest (set, key) {
  const of = set === null ? '' : name('set', set)
  switch (typeof key) {
    case 'number': return native.digestBig(of, BigInt(integer(key)))
    case 'bigint': return native.digestBig(of, big(key))
    case 'string': return native.digestText(of, text('key', key))
    default:
      if (isBytes(key)) return native.digestBytes(of, bytes(key))
      if (Double.is(key)) return native.digestDouble(of, key.value)
      throw wrongKey(key)
  }
}

/** A digest that was computed before. */
function readDigest (value) {
  if (!isBytes(value)) throw wrongType(`digest of type ${kind(value)}; wanted 20 bytes`)
  return bytes(value, 'digest')
}

module.exports = { Double, attached, integer, big, bytes, isBytes, wrongKey, digest, readDigest }
