import * as tendmap from './index.js'

export * from './index.js'
export default tendmap
