"""Node with the C library: the class alone, and in a cluster of processes."""

import json
import os
import pathlib
import subprocess

import pytest

from test_php import ODD_KEYS, library, owner_of  # noqa: F401 (a fixture)
from test_prefork import four_processes_take_turns, observer, tool  # noqa: F401

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLE = ROOT / "bindings/c/examples/node"


@pytest.fixture
def env(cluster, settings, library):  # noqa: F811
    env = {
        **os.environ,
        "TENDMAP_HOSTS": ",".join(cluster.hosts),
        "TENDMAP_SETTINGS": json.dumps({name: str(value) for name, value in settings.items()}),
        "TENDMAP_LIBRARY": library,
    }
    env.setdefault("NODE_PATH", str(ROOT / "target/node/node_modules"))
    ask = "require('koffi'); process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"
    if subprocess.run([tool("node"), "-e", ask], env=env, capture_output=True).returncode != 0:
        pytest.skip("skipped: no node 20 with koffi here (npm install --prefix target/node koffi@2)")
    return env


PRELUDE = f"""
const {{ Tendmap }} = require('{EXAMPLE}/tendmap.js')
const settings = JSON.parse(process.env.TENDMAP_SETTINGS)
const tendmap = new Tendmap(process.env.TENDMAP_HOSTS, settings)
const print = (found) => console.log(JSON.stringify(found))
"""


def node(env, code):
    """Runs JavaScript with a client, and returns the JSON that it prints."""
    command = [tool("node"), "-e", PRELUDE + code]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and not run.stderr, run.stderr
    return json.loads(run.stdout)


def test_node_routes_as_python_does(env, client, cluster):
    for key, written in [(42, "42"), ("ann", "'ann'"), (2**63 - 1, "2n ** 63n - 1n"), (-1, "-1")]:
        found = node(env, f"print(tendmap.route('test', 'users', {written})); tendmap.close()")
        assert found["name"] == client.route("test", "users", key).name == owner_of(cluster, key)
        assert found["address"] in cluster.hosts


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (r"'te\0st', 'users', 1", 1, "zero byte"),
        (r"'test', 'users\0x', 1", 1, "zero byte"),
        ("'test', 'users', 2n ** 63n", 1, "64 bits"),
        ("'test', 'users', 1.5", 1, "safe integer"),
        (r"'test', 'users', '\ud800'", 1, "half a surrogate pair"),
        ("'test', null, 1", 1, "wanted a string"),
        ("'nope', 'users', 1", 23, 'no namespace "nope"'),
    ],
)
def test_node_gets_a_clear_error(env, client, arguments, code, said):
    found = node(
        env,
        f"try {{ tendmap.route({arguments}); print(['routed']) }} "
        "catch (error) { print([error.code, error.message]) }\ntendmap.close()",
    )
    assert found[0] == code and said in found[1], found


NODE_ODD = """
const odd = [null, undefined, true, false, 1.5, NaN, Infinity, -Infinity, 2 ** 53, 1e30, 2n ** 63n, -(2n ** 63n) - 1n,
  [], [1], {}, Symbol('x'), () => 1, Object.create(null), new Date(), Buffer.from('x'), new String('test'), new Number(1)]
const calls = {
  key: (it) => tendmap.route('test', 'users', it),
  set: (it) => tendmap.route('test', it, 1),
  namespace: (it) => tendmap.route(it, 'users', 1),
  hosts: (it) => new Tendmap(it),
  settings: (it) => new Tendmap('a:x', it),
  user: (it) => new Tendmap('a', { user: it }),
  shm_directory: (it) => new Tendmap('a', { shm_directory: it }),
  shm_key: (it) => new Tendmap('a', { shm_key: it }),
  library: (it) => new Tendmap('a', {}, it === undefined ? 1 : it)
}
const found = []
const note = (what, at, call) => {
  try {
    call()
    found.push(`${what} took ${at}`)
  } catch (error) {
    if (![1, 10].includes(error.code)) found.push(`${what} of ${at}: ${error.stack}`)
  }
}
for (const [what, call] of Object.entries(calls)) odd.forEach((it, at) => note(what, at, () => call(it)))
const [one, two] = [7, '7'].map((key) => tendmap.route('test', 'users', key).partition)
if (one === two) found.push('"7" is 7')
const waits = []
const refused = (what, at, wait) => waits.push(wait.then(() => found.push(`${what} took ${at}`), (error) => {
  if (error.code !== 1) found.push(`${what} of ${at}: ${error.stack}`)
}))
odd.concat(['1', -1, -1n, 2n ** 64n]).forEach((it, at) => {
  if (it !== 2n ** 63n) refused('sequence', at, tendmap.waitForChange(it, 0))
  if (it !== undefined && it !== 1.5 && it !== Infinity && it !== 2 ** 53 && it !== 1e30) {
    refused('timeout', at, tendmap.waitForChange(0, it))
  }
})
Promise.all(waits).then(() => { tendmap.close(); print(found) })
"""


