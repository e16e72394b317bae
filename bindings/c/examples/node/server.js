'use strict'
// A server of several processes: each request routes a key.
//
//   TENDMAP_HOSTS=127.0.0.1:3100 node server.js
//
// The primary takes no part. Node's workers are new processes, not forks: each
// connects for itself, and one of them tends.

const cluster = require('node:cluster')
const http = require('node:http')

const WORKERS = 4
// Workers accept for themselves: the primary would keep open, for ever, what it had
// just handed to a worker that is killed.
cluster.schedulingPolicy = cluster.SCHED_NONE

if (cluster.isPrimary) {
  for (let number = 0; number < WORKERS; number++) cluster.fork()
  let ending = false
  cluster.on('exit', () => {
    if (!ending) cluster.fork()
  })
  process.on('SIGTERM', () => {
    ending = true
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
  })
} else {
  const { Tendmap } = require('./tendmap.js')
  const settings = JSON.parse(process.env.TENDMAP_SETTINGS ?? '{}')
  const tendmap = new Tendmap(process.env.TENDMAP_HOSTS, settings, process.env.TENDMAP_LIBRARY)
  // Hands the ownership over; a worker that is killed is found out, milliseconds
  // later.
  process.on('exit', () => tendmap.close())
  process.on('SIGTERM', () => process.exit(0))

  http.createServer((request, response) => {
    const key = Number(new URL(request.url, 'http://localhost').searchParams.get('key'))
    const node = tendmap.route('test', 'users', key)
    const answer = { pid: process.pid, role: tendmap.role, node: node.name, address: node.address }
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify(answer))
  }).listen(process.env.TENDMAP_LISTEN ?? 8000)
}
