"""Processes that died at the wrong moment, and segments that vanish."""

import signal

import shm
from clients import NEWEST
from host import Seen
from rig import until
from scenarios import scenario
from scenarios.attaching import LATE
from scenarios.ownership import grown


@scenario(fast=(NEWEST,))
def reader_died(host, client):
    """A reader died inside a slot's lock, and that node leaves."""
    host.begin()
    host.crowd(4)
    host.follow()
    slot = host.segment().slot_of(host.cluster.name(2))
    host.segment().set_lock(slot, 1)
    host.cluster.tell("kill 2")
    host.cluster.settle()
    host.follow()
    yield "a reader dies in a slot's lock, its node leaves, another comes", grown(host)


@scenario(fast=(NEWEST,))
def writer_died(host, client):
    """An owner died with the write bit of a slot set."""
    host.begin()
    host.crowd(4)
    host.follow()
    slot = host.segment().slot_of(host.cluster.name(1))
    if host.mirror:
        host.tenders[0].kill()
    else:
        dead = host.owning_worker()
        host.workers.remove(dead)
        dead.kill()
    host.segment().set_lock(slot, shm.WRITER)
    host.segment().set("nodes_gen", host.segment().header()["nodes_gen"] + 1)
    spinning = host.usage(host.workers)
    if host.mirror:
        host.tend()
        until("the write bit to be cleared", lambda: host.segment().lock_of(slot) == 0)
        grown(host)
    share = host.usage(host.workers)
    host.demand(share < spinning / 2, f"clients use {share:.0%} of a processor each; {spinning:.0%} while they spun")
    yield "an owner dies with a slot's write bit set", Seen(f"followers use {share:.0%} of a processor each", share)


@scenario(fast=(NEWEST,))
def removed(host, client):
    """Somebody removes the segment while it is in use."""
    host.begin()
    host.crowd(4)
    host.follow()
    old = shm.find(host.key())
    shm.remove(host.key())
    if host.mirror:
        until("the segment to be made again", lambda: shm.find(host.key()) not in (None, old))
        host.filled()
        host.tenders[0].signal(signal.SIGSTOP)
    before = host.cluster.tend_requests()
    late = host.crowd(4, shared=LATE)
    tally = host.round(late)
    asked = host.cluster.tend_requests() - before
    if host.mirror:
        host.tenders[0].signal(signal.SIGCONT)
    host.demand(asked == 0, f"{asked} tend requests by clients that attach")
    host.demand(tally.clean, f"{tally}")
    host.cluster.tell("kill 2")
    host.cluster.settle()
    seen = host.follow(late)
    yield "the segment is removed, others attach", Seen(f"{asked} tend requests by them; a node is killed: {seen.text}")


@scenario(only_with_tendmap=True)
def overwritten(host, client):
    """Clients map it writable: what one of them damages is mended."""
    host.begin()
    host.crowd(4)
    host.follow()
    segment = host.segment()
    offset = segment.header()["tables_offset"]
    entries = offset + 40
    for partition in range(0, 4096, 7):
        segment.write(entries + 16 * partition, "I", 3)
    name = host.cluster.name(2)
    slot = segment.slot_of(name)
    segment.write(shm.HEADER + slot * segment.layout.node + segment.layout.features + 12, "B", 0)
    segment.set("ready", 0)
    wanted = [row[:3] for row in host.cluster.owners()]

    def mended():
        tables, header = segment.tables(), segment.header()
        return header["ready"] == 1 and segment.slot_of(name) is not None and \
            [names for names, _ in tables["test"]["rows"]] == wanted
    until("the segment to be mended", mended)
    yield "entries, a slot and the header are overwritten", host.follow()
