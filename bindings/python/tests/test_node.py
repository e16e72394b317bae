"""Node through the C library: the class alone, and in a cluster of processes."""

import json
import os
import pathlib
import subprocess

import pytest

from test_php import library, owner_of  # noqa: F401 (a fixture)
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
const tendmap = new Tendmap(process.env.TENDMAP_HOSTS, settings, process.env.TENDMAP_LIBRARY)
const print = (found) => console.log(JSON.stringify(found))
"""


def node(env, code):
    """Runs JavaScript with a client, and takes the JSON that it prints."""
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


def test_node_waits_beside_its_event_loop_and_closing_ends_that(env, cluster):
    found = node(
        env,
        """
        async function main () {
          const { sequence } = tendmap.status()
          const found = [await tendmap.waitForChange(sequence, 20) === sequence, tendmap.role]
          const forever = tendmap.waitForChange(sequence, 2 ** 40).catch((error) => error.code)
          tendmap.route('test', 'users', 1)
          tendmap.close()
          tendmap.close()
          found.push(await forever)
          try { tendmap.route('test', 'users', 1) } catch (error) { found.push(error.code) }
          print(found)
        }
        main()
        """,
    )
    assert found == [True, "owner", 2, 2]


def test_a_cluster_of_node_processes(env, cluster, settings, observer, directory):  # noqa: F811
    path = f"{directory}/node.sock"
    env["TENDMAP_LISTEN"] = path
    command = [tool("node"), str(EXAMPLE / "server.js")]
    four_processes_take_turns(command, path, env, observer, cluster, directory)
