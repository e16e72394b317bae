"""Owners that die, close and come back: who tends then, and when."""

import time

from clients import NEWEST
from host import Seen
from rig import until
from scenarios import scenario

SOON = {"shm_takeover_threshold_sec": 5}
PATIENCE = 45  # seconds; an official client takes over after 30


def grown(host):
    """The cluster gets one more node, and all clients see it."""
    host.cluster.tell("add")
    host.cluster.settle()
    return host.follow()


def tended_by(host, tender, patience=PATIENCE):
    until(f"process {tender.process.pid} to own the segment",
          lambda: host.owner() == tender.process.pid and host.segment().header()["lock"] == 1, patience)


@scenario(fast=(NEWEST,))
def owner_killed(host, client):
    """The tender is killed; with tendmap another one stands by."""
    host.begin()
    if host.mirror:
        standby = host.tend(wait=False)
        until("the other tender to run", lambda: "connected" in standby.told())
    host.crowd(4)
    host.follow()
    old = host.owner()
    if host.mirror:
        host.tenders[0].kill()
    else:
        dead = host.owning_worker()
        host.workers.remove(dead)
        dead.kill()
    seconds = host.new_owner(old, PATIENCE)
    if host.mirror:
        tended_by(host, standby)
    seen = grown(host)
    yield "the tender is killed; a standby", Seen(f"the next one after {shown(seconds)}; a new node: {seen.text}", seconds)


def shown(seconds):
    if seconds is None:
        return f"more than {PATIENCE} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


@scenario()
def client_first(host, client):
    """A client tends when tendmap starts; it is killed."""
    host.begin(tender=False)
    host.crowd(4)
    host.follow()
    old = host.owner()
    if host.mirror:
        host.tend(wait=False)
        time.sleep(4)
        host.demand(host.owner() == old, "tendmap took a segment over whose owner is alive")
    dead = host.owning_worker()
    host.workers.remove(dead)
    dead.kill()
    seconds = host.new_owner(old, PATIENCE)
    if host.mirror:
        tended_by(host, host.tenders[0])
    seen = grown(host)
    yield "a client that was there first is killed", Seen(f"the next one after {shown(seconds)}; a new node: {seen.text}", seconds)


@scenario()
def client_closes(host, client):
    """A client tends when tendmap starts; it closes, and so do all that come after."""
    host.begin(tender=False)
    host.crowd(3)
    host.follow()
    if host.mirror:
        host.tend(wait=False)
        time.sleep(2)
    old, owner = host.owner(), host.owning_worker()
    host.workers.remove(owner)
    owner.ask("close")
    seconds = host.new_owner(old, PATIENCE)
    if host.mirror:
        hand_over(host)
        host.crowd(3)
    seen = grown(host)
    yield "a client that was there first closes", Seen(f"the next one after {shown(seconds)}; a new node: {seen.text}", seconds)


def hand_over(host):
    """A client may be first each time; at the latest after the last one it is tendmap."""
    tender = host.tenders[-1]
    for _ in range(len(host.workers) + 1):
        time.sleep(2)
        owner = host.owning_worker()
        if owner is None:
            break
        host.workers.remove(owner)
        owner.ask("close")
    tended_by(host, tender)


@scenario(only_with_tendmap=True)
def back_within(host, client):
    """The only tender is killed, and comes back before a client takes over."""
    host.begin()
    host.crowd(4)
    host.follow()
    before = host.segment().bytes()
    host.tenders[0].kill()
    asked = host.cluster.tend_requests()
    host.cluster.tell("move 3 0")
    host.cluster.settle()
    host.demand(host.cluster.tend_requests() == asked, "a client tends, before its threshold")
    again = host.tend()
    tended_by(host, again)
    seen = host.follow()
    host.demand(len(before) == len(host.segment().bytes()), "the segment has another size")
    yield "the only tender is killed and back in time; a node moved", seen


@scenario(only_with_tendmap=True)
def back_beyond(host, client):
    """The only tender is killed; a client takes over; the tender comes back."""
    host.begin()
    host.crowd(4, shared=SOON)
    host.follow()
    old = host.owner()
    host.tenders[0].kill()
    seconds = host.new_owner(old, PATIENCE)
    host.demand(host.owning_worker() is not None, f"process {host.owner()} owns the segment: none of the clients")
    grown(host)
    old = host.owner()
    host.tend(wait=False)
    time.sleep(4)
    host.demand(host.owner() == old, "tendmap took a segment over whose owner is alive")
    host.follow()
    hand_over(host)
    host.crowd(4, shared=SOON)
    host.cluster.tell("kill 2")
    host.cluster.settle()
    seen = host.follow()
    yield ("the only tender is killed and back too late",
           Seen(f"a client after {shown(seconds)}, tendmap after the clients; a node is killed: {seen.text}", seconds))


@scenario(only_with_tendmap=True)
def released(host, client):
    """A tender that ends and releases: a client takes over at once."""
    host.begin(tend=["--c-client-on-exit=release"])
    host.crowd(4)
    host.follow()
    old = host.owner()
    host.tenders[0].close()
    seconds = host.new_owner(old, PATIENCE)
    host.demand(host.owning_worker() is not None, f"process {host.owner()} owns the segment: none of the clients")
    seen = grown(host)
    yield "a tender ends and releases", Seen(f"a client after {shown(seconds)}; a new node: {seen.text}", seconds)


@scenario(only_with_tendmap=True)
def nobody_takes_over(host, client):
    """`--c-client-owner always`: clients wait for the tender, as long as that takes."""
    host.begin(tend=["--c-client-owner=always"])
    host.crowd(4, shared=SOON)
    host.follow()
    host.tenders[0].kill()
    asked = host.cluster.tend_requests()
    time.sleep(8)
    asked = host.cluster.tend_requests() - asked
    host.demand(asked == 0, f"{asked} tend requests by clients that must not tend")
    tally = host.round()
    host.demand(tally.clean, f"without a tender: {tally}")
    host.tend("--c-client-owner=always")
    yield "the only tender is killed, and no client may take over", grown(host)
