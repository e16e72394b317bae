// A process with the official Node.js client, driven by lines of JSON as worker.py
// is. AEROSPIKE_MODULE names the folder of the package.
'use strict'

const readline = require('node:readline')
const Aerospike = require(process.env.AEROSPIKE_MODULE)

const SET = 'demo'
const NOT_FOUND = 2

// All the types that the client takes as a key.
function * keysOfEveryType (salt, count) {
  for (let n = 0; n < count; n++) {
    const number = Buffer.from(`${salt}${n}`).readUIntLE(0, Math.min(6, `${salt}${n}`.length))
    yield ['int', n % 2 ? number : -number]
    yield ['str', `${salt} ${n} ` + 'äöü'[n % 3].repeat(n % 7)]
    yield ['bytes', Buffer.concat([Buffer.from(`${salt}${n}`), Buffer.from([...Array(n % 40).keys()])])]
  }
}

function configured (config) {
  const once = { maxRetries: 0, totalTimeout: 2000 }
  const policy = (name) => new Aerospike[name](once)
  const shared = config.shm && {
    enable: true,
    key: config.shm.shm_key,
    maxNodes: config.shm.shm_max_nodes,
    maxNamespaces: config.shm.shm_max_namespaces,
    takeoverThresholdSeconds: config.shm.shm_takeover_threshold_sec
  }
  return {
    hosts: config.hosts.map(([addr, port]) => ({ addr, port })),
    tenderInterval: config.tend_interval,
    user: config.user,
    password: config.password,
    sharedMemory: shared || undefined,
    log: { level: Aerospike.log.OFF },
    policies: {
      read: policy('ReadPolicy'),
      write: policy('WritePolicy'),
      operate: policy('OperatePolicy'),
      remove: policy('RemovePolicy'),
      batch: policy('BatchPolicy'),
      apply: policy('ApplyPolicy')
    }
  }
}

function run (client, kind, key) {
  const operations = Aerospike.operations
  switch (kind) {
    case 'put': return client.put(key, { a: 1, s: 'x' })
    case 'get': return client.get(key)
    case 'exists': return client.exists(key)
    case 'select': return client.select(key, ['a'])
    case 'touch': return client.operate(key, [operations.touch(0)])
    case 'increment': return client.incr(key, { a: 1 })
    case 'append': return client.append(key, { s: 'x' })
    case 'operate': return client.operate(key, [operations.write('b', 2), operations.read('a')])
    case 'batch': return client.batchRead([{ key, readAllBins: true }])
    case 'apply':
      return client.apply(key, { module: 'module', funcname: 'function', args: [] }).catch((error) => {
        // The simulated cluster runs no functions: its reply has no result.
        if (error.code >= 0) throw error
      })
    case 'remove': return client.remove(key)
    default: throw new Error(`no such kind of commands: ${kind}`)
  }
}

async function round (client, { namespace, salt, count, kinds }) {
  const sent = []
  const failed = []
  const everything = []
  for (const [of, value] of keysOfEveryType(salt, count)) {
    everything.push([of, new Aerospike.Key(namespace, SET, value)])
    for (const kind of kinds.filter((kind) => kind !== 'batches')) {
      const key = new Aerospike.Key(namespace, SET, value)
      try {
        await run(client, kind, key)
      } catch (error) {
        if (error.code !== NOT_FOUND) {
          failed.push([key.digest ? key.digest.toString('hex') : '', kind, `${error.code} ${error.message}`])
          continue
        }
      }
      sent.push([key.digest.toString('hex'), kind, of])
    }
  }
  if (kinds.includes('batches')) {
    try {
      const results = await client.batchRead(everything.map(([, key]) => ({ key, readAllBins: true })))
      results.forEach(({ record }, index) => {
        sent.push([record.key.digest.toString('hex'), 'batches', everything[index][0]])
      })
    } catch (error) {
      everything.forEach(() => failed.push(['', 'batches', `${error.code} ${error.message}`]))
    }
  }
  return { sent, failed }
}

async function main () {
  let client
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line)
    let answer
    try {
      switch (request.op) {
        case 'connect': {
          const begun = process.hrtime.bigint()
          client = await Aerospike.connect(configured(request.config))
          answer = { seconds: Number(process.hrtime.bigint() - begun) / 1e9 }
          break
        }
        case 'round': answer = await round(client, request); break
        case 'nodes': answer = { nodes: client.getNodes().map((node) => node.name) }; break
        case 'close': await client.close(false); client = undefined; answer = {}; break
        default: throw new Error(`no such request: ${request.op}`)
      }
    } catch (error) {
      answer = { error: `${error.code} ${error.message}` }
    }
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
  Aerospike.releaseEventLoop()
  process.exit(0)
}

main()
