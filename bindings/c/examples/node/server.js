'use strict'
// A server of several processes: each request routes a key.
//
//   TENDMAP_HOSTS=127.0.0.1:3100 node server.js
//
// The primary does not connect. Node's workers are new processes, not forks: each
// connects for itself, and one of them tends.

const cluster = require('node:cluster')
const http = require('node:http')

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
  const end = () => {
    ending = true
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
  }
  const start = () => {
    if (!ending) cluster.fork()
  }
  for (let number = 0; number < WORKERS; number++) start()
  cluster.on('exit', (worker) => {
    if (ending) return
    // A worker that has served is replaced at once; one that could not start is replaced
    // after ever longer pauses.
    if (worker.served) return start()
    failures++
    if (failures < FAILURES) return setTimeout(start, 50 * 2 ** failures)
    console.error(`${failures} workers in a row ended before they had served; giving up`)
    process.exitCode = 1
    end()
  })
  cluster.on('listening', (worker) => {
    setTimeout(() => {
      if (worker.isDead()) return
      worker.served = true
      failures = 0
    }, SERVED).unref()
  })
  process.on('SIGTERM', end)
}

function worker () {
  const { Tendmap } = require('./tendmap.js')
  const settings = JSON.parse(process.env.TENDMAP_SETTINGS ?? '{}')
  const hosts = process.env.TENDMAP_HOSTS
  if (!hosts) throw new Error('TENDMAP_HOSTS is not set; wanted NAME:PORT')
  const tendmap = new Tendmap(hosts, settings)
  // Hands the ownership over. A killed worker is noticed milliseconds later.
  process.on('exit', () => tendmap.close())
  process.on('SIGTERM', () => process.exit(0))

  http.createServer((request, response) => {
    const [status, answer] = answered(tendmap, request.url)
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(answer))
  }).on('error', fail).listen(process.env.TENDMAP_LISTEN ?? 8000)
}

/** Every request gets an answer, and none ends the worker. */
function answered (tendmap, url) {
  const key = new URLSearchParams(url.split('?')[1]).get('key')
  if (!/^-?\d+$/.test(key)) return [400, { error: 'wanted ?key=NUMBER' }]
  try {
    const node = tendmap.route('test', 'users', BigInt(key))
    return [200, { pid: process.pid, role: tendmap.role, node: node.name, address: node.address }]
  } catch (error) {
    // An error of the caller (TENDMAP_ERROR_ARGUMENT), or of the cluster.
    return [error.code === 1 ? 400 : 503, { error: error.message }]
  }
}

function fail (error) {
  console.error(`worker ${process.pid}: ${error.message}`)
  process.exit(1)
}

if (cluster.isPrimary) {
  primary()
} else {
  try {
    worker()
  } catch (error) {
    fail(error)
  }
}
