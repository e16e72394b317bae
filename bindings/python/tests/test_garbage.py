"""Unused objects are freed: clients, nodes, and the state attached to nodes."""

import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest

import tendmap
from conftest import in_child, wait_until


class Pool:
    """Stands for a connection pool."""

    def __init__(self, of):
        self.of = of


class Name(str):
    """A name that can have attributes."""


def on_a_node(client):
    client.nodes()[0].state = Pool(client)


def on_a_node_that_was_routed_to(client):
    client.route("test", "users", 1).state = Pool(client)


def on_a_node_of_a_batch(client):
    client.route_batch("test", "users", [1])[0].state = Pool(client)


def on_a_route(client):
    route = client.locate("test", "users", 1)
    route.node.state = [route, client]


def on_a_set(client):
    name = Name("users")
    name.client = client
    client.route("test", name, 1)
    client.route_batch("test", name, [1])


def on_a_namespace(client):
    name = Name("test")
    name.client = client
    client.route(name, "users", 1)
    client.locate(name, "users", 1)


def on_a_policy(client):
    name = Name("master")
    name.client = client
    client.route("test", "users", 1, name)


def on_a_setting(client):
    name = Name("5")
    name.client = client
    client.set_preferred_racks(name)


CYCLES = [
    on_a_node,
    on_a_node_that_was_routed_to,
    on_a_node_of_a_batch,
    on_a_route,
    on_a_set,
    on_a_namespace,
    on_a_policy,
    on_a_setting,
]


@pytest.mark.parametrize("hang", CYCLES)
def test_a_client_in_a_cycle_is_collected_and_closed(cluster, settings, directory, hang):
    client = tendmap.Client(cluster.hosts, **settings)
    hang(client)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    assert os.listdir(directory) == [], "no object keeps the segment"


@pytest.mark.parametrize("hang", CYCLES)
def test_a_client_in_use_is_not_collected(client, hang):
    hang(client)
    kept = client.route("test", "users", 1)
    gc.collect()
    assert client.route("test", "users", 1) is kept and not client.closed


def test_a_pool_that_knows_its_node_goes_with_the_client(cluster, settings):
    client = tendmap.Client(cluster.hosts, **settings)
    node = client.route("test", "users", 1)
    node.state = Pool(node)
    gone = weakref.ref(node.state)
    del node, client
    gc.collect()
    assert gone() is None


def test_a_closed_client_lets_go_of_its_nodes(cluster, settings):
    client = tendmap.Client(cluster.hosts, **settings)
    client.route("test", "users", 1).state = pool = Pool(None)
    gone = weakref.ref(pool)
    del pool
    client.close()
    assert gone() is None


def test_a_client_that_goes_while_it_is_collected_is_used_once_more(cluster, settings, directory):
    """A finalizer may use objects that are about to be freed."""
    found = []

    class Last:
        def __init__(self, client):
            self.client = client

        def __del__(self):
            found.append(self.client.route("test", "users", 1).name)
            found.append(self.client.route_batch("test", "users", [1])[0].name)

    client = tendmap.Client(cluster.hosts, **settings)
    wanted = client.route("test", "users", 1).name
    client.nodes()[0].state = Last(client)
    del client
    gc.collect()
    assert found == [wanted, wanted]
    gc.collect()
    assert os.listdir(directory) == []


def test_names_whose_end_uses_the_client(client):
    wanted = client.route("test", "users", 1)
    ended = []

    class Nested(str):
        def __del__(self):
            ended.append(client.route("test", Name("users"), 1) is wanted)
            ended.append(client.locate("test", Name("users"), 1).node is wanted)
            ended.append(client.route_batch("test", Name("users"), [1]) == [wanted])

    for _ in range(3):
        client.route(Nested("test"), Nested("users"), 1, Nested("master"))
        client.locate(Nested("test"), Nested("users"), 1, Nested("master"))
        client.route_batch(Nested("test"), Nested("users"), [1], Nested("master"))
    assert client.route("test", "users", 1, "master") is wanted
    assert len(ended) >= 54 and all(ended)


def test_names_whose_end_closes_the_client(cluster, settings, directory):
    class Closing(str):
        def __del__(self):
            client.close()

    for call in ["route", "locate", "route_batch"]:
        client = tendmap.Client(cluster.hosts, **settings)
        client.route("test", Closing("users"), 1)
        getattr(client, call)("test", "others", [1] if call == "route_batch" else 1)
        # Batches use another router, which has its own names.
        client.close()
        assert os.listdir(directory) == []


