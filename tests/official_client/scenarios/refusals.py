"""Segments that are not tendmap's to fill: it says so, and leaves them alone."""

import json
import subprocess
import time

import shm
from clients import NEWEST
from host import Seen
from rig import Cluster, until, want
from scenarios import scenario


def told(host, tender):
    """Why the tender refuses the key; its own map goes on."""
    def refusal():
        events = [json.loads(line) for line in list(tender.events)]
        reasons = [event["reason"] for event in events
                   if event["event"] == "c_client_refused" and event["c_client_key"] == host.key()]
        return reasons[0] if reasons else None

    reason = until(f"tendmap to refuse {host.key():#x}", refusal)
    until("tendmap's own map", lambda: tender.running() == host.cluster.running())
    # What to do about it comes after that.
    return f"left alone: {reason.rsplit(';', 1)[0]}"


def untouched(host, before):
    """All but the time that a living owner writes is as it was."""
    time.sleep(3)
    want(shm.about(host.key()) is not None, "the segment is gone")
    after = host.segment().bytes()
    want(after[8:] == before[8:], "the segment was written to")


@scenario(fast=(NEWEST,), only_with_tendmap=True)
def foreign_segment(host, client):
    """Any program's segment, of the size that is wanted, and of another."""
    for size in (4096, host.segment().layout.size(16, 8)):
        key = host.key()
        if host.cluster is None:
            host.begin(tender=False)
        shm.create(key, size)
        host.segment().write(64, "Q", 0x1122334455667788)
        before = host.segment().bytes()
        tender = host.tend(wait=False)
        line = told(host, tender)
        untouched(host, before)
        tender.kill()
        shm.remove(key)
        yield f"another program's segment of {size} bytes", Seen(line)


@scenario(only_with_tendmap=True)
def other_sizes(host, client):
    """A client's segment for another number of nodes; a client that wants more."""
    host.begin(tender=False)
    host.crowd(2, shared={"shm_max_nodes": 10})
    before = host.segment().bytes()
    tender = host.tend(wait=False)
    line = told(host, tender)
    untouched(host, before)
    host.follow()
    yield "a client's segment for another number of nodes", Seen(line)
    tender.kill()
    for worker in host.workers:
        worker.kill()
    host.workers.clear()
    shm.remove(host.key())
    host.tend()
    greedy = host.worker(connect=False, shared={"shm_max_nodes": 32})
    greedy.request("connect", config=greedy.config)
    answer = greedy.receive()
    host.workers.remove(greedy)
    greedy.kill()
    want("error" in answer, f"a client that wants 32 nodes: {answer}")
    host.crowd(2)
    host.follow()
    yield "a client that wants more nodes than the segment has", Seen(f"refused by the kernel: {answer['error'].split(chr(39))[1].split(' pid')[0]}")


@scenario(only_with_tendmap=True)
def other_layout(host, client):
    """A client of layout E tends the key that is to be filled in layout F."""
    host.begin(tender=False)
    worker = host.worker("python-19.2.1", shared={"shm_key": host.key()})
    before = host.segment().bytes()
    tender = host.tend(wait=False)
    line = told(host, tender)
    untouched(host, before)
    host.follow([worker])
    yield "a client's segment of another layout", Seen(line)


@scenario(only_with_tendmap=True)
def other_cluster(host, client):
    """A dead client's segment of another cluster is not adopted."""
    host.begin(tender=False)
    other = Cluster([host.bench.tendmap, "sim", "--nodes", "2", "--cluster-name", "another"])
    host.others.append(other)
    worker = host.worker(hosts=other.seeds)
    host.workers.remove(worker)
    tender = host.tend(wait=False)
    until("tendmap's own map", lambda: tender.running() == host.cluster.running())
    worker.kill()
    before = host.segment().bytes()
    line = told(host, tender)
    untouched(host, before)
    yield "a dead client's segment of another cluster", Seen(line)


@scenario(fast=(NEWEST,), only_with_tendmap=True)
def wrong_settings(host, client):
    """A version that does not exist, a key that is none, the same key twice."""
    host.begin(tender=False)
    key, seen = f"{host.key():#x}", []
    for pairs in ([f"{key}:python-99"], [f"{key}:"], ["nonsense:python-19.3"], [f"{key}:python-19.3", f"{key}:python-19.2.1"]):
        command = [host.bench.tendmap, "tend", f"--host={host.addresses[0]}", f"--shm-directory={host.folder}",
                   *(f"--c-client={pair}" for pair in pairs)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            want(False, f"{pairs} was accepted")
        want(result.returncode == 2, f"{pairs}: exit code {result.returncode}, {result.stderr}")
        want(not host.segment().exists(), f"{pairs}: a segment was made")
        seen.append(result.stderr.strip().splitlines()[0])
    yield "settings that can't be", Seen(f"{len(seen)} refused with exit code 2, and no segment made")
