'use strict'
// tendmap for Node.js. The documentation is in index.d.ts.

const { Client, Reader, digest, status } = require('./lib/client.js')
const { Batch, NO_NODE } = require('./lib/batch.js')
const { Double } = require('./lib/keys.js')
const { Node, Route } = require('./lib/node.js')
const { version } = require('./package.json')
const {
  TendmapError, ArgumentTypeError, ArgumentError, ClosedError, ConnectError, ConfigError, SegmentError, RouteError
} = require('./lib/errors.js')

module.exports = {
  Client,
  Reader,
  Node,
  Route,
  Batch,
  Double,
  digest,
  status,
  NO_NODE,
  version,
  TendmapError,
  ArgumentTypeError,
  ArgumentError,
  ClosedError,
  ConnectError,
  ConfigError,
  SegmentError,
  RouteError
}