def test_h109_node_converts_no_argument_of_a_wrong_type(env, client):
    assert node(env, NODE_ODD) == []


@pytest.mark.parametrize("key", ODD_KEYS)
def test_node_takes_text_keys_as_they_are(env, client, key):
    code = f"print(tendmap.route('test', 'ü', {json.dumps(key)}).partition); tendmap.close()"
    assert node(env, code) == client.locate("test", "ü", key).partition


def test_node_shares_an_attachment_with_its_worker_threads(env, client):
    """Each thread has an object of its own; a thread that ends does not affect the others."""
    code = f"""
        const {{ Worker }} = require('node:worker_threads')
        const worker = new Worker(`
          const {{ Tendmap }} = require('{EXAMPLE}/tendmap.js')
          const own = new Tendmap(process.env.TENDMAP_HOSTS, JSON.parse(process.env.TENDMAP_SETTINGS))
          const found = [own.route('test', 'users', 7).name, own.status().attached]
          own.waitForChange(own.status().sequence).catch(() => {{}})
          own.close()
          require('node:worker_threads').parentPort.postMessage(found)
        `, {{ eval: true }})
        worker.on('message', (found) => worker.on('exit', () => {{
          print([...found, tendmap.route('test', 'users', 7).name])
          tendmap.close()
        }}))
        """
    name = client.route("test", "users", 7).name
    assert node(env, code) == [name, 2, name]


def test_h110_waits_of_node_occupy_no_thread_of_its_pool(env, cluster):
    """Four waiting threads would block all file and name operations."""
    found = node(
        env,
        """
        const fs = require('node:fs'), dns = require('node:dns')
        process.env.UV_THREADPOOL_SIZE = '4'
        async function main () {
          const { sequence } = tendmap.route('test', 'users', 1)
          let ended = 0
          const waits = Array.from({ length: 200 }, () => tendmap.waitForChange(tendmap.status().sequence)
            .catch((error) => error.code).finally(() => { ended++ }))
          const read = (await fs.promises.readFile('/proc/self/status', 'utf8')).length > 0
          await dns.promises.lookup('localhost').catch(() => {})
          const during = ended
          tendmap.close()
          print([sequence > 0, read, during, [...new Set(await Promise.all(waits))]])
        }
        main()
        """,
    )
    assert found == [True, True, 0, [2]]


def test_h110_waiting_in_node_ends_with_a_change_the_time_a_signal_or_closing(env, cluster):
    found = node(
        env,
        """
        async function main () {
          const { sequence } = tendmap.status()
          const found = [await tendmap.waitForChange(sequence, 20) === sequence, tendmap.role]
          found.push(await tendmap.waitForChange(sequence - 1) === sequence)
          found.push(await tendmap.waitForChange(BigInt(sequence), 0) === sequence)
          const forever = tendmap.waitForChange(sequence, 2 ** 40).catch((error) => error.code)
          const ending = new AbortController()
          const aborted = tendmap.waitForChange(sequence, Infinity, { signal: ending.signal }).catch((error) => error.name)
          ending.abort()
          found.push(await aborted)
          found.push(await tendmap.waitForChange(sequence, 1, { signal: ending.signal }).catch((error) => error.name))
          tendmap.route('test', 'users', 1)
          tendmap.close()
          tendmap.close()
          found.push(await forever)
          found.push(await tendmap.waitForChange(sequence, 1).catch((error) => error.code))
          for (const call of [() => tendmap.route('test', 'users', 1), () => tendmap.role, () => tendmap.status()]) {
            try { call() } catch (error) { found.push(error.code) }
          }
          print(found)
        }
        main()
        """,
    )
    assert found == [True, "owner", True, True, "AbortError", "AbortError", 2, 2, 2, 2, 2]


