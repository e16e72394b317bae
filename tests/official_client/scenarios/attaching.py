"""Clients that attach, of every version and user."""

import signal
import time

from clients import CLIENTS, NEWEST, skipped
from host import EVERY_KIND, Seen
from scenarios import scenario

CROWD = 8
NOBODY = 65534
# A tender keeps the time of its last pass two seconds behind: that must not count as its end.
SOON = {"shm_takeover_threshold_sec": 9}
# While the tender is stopped no client may take its place, however long the others need.
LATE = {"shm_takeover_threshold_sec": 600}


def attached(host, workers, kinds=EVERY_KIND):
    """The workers attach and send; what they ask servers for is counted."""
    if host.mirror:
        # What is counted now is not the tender's.
        host.tenders[0].signal(signal.SIGSTOP)
    before = host.cluster.tend_requests()
    found = workers()
    tally = host.round(found, kinds=kinds)
    time.sleep(3)
    requests = host.cluster.tend_requests() - before
    if host.mirror:
        host.tenders[0].signal(signal.SIGCONT)
    host.demand(requests == 0, f"{requests} tend requests by clients that attached")
    host.demand(tally.clean, f"{tally}: {sorted(tally.errors)[:3]}")
    host.agree()
    times = sorted(worker.seconds for worker in found)
    text = (f"{len(found)} attach in {1000 * times[0]:.0f} to {1000 * times[-1]:.0f} ms, "
            f"{requests} tend requests; {tally.right} of {tally.sent} commands right")
    if host.aborted:
        text += f"; {host.aborted} more aborted"
    return Seen(text, times[-1], tally)


@scenario(clients=tuple(CLIENTS), fast=tuple(CLIENTS))
def attach(host, client):
    """Eight processes attach, and send every command for every type of key."""
    host.begin(clients=[client])
    yield f"{CROWD} processes attach ({client})", attached(host, lambda: host.crowd(CROWD, shared=LATE))


@scenario(fast=(NEWEST,))
def side_by_side(host, client):
    """One tender, a key for each version, and a change of the cluster."""
    clients = [client for client in CLIENTS.values() if client.installed(host.bench.at)]
    host.begin(clients=[client.name for client in clients])
    for each in clients:
        host.crowd(2, each.name)
    host.follow()
    host.cluster.tell("kill 2")
    host.cluster.settle()
    yield "a node is killed, all versions side by side", host.follow()


@scenario(fast=(NEWEST,))
def nobody(host, client):
    """Clients of a user that may not send signals to the tender."""
    with open("/proc/self/uid_map") as users:
        if not any(int(first) <= NOBODY < int(first) + int(count) for first, _, count in map(str.split, users)):
            skipped("nobody: there is no other user in this user namespace")
            return
    host.begin()
    yield "clients of another user", attached(host, lambda: [host.worker(uid=NOBODY, shared=LATE) for _ in range(4)])
    host.worker(uid=NOBODY, shared=SOON)
    stays(host)


@scenario(fast=(NEWEST,))
def pid_namespace(host, client):
    """Clients that see other pids than the tender."""
    host.begin()
    inside = ["unshare", "--pid", "--fork", "--kill-child"]
    yield "clients in another pid namespace", attached(host, lambda: [host.worker(inside=inside, shared=LATE) for _ in range(4)])
    host.worker(inside=inside, shared=SOON)
    stays(host)


def stays(host):
    """Nobody takes a segment over whose tender is alive."""
    time.sleep(SOON["shm_takeover_threshold_sec"] + 5)
    if host.mirror:
        owner, tender = host.owner(), host.tenders[0].process.pid
        host.demand(owner == tender, f"process {owner} owns the segment; the tender is {tender}")
