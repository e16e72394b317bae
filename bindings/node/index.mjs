// The same objects as those of require('tendmap').
import tendmap from './index.js'

export const {
  Client, Reader, Node, Route, Batch, Double, digest, status, NO_NODE, version,
  TendmapError, ArgumentTypeError, ArgumentError, ClosedError, ConnectError, ConfigError, SegmentError, RouteError
} = tendmap
export default tendmap
