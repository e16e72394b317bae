'use strict'
// Many keys in one call.

const { types } = require('node:util')
const { Double, attached, big, bytes, integer, isBytes, wrongKey } = require('./keys.js')
const { kind, text, wrongType, wrongValue } = require('./values.js')

const NO_NODE = 0xFFFF
const WANTED = 'an array of keys, a BigInt64Array, a BigUint64Array, an Int32Array, a Uint32Array or a Float64Array'

/** The routes of many keys, all from one publication. */
class Batch {
  constructor (indexes, nodes) {
    /** The index of the node of each key, or NO_NODE. */
    this.indexes = indexes
    /** The nodes by their index; only those that occur. */
    this.nodes = nodes
    Object.freeze(this)
  }

  get length () { return this.indexes.length }

  /** The node of the key at that position; undefined if its partition has none. */
  node (position) {
    return this.nodes[this.indexes[position]]
  }

  /** For each node the positions of its keys: one request for each node. */
  groups () {
    const groups = new Map()
    for (let position = 0; position < this.indexes.length; position++) {
      const node = this.nodes[this.indexes[position]]
      if (node === undefined) continue
      const positions = groups.get(node)
      if (positions === undefined) groups.set(node, [position])
      else positions.push(position)
    }
    return groups
  }
}

/** Memory that no other thread changes. */
function own (keys) {
  attached('keys', keys)
  return types.isSharedArrayBuffer(keys.buffer) ? keys.slice() : keys
}

/** The function of the addon for these keys, and its arguments. */
function prepared (keys) {
  if (types.isBigInt64Array(keys)) return ['batchI64', own(keys)]
  if (types.isInt32Array(keys)) return ['batchI32', own(keys)]
  if (types.isUint32Array(keys)) return ['batchU32', own(keys)]
  if (types.isBigUint64Array(keys)) return ['batchI64', signed(own(keys))]
  if (types.isFloat64Array(keys)) return ['batchDouble', own(keys)]
  if (types.isFloat32Array(keys)) return ['batchDouble', Float64Array.from(own(keys))]
  if (types.isInt8Array(keys) || types.isInt16Array(keys) || types.isUint16Array(keys)) {
    return ['batchI32', Int32Array.from(own(keys))]
  }
  if (Array.isArray(keys)) return ofArray(keys)
  const one = typeof keys === 'string' || isBytes(keys) ? '; this is one key: use route' : ''
  throw wrongType(`keys of type ${kind(keys)}; wanted ${WANTED}${one}`)
}

/** The same memory as signed integers: their keys are the same up to 2^63 - 1. */
function signed (keys) {
  const same = new BigInt64Array(keys.buffer, keys.byteOffset, keys.length)
  const halves = new Int32Array(keys.buffer, keys.byteOffset, keys.length * 2)
  for (let half = 1; half < halves.length; half += 2) if (halves[half] < 0) big(keys[half >> 1])
  return same
}

function ofArray (keys) {
  const first = typeof keys[0]
  if (first === 'number' || keys.length === 0) {
    const numbers = new Float64Array(keys.length)
    let position = 0
    for (; position < numbers.length; position++) {
      const key = keys[position]
      if (typeof key !== 'number') break
      numbers[position] = integer(key)
    }
    if (position === keys.length) return ['batchNumber', numbers]
  } else if (first === 'string') {
    // Not `every`, which leaves out holes.
    let position = 0
    while (position < keys.length && typeof keys[position] === 'string') position++
    if (position === keys.length) return texts(keys) ?? mixed(keys)
  }
  return mixed(keys)
}

/** Nothing if they are too long for one text. */
function texts (keys) {
  let joined
  try {
    joined = keys.join('')
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
  const packed = Buffer.from(joined)
  const ends = new Uint32Array(keys.length)
  // Where all are ASCII, their lengths are those of their bytes.
  const plain = packed.length === joined.length
  let end = 0
  for (let position = 0; position < keys.length; position++) {
    end += plain ? keys[position].length : Buffer.byteLength(text('key', keys[position]))
    ends[position] = end
  }
  return ['batchText', packed, ends]
}

/** The bytes of a key, and the character of its kind. */
function packed (key) {
  switch (typeof key) {
    case 'number': case 'bigint': {
      const eight = Buffer.alloc(8)
      eight.writeBigInt64LE(typeof key === 'bigint' ? big(key) : BigInt(integer(key)))
      return ['i', eight]
    }
    case 'string': return ['s', Buffer.from(text('key', key))]
    default:
      if (isBytes(key)) return ['b', bytes(key)]
      if (Double.is(key)) {
        const eight = Buffer.alloc(8)
        eight.writeDoubleLE(key.value)
        return ['d', eight]
      }
      throw wrongKey(key)
  }
}

function mixed (keys) {
  const ends = new Uint32Array(keys.length)
  const kinds = Buffer.alloc(keys.length)
  const parts = []
  let end = 0
  for (let position = 0; position < ends.length; position++) {
    const [kind, part] = packed(keys[position])
    parts.push(part)
    kinds[position] = kind.charCodeAt(0)
    ends[position] = end += part.length
  }
  if (end > 2 ** 32 - 1) throw wrongValue('keys of more than 4 GB; use several batches')
  return ['batchMixed', Buffer.concat(parts, end), ends, kinds]
}

/** The digests of many keys, one after the other. */
function digests (bytesOfAll) {
  if (!isBytes(bytesOfAll)) {
    throw wrongType(`digests of type ${kind(bytesOfAll)}; wanted a Buffer with 20 bytes for each`)
  }
  return ['batchDigest', bytes(bytesOfAll)]
}

module.exports = { Batch, NO_NODE, digests, prepared }
