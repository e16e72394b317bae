"""What `tendmap c-client status` says of official clients."""

import json
import subprocess
import time

from clients import CLIENTS, NEWEST
from host import Seen
from rig import until, want
from scenarios import scenario


def status(host):
    """Its exit code, and what it says of the key."""
    directory = host.tenders[-1].directory if host.tenders else host.folder
    command = [host.bench.tendmap, "c-client", "status", "--json", "--shm-directory", directory]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    want(result.returncode in (0, 1), f"{command}: {result.returncode}, {result.stderr}")
    found = json.loads(result.stdout)
    segments = [segment for segment in found["segments"] if segment["key"] == host.key()]
    want(len(segments) == 1, f"the key {host.key():#x} is listed {len(segments)} times")
    return segments[0]


def attached(segment):
    """The client version and whether the layout fits, by pid."""
    return {each["pid"]: (each["client_version"], each["layout_matches"]) for each in segment["attached"]}


@scenario(fast=(NEWEST,))
def diagnosis(host, client):
    """It names the attached clients, and a lock that stays held."""
    host.begin()
    workers = host.crowd(3)
    host.follow()
    segment = status(host)
    want(segment["healthy"], f"not healthy: {segment['problems']}")
    wanted = {worker.pid(): (CLIENTS[client].version, True) for worker in workers}
    found = {pid: what for pid, what in attached(segment).items() if pid in wanted}
    want(found == wanted, f"attached: {attached(segment)}; wanted {wanted}")
    want(segment["owner"]["pid"] == host.owner(), f"owner: {segment['owner']}")
    host.segment().set_lock(0, 1)
    segment = until("the lock to be reported", lambda: not (now := status(host))["healthy"] and now)
    problem = json.dumps(segment["problems"])
    want("slot 0" in problem, f"problems: {problem}")
    yield "`tendmap c-client status`", Seen(f"names {len(wanted)} clients of {CLIENTS[client].version}, and a lock that stays held")


@scenario(only_with_tendmap=True)
def wrong_client(host, client):
    """A client of layout E uses the key of layout F: it damages the segment."""
    wrong = "python-19.2.1"
    if not CLIENTS[wrong].installed(host.bench.at):
        return
    host.begin()
    host.crowd(4)
    host.follow()
    stranger = host.worker(wrong, connect=False, shared={"shm_key": host.key()})
    host.workers.remove(stranger)
    stranger.request("connect", config=stranger.config)
    until("it to be attached", lambda: attached(status(host)).get(stranger.pid()) == (CLIENTS[wrong].version, False))
    stranger.request("round", namespace="test", salt="stranger", count=4, kinds=["put", "get"], read=None)
    time.sleep(5)
    seen = host.follow()
    host.cluster.tell("kill 2")
    host.cluster.settle()
    host.follow()
    segment = status(host)
    want(not segment["healthy"], "a client of another layout is attached, and status is healthy")
    stranger.kill()
    yield "a client of another layout uses the key", Seen(f"reported; the others: {seen.text}")
