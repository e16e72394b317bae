"""A process stores arbitrary bytes into the segment; a Python program that
uses the segment does not crash, hang or grow."""

import os
import random
import subprocess
import sys
import threading

import pytest

import tendmap
from conftest import wait_until

# Run in a process of its own, so that no interpreter lock slows it down. File segments
# are mapped; the newest one is attacked.
WRITER = """
import mmap, os, random, sys, time
directory, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
HEAD, OWNER, EVENT, FRAMES = 256, 384, 512, 4096
def word():
    near = [0, 2**64 - 1, 2**48 - 1, 1 << chance.randrange(64), chance.getrandbits(64)]
    tag = chance.choice([0, 1, 2, 65534, 65535, chance.randrange(65536)])
    near.append(tag << 48 | chance.choice([chance.getrandbits(48), chance.randrange(64)]))
    return chance.choice(near).to_bytes(8, "little")
def turn(memory):
    length = len(memory)
    first, last = chance.choice([
        (0, HEAD), (HEAD, HEAD + 8), (OWNER, EVENT), (EVENT, EVENT + 8), (FRAMES, length),
        (FRAMES, FRAMES + 4096), ((length + FRAMES) // 2, (length + FRAMES) // 2 + 4096),
        (0, length),
    ])
    kind = chance.randrange(5)
    if kind == 0:
        time.sleep(chance.random() / 20)
    for _ in range(chance.choice([1, 10, 5000])):
        at = chance.randrange(first, last) // 8 * 8
        memory[at:at + 8] = word()
        if kind == 1:
            time.sleep(chance.random() / 5000)
    if kind == 2:
        size = min(last - first, chance.randrange(8, 65536) // 8 * 8)
        memory[first:first + size] = os.urandom(size)
while True:
    try:
        names = [n for n in os.listdir(directory) if "-g" in n and not n.endswith(".lock")]
        newest = max(names, key=lambda name: int(name.rsplit("-g", 1)[1]))
        with open(os.path.join(directory, newest), "r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
    except (OSError, ValueError):
        time.sleep(0.001)
        continue
    for _ in range(3):
        turn(memory)
        print("turn", flush=True)
    memory.close()
"""

VICTIM = """
import os, sys, threading, time, tendmap
hosts, directory, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
settings = dict(shm_directory=directory, tend_interval=0.05, connect_timeout=0.2,
                shm_takeover_threshold=1)
last, faults, policies = {}, [], ["master", "sequence", "any", "random", "prefer_rack"]
def timed(name, allowed, call, *args, **more):
    wall, cpu = time.monotonic(), time.thread_time()
    try:
        return call(*args, **more)
    except tendmap.Error as error:
        # A defect that was caught.
        if isinstance(error, tendmap.InternalError):
            faults.append(f"{name}: {error!r}")
        last[name] = error
        return None
    finally:
        cpu, wall = time.thread_time() - cpu, time.monotonic() - wall - allowed
        if cpu > 1 or wall > 10:
            faults.append(f"{name}: {wall:.2f} s, {cpu:.2f} of them on a processor")
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
def work(client):
    try:
        for number in range(rounds):
            for key in range(20):
                for policy in policies:
                    timed("route", 0, client.route, "test", "users", key, policy)
            route = timed("locate", 0, client.locate, "test", "users", number)
            if route is not None:
                timed("retry", 0, client.retry, route)
                str((route.node.name, route.node.address, route.partition))
            for policy in policies:
                timed("batch", 0, client.route_batch, "test", "users", range(1000), policy)
            for node in timed("nodes", 0, client.nodes) or []:
                str((node.name, node.address, node.tls_name))
            timed("namespaces", 0, client.namespaces)
            timed("status", 0, client.status)
            timed("status of the module", 0, tendmap.status, shm_directory=directory)
            timed("events", 0, client.events)
            timed("wait", 0.005, client.wait_for_change, number, 0.005)
    except BaseException as error:
        faults.append(repr(error))
        raise
used = []
ended = threading.Thread(target=sys.stdin.read, daemon=True)
ended.start()
while len(used) < 4 or ended.is_alive():
    client = None
    for _ in range(2000):
        client = timed("connect", 2, tendmap.Client, hosts, **settings)
        if client is not None:
            break
        time.sleep(0.005)
    assert client is not None, (last["connect"], os.listdir(directory))
    threads = [threading.Thread(target=work, args=(client,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    timed("close", 0, client.close)
    used.append((resident(), len(os.listdir("/proc/self/fd"))))
assert not faults, faults
assert used[-1][0] < used[1][0] + 64 * 2**20 and used[-1][1] < used[1][1] + 20, used
print("ok")
"""


def test_h130_a_python_program_stands_a_hostile_writer(cluster, directory):
    seed = os.environ.get("TENDMAP_HOSTILE_SEED", str(random.getrandbits(32)))
    # The number of turns of the writer, unless the environment asks for more.
    turns = 60 * (1 + int(os.environ.get("TENDMAP_HOSTILE_SECONDS", "0")) // 3)
    print(f"TENDMAP_HOSTILE_SEED={seed}")
    command = [sys.executable, "-c", WRITER, directory, seed]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    command = [sys.executable, "-X", "faulthandler", "-c", VICTIM]
    victim = subprocess.Popen(
        command + [",".join(cluster.hosts), directory, "20"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(turns):
            assert writer.stdout.readline() == b"turn\n", "the writer goes on until the end"
            if victim.poll() is not None:
                break
        threading.Thread(target=writer.stdout.read, daemon=True).start()
        out, err = victim.communicate(timeout=300)
    finally:
        writer.kill()
        writer.wait()
        victim.kill()
        victim.wait()
    assert (victim.returncode, out) == (0, "ok\n"), err
    try:
        # Once the writer has ended, the map is whole again.
        with tendmap.Client(cluster.hosts, shm_directory=directory, tend_interval=0.05) as client:
            wait_until("the map is whole", lambda: client.wait_for_change(0) and len(client.nodes()) == 3)
    except tendmap.Error as error:
        pytest.fail(str(error))
