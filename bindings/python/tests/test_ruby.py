"""Ruby with the C library: the class alone, and under Puma."""

import json
import os
import pathlib
import subprocess

import pytest

from conftest import owner_of
from test_prefork import four_processes_take_turns, observer, tool  # noqa: F401

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLE = ROOT / "bindings/c/examples/ruby"

#: Text keys on which a C string would end, or that are another key in another form.
ODD_KEYS = ["", "a\0b", "\0", "ü😀", "7", "x" * 300]


@pytest.fixture
def library():
    """libtendmap.so as it was built; cargo build -p tendmap-c."""
    built = sorted(ROOT.glob("target/*/libtendmap.so"), key=lambda path: -path.stat().st_mtime)
    for place in [os.environ.get("TENDMAP_LIBRARY"), *map(str, built)]:
        if place and os.path.exists(place):
            return place
    pytest.skip("skipped: libtendmap.so is not built (cargo build -p tendmap-c)")


@pytest.fixture
def env(cluster, settings, library):  # noqa: F811
    return {
        **os.environ,
        "TENDMAP_HOSTS": ",".join(cluster.hosts),
        "TENDMAP_SETTINGS": json.dumps({name: str(value) for name, value in settings.items()}),
        "TENDMAP_LIBRARY": library,
    }


PRELUDE = f"""
require '{EXAMPLE}/tendmap'
settings = JSON.parse(ENV['TENDMAP_SETTINGS']).transform_keys(&:to_sym)
tendmap = Tendmap.new(ENV['TENDMAP_HOSTS'], **settings)
"""


def ruby(env, code):
    """Runs Ruby code with a client, and returns the JSON that it prints."""
    command = [tool("ruby"), "-w", "-e", PRELUDE + code]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and not run.stderr, run.stderr
    return json.loads(run.stdout)


def test_ruby_routes_as_python_does(env, client, cluster):
    for key in [42, "ann", -1]:
        found = ruby(env, f"puts JSON.generate(tendmap.route('test', 'users', {key!r}).to_h)")
        assert found["name"] == client.route("test", "users", key).name == owner_of(cluster, key)
        assert found["address"] in cluster.hosts


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (r'"te\0st", "users", 1', 1, "zero byte"),
        (r'"test", "users\0x", 1', 1, "zero byte"),
        ('"test", "users", 2**63', 1, "64 bits"),
        ('"test", "users", 1.5', 1, "Float"),
        (r'"test", "users", "\xff"', 1, "UTF-8"),
        (r'"te\xff", "users", 1', 1, "UTF-8"),
        ('"test", nil, 1', 1, "a set of class NilClass; wanted a String"),
        ('nil, "users", 1', 1, "a namespace of class NilClass"),
        ('"nope", "users", 1', 23, 'no namespace "nope"'),
    ],
)
def test_ruby_gets_a_clear_error(env, client, arguments, code, said):
    found = ruby(
        env,
        f"begin; tendmap.route({arguments}); puts '[]'\n"
        "rescue Tendmap::Error => error; puts JSON.generate([error.code, error.message]); end",
    )
    assert found and found[0] == code and said in found[1], found


RUBY_ODD = """
odd = [nil, true, false, 1.0, 1.5, Float::NAN, Float::INFINITY, 2**63, -2**63 - 1, :test, [], {}, Object,
       1r, 2i, 1..2, BasicObject.new]
calls = {
  key: ->(it) { tendmap.route("test", "users", it) },
  set: ->(it) { tendmap.route("test", it, 1) },
  namespace: ->(it) { tendmap.route(it, "users", 1) },
  hosts: ->(it) { Tendmap.new(it) },
  lazy: ->(it) { Tendmap.new("a", lazy: true == it || false == it ? nil : it) },
  user: ->(it) { Tendmap.new("a", lazy: true, user: it) },
  shm_directory: ->(it) { Tendmap.new("a", lazy: true, shm_directory: it) },
  shm_key: ->(it) { Tendmap.new("a", lazy: true, shm_key: it) },
}
found = []
calls.each do |what, call|
  odd.each_with_index do |value, at|
    call.call(value)
    found << "#{what} took #{at}"
  rescue Tendmap::Error => e
    found << "#{what} of #{at}: #{e.message}" unless [1, 10].include?(e.code)
  end
end
one, two = [7, "7"].map { |key| tendmap.route("test", "users", key).partition }
found << "'7' is 7" if one == two
puts JSON.generate(found)
"""


