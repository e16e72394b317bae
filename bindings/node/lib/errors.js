'use strict'
// Errors: one class for each group of codes, the texts are those of the Rust library.

/** An error of tendmap. `code` is its kind, the same in every language. */
class TendmapError extends Error {
  constructor (code, message, options) {
    super(message, options)
    this.code = code
  }

  static [Symbol.hasInstance] (value) {
    if (this !== TendmapError) return Function.prototype[Symbol.hasInstance].call(this, value)
    // JavaScript has no second parent class.
    return Function.prototype[Symbol.hasInstance].call(TendmapError, value) ||
      Function.prototype[Symbol.hasInstance].call(ArgumentTypeError, value)
  }
}

/** An argument of a type that the call does not take. */
class ArgumentTypeError extends TypeError {
  constructor (message) {
    super(message)
    this.code = 'ARGUMENT'
  }
}

/** An argument of a value that the call does not take. */
class ArgumentError extends TendmapError {}
/** The client, the reader or the simulated cluster is closed. */
class ClosedError extends TendmapError {}
/** Connecting failed. */
class ConnectError extends TendmapError {}
/** A setting is unknown, or its value is out of its range. */
class ConfigError extends ConnectError {}
/** The segment's files can't be created, attached or read. */
class SegmentError extends ConnectError {}
/** Routing failed. */
class RouteError extends TendmapError {}

const classes = { TendmapError, ArgumentTypeError, ArgumentError, ClosedError, ConnectError, ConfigError, SegmentError, RouteError }
for (const [name, value] of Object.entries(classes)) {
  Object.defineProperty(value.prototype, 'name', { value: name, configurable: true, writable: true })
}

const BY_CODE = {
  ARGUMENT: ArgumentError,
  CLOSED: ClosedError,
  CONFIG: ConfigError,
  CONNECT: ConnectError,
  SEGMENT: SegmentError,
  OTHER_CLUSTER: ConnectError,
  OTHER_HOSTS: ConnectError,
  TEND: ConnectError,
  NO_MAP_YET: ConnectError,
  THREAD: ConnectError,
  ROUTE: RouteError,
  NO_MAP: RouteError,
  CLUSTER_EMPTY: RouteError,
  NAMESPACE_UNKNOWN: RouteError,
  NO_NODE: RouteError,
  OUT_OF_RANGE: RouteError,
  FOREIGN_HANDLE: RouteError,
  MAP: RouteError
}

function made (code, message, options) {
  return new (BY_CODE[code] ?? TendmapError)(code, message, options)
}

/** The error of the library behind an exception of the addon. */
function translated (error) {
  if (error instanceof TendmapError || typeof error?.code !== 'string') return error
  // What the addon itself refuses, or a panic that it caught.
  const known = /^[A-Z_]+$/.test(error.code)
  const found = made(known ? error.code : 'INTERNAL', error.message)
  Error.captureStackTrace(found, translated)
  return found
}

/** Makes functions of the addon throw the library's errors. */
function translating (native) {
  const wrapped = {}
  for (const [name, f] of Object.entries(native)) {
    wrapped[name] = (...values) => {
      try {
        return f(...values)
      } catch (error) {
        throw translated(error)
      }
    }
  }
  return wrapped
}

module.exports = { ...classes, made, translated, translating }
