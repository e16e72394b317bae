import testing from './testing.js'

export const { SimulatedCluster } = testing
export default testing