def test_clients_by_the_hundred_leave_nothing(cluster, settings, directory):
    # In a process of its own: in this one the simulated servers close their ends later.
    program = f"""
import contextlib, gc, os, tendmap, time
from collections import Counter

def some(count):
    clients = [
        tendmap.Client({cluster.hosts!r}, shm_key=number // 2 + 1, shm_max_nodes=4, **{settings!r})
        for number in range(count)
    ]
    for client in clients:
        client.route("test", "users", 1).state = [client]
    # In any order and in any way.
    for number, client in enumerate(reversed(clients)):
        if number % 2:
            client.close()
    del client, clients
    gc.collect()

def held():
    names = []
    for name in os.listdir("/proc/self/fd"):
        # That of the list itself is closed by now.
        if os.path.islink(f"/proc/self/fd/{{name}}"):
            names.append(os.readlink(f"/proc/self/fd/{{name}}"))
    threads = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{{task}}/comm") as comm:
            threads.append(comm.read())
    return names, threads

def more_than(before):
    return [Counter(now) - Counter(then) for now, then in zip(held(), before)]

some(2)
before = held()
some(100)
# The system may list a thread that has ended for a moment longer.
until = time.monotonic() + 60
while any(more_than(before)):
    assert time.monotonic() < until, (before, held())
    time.sleep(0.01)
assert os.listdir({directory!r}) == []
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def test_other_threads_run_while_a_client_that_is_dropped_ends(cluster, settings):
    switches = []
    run = threading.Event()

    def work():
        while not run.is_set():
            switches.append(None)
            time.sleep(0)

    def ran_meanwhile():
        client = tendmap.Client(cluster.hosts, **settings)
        client.route("test", "users", 1)
        before = len(switches)
        del client
        return len(switches) > before

    former = sys.getswitchinterval()
    thread = threading.Thread(target=work)
    # The other thread can run only if this one releases the lock. The thread of the log
    # wants it, too.
    sys.setswitchinterval(1000)
    try:
        thread.start()
        # Without a release it never runs, however often this is tried.
        wait_until("another thread has run meanwhile", ran_meanwhile)
    finally:
        sys.setswitchinterval(former)
        run.set()
        thread.join()


@pytest.mark.parametrize(
    "what",
    [
        "pass",
        "client.nodes()[0].state = client",
        "client.nodes()[0].state = Last()",
        "sys.modules['kept'] = client",
        "atexit.register(client.close)",
        "atexit.register(client.route, 'test', 's', 1)",
        "threading.Thread(target=wait, daemon=True).start(); time.sleep(0.1)",
        "[threading.Thread(target=route, daemon=True).start() for _ in 'abcd']; time.sleep(0.1)",
        "pid = os.fork(); sys.exit() if pid == 0 else os.waitpid(pid, 0); client.status()",
        "pid = os.fork(); sys.exit(client.route('test', 's', 1) and 0) if pid == 0 else "
        "sys.exit(os.waitpid(pid, 0)[1])",
    ],
)
def test_an_interpreter_ends_in_peace(cluster, settings, what):
    program = f"""
import atexit, os, sys, threading, time, tendmap
class Last:
    def __del__(self):
        client.route("test", "s", 1)
        client.close()
def wait():
    while True:
        client.wait_for_change(client.sequence)
def route():
    while True:
        client.route("test", "s", 1)
        client.route_batch("test", "s", range(1000))
client = tendmap.Client({cluster.hosts!r}, **{settings!r})
client.route("test", "s", 1)
{what}
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_child_that_drops_what_it_inherited_leaves_its_parent_alone(client):
    client.nodes()[0].state = Pool(client)
    held = [client]

    def child():
        nonlocal client
        held.clear()
        client = None
        gc.collect()

    in_child(child)
    assert client.role == "owner" and client.status()["attached"] == 1
    assert client.nodes()[0].state.of is client


@pytest.mark.parametrize(
    "call",
    [
        "client.events()",
        "client.status()",
        "client.route_batch('test', 's', some())",
        "client.route_batch('test', 's', numbers)",
        "tendmap.Client(hosts, **settings).close()",
        "asyncio.run(client.changed(after=0))",
    ],
)
def test_h244_an_interpreter_of_python_ends_while_threads_call(cluster, settings, call):
    """The interpreter stops them where they ask for its lock, by unwinding their stacks."""
    program = f"""
import asyncio, os, sys, threading, tendmap
hosts, settings = {cluster.hosts!r}, {settings!r}
try:
    import numpy
    numbers = numpy.arange(10_000, dtype="i2")
except ImportError:
    numbers = range(10_000)
def some():
    yield from range(100)
def work():
    {call}
    calls.release()
    while True:
        {call}
calls = threading.Semaphore(0)
client = tendmap.Client(hosts, **settings)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(3):
    calls.acquire()
"""
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        assert (ended.returncode, ended.stderr) == (0, "")