def test_h110_a_wait_in_node_sees_a_change_of_the_cluster(env, cluster):
    assert cluster.settle()
    process = subprocess.Popen(
        [tool("node"), "-e", PRELUDE + """
        const { sequence } = tendmap.status()
        tendmap.waitForChange(sequence).then((now) => { print(now > sequence); tendmap.close() })
        console.log('waits')
        """],
        env=env, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "waits\n"
    cluster.stop(3)
    out, _ = process.communicate(timeout=60)
    assert out == "true\n" and process.returncode == 0


@pytest.mark.parametrize(
    "end",
    [
        "process.exit(0)",
        "tendmap.waitForChange(s, Infinity, { ref: false })",
        "const wait = tendmap.waitForChange(s); wait.catch(() => {}); setTimeout(() => tendmap.close(), 50)",
        "const wait = tendmap.waitForChange(s, 50).then(() => tendmap.close())",
        "setTimeout(() => process.exit(0), 50); tendmap.waitForChange(s)",
    ],
)
def test_h110_no_wait_holds_up_the_end_of_a_node_process(env, cluster, end):
    code = f"const s = tendmap.status().sequence\ntendmap.waitForChange(s, 1e9, {{ ref: false }}).catch(() => {{}})\n{end}"
    run = subprocess.run(
        [tool("node"), "-e", PRELUDE + code], env=env, capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"TENDMAP_LIBRARY": "/nowhere/libtendmap.so.0"}, "/nowhere/libtendmap.so.0 can't be used"),
        ({"TENDMAP_HOSTS": "127.0.0.1:1"}, "can't tend the cluster"),
        ({"TENDMAP_HOSTS": ""}, "TENDMAP_HOSTS is not set"),
        ({"TENDMAP_SETTINGS": "{"}, "JSON"),
        ({"TENDMAP_LISTEN": "/nowhere/socket"}, "/nowhere/socket"),
        ({"NODE_PATH": "/nowhere"}, "npm install koffi@2"),
    ],
)
def test_h111_a_server_whose_workers_can_not_start_says_why_and_gives_up(env, change, said):
    env.update(change)
    run = subprocess.run(
        [tool("node"), str(EXAMPLE / "server.js")], env=env, capture_output=True, text=True, timeout=120
    )
    told = [line for line in run.stderr.splitlines() if said in line]
    assert run.returncode == 1 and 4 <= len(told) <= 12, run.stderr
    assert len(run.stderr.splitlines()) <= 13, "one line for each worker, and no stack traces"


def test_h111_a_server_whose_workers_end_as_they_listen_gives_up(env, directory):
    ends = pathlib.Path(directory) / "ends.js"
    ends.write_text(
        """
        const { Server } = require('node:net')
        const listen = Server.prototype.listen
        Server.prototype.listen = function (...given) {
          if (require('node:cluster').isWorker) this.on('listening', () => process.exit(1))
          return listen.apply(this, given)
        }
        """
    )
    env.update({"NODE_OPTIONS": f"--require {ends}", "TENDMAP_LISTEN": f"{directory}/node.sock"})
    command = [tool("node"), str(EXAMPLE / "server.js")]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1 and "giving up" in run.stderr, run.stderr


def test_a_cluster_of_node_processes(env, cluster, settings, observer, directory):  # noqa: F811
    path = f"{directory}/node.sock"
    env["TENDMAP_LISTEN"] = path
    command = [tool("node"), str(EXAMPLE / "server.js")]
    four_processes_take_turns(command, path, env, observer, cluster, directory)