def test_h109_ruby_converts_no_argument_of_a_wrong_type(env, client):
    assert ruby(env, RUBY_ODD) == []


def test_h109_a_closed_object_of_ruby_stays_closed(env, client):
    """It would connect again, and that connection would never be closed."""
    found = ruby(
        env,
        """
        routed, closed = Queue.new, Queue.new
        thread = Thread.new do
          routed << tendmap.route("test", "users", 1)
          closed.pop
          tendmap.route("test", "users", 1) rescue $!.code
        end
        routed.pop
        tendmap.close
        closed << true
        calls = [-> { tendmap.route("test", "users", 1) }, -> { tendmap.role }, -> { tendmap.status },
                 -> { tendmap.connect }]
        found = calls.map { |call| call.call rescue $!.code } << thread.value
        found << (tendmap.dup rescue $!.class.name) << tendmap.inspect[/, closed>$/]
        puts JSON.generate(found)
        """,
    )
    assert found == [2, 2, 2, 2, 2, "TypeError", ", closed>"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_ruby_takes_text_keys_as_they_are(env, client, key):
    code = f"print tendmap.route('test', 'ü', JSON.parse({json.dumps(json.dumps(key))})).partition"
    assert ruby(env, code) == client.locate("test", "ü", key).partition


def test_ruby_reads_text_in_any_encoding(env, client):
    code = """
        found = %w[UTF-16LE ISO-8859-1 UTF-8].map { |name| tendmap.route("test", "ü".encode(name), "ä".encode(name)).partition }
        found << (tendmap.route("test", "users", "\\xff".b) rescue $!.code)
        puts JSON.generate(found)
        """
    assert ruby(env, code) == [client.locate("test", "ü", "ä").partition] * 3 + [1]


def test_h111_ruby_names_a_library_that_is_missing(env):
    env["TENDMAP_LIBRARY"] = "/nowhere/libtendmap.so.0"
    command = [tool("ruby"), "-e", f"require '{EXAMPLE}/tendmap'"]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 1 and "/nowhere/libtendmap.so.0 can't be used" in run.stderr, run.stderr


def test_ruby_goes_on_in_threads_and_in_a_child_and_after_it(env, cluster):
    found = ruby(
        env,
        """
        mine = [tendmap.route('test', 'users', 7).name, tendmap.role]
        thread = Thread.new { name = tendmap.route('test', 'users', 7).name; tendmap.release; name }
        from, to = IO.pipe
        child = fork do
          theirs = [tendmap.route('test', 'users', 7).name, tendmap.role]
          to.write JSON.generate(theirs + [tendmap.status['attached']])
          tendmap.close
          exit! 0
        end
        Process.wait child
        to.close
        failed = !$?.success?
        left = tendmap.status['attached']
        puts JSON.generate([mine, thread.value, JSON.parse(from.read), failed, tendmap.role, left])
        2.times { tendmap.close }
        """,
    )
    name = owner_of(cluster, 7)
    mine, thread, (theirs, role, attached), failed, after, left = found
    assert mine == [name, "owner"] and thread == name and theirs == name
    assert role in ("follower", "standby") and attached == 2 and not failed
    assert after == "owner" and left == 1


def test_puma(env, cluster, settings, observer, directory):  # noqa: F811
    path = f"{directory}/puma.sock"
    env["TENDMAP_BIND"] = f"unix://{path}"
    command = [tool("puma"), "--quiet", "-C", str(EXAMPLE / "puma.rb"), str(EXAMPLE / "config.ru")]
    four_processes_take_turns(command, path, env, observer, cluster, directory)
