// An HTTP server of several processes: each request routes a key.
//
//   node server.mjs                                  # with a simulated cluster
//   TENDMAP_HOSTS=10.0.0.1:3000 node server.mjs
//   curl 'http://127.0.0.1:8000/?key=42'
//
// The primary does not connect. Node's workers are new processes, not forks: each connects
// for itself, and one of them tends. If that one is killed, another one takes over.
//
// TENDMAP_LISTEN is the port (8000), TENDMAP_SETTINGS further settings as JSON.

import cluster from 'node:cluster'
import http from 'node:http'
import { Client, TendmapError } from 'tendmap'
import { SimulatedCluster } from 'tendmap/testing'

const WORKERS = 4
/** The server ends when this many consecutive workers have ended before they served. */
const FAILURES = 8
/** A worker has served once it has listened for this many milliseconds. */
const SERVED = 1000
// Workers accept connections themselves: the primary would keep a connection open for
// ever if the worker that it had just passed it to was killed.
cluster.schedulingPolicy = cluster.SCHED_NONE

function primary () {
  let failures = 0
  let ending = false
  let hosts = process.env.TENDMAP_HOSTS
  let sim
  if (!hosts) {
    sim = new SimulatedCluster({ nodes: 3, namespaces: { test: 2 } })
    hosts = sim.hosts.join(',')
    console.log(`simulated cluster at ${hosts}`)
  }
  const end = () => {
    ending = true
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
  }
  const start = () => {
    if (!ending) cluster.fork({ TENDMAP_HOSTS: hosts })
  }
  for (let number = 0; number < WORKERS; number++) start()
  cluster.on('exit', (worker) => {
    if (ending) {
      if (Object.keys(cluster.workers).length === 0) sim?.close()
      return
    }
    // A worker that has served is replaced at once; one that could not start is replaced
    // after ever longer pauses.
    if (worker.served) return start()
    failures++
    if (failures < FAILURES) return setTimeout(start, 50 * 2 ** failures)
    console.error(`${failures} workers in a row ended before they had served; giving up`)
    process.exitCode = 1
    end()
  })
  cluster.on('listening', (worker, { port }) => {
    console.log(`worker ${worker.process.pid} listens at port ${port}`)
    setTimeout(() => {
      if (worker.isDead()) return
      worker.served = true
      failures = 0
    }, SERVED).unref()
  })
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, end)
}

async function worker () {
  const settings = JSON.parse(process.env.TENDMAP_SETTINGS ?? '{}')
  const client = await Client.connect({ hosts: process.env.TENDMAP_HOSTS, ...settings })
  client.on('node-removed', (node) => node.state?.destroy())
  // An orderly exit closes the client, which hands the ownership over. A killed worker is
  // noticed milliseconds later.
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0))

  const server = http.createServer((request, response) => {
    const [status, answer] = answered(client, request.url)
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(answer))
  })
  server.on('error', fail)
  server.listen(Number(process.env.TENDMAP_LISTEN ?? 8000))
}

/** Every request gets an answer, and none ends the worker. */
function answered (client, url) {
  const key = new URLSearchParams(url.split('?')[1]).get('key')
  if (!/^-?\d+$/.test(key)) return [400, { error: 'wanted ?key=NUMBER' }]
  try {
    const node = client.route('test', 'users', BigInt(key))
    return [200, { pid: process.pid, role: client.role, node: node.name, address: node.address }]
  } catch (error) {
    if (!(error instanceof TendmapError)) throw error
    // An error of the caller, or of the cluster.
    return [error.code === 'ARGUMENT' ? 400 : 503, { error: error.message }]
  }
}

function fail (error) {
  console.error(`worker ${process.pid}: ${error.message}`)
  process.exit(1)
}

if (cluster.isPrimary) primary()
else worker().catch(fail)
