"""Many changes in a row, while clients send all the time."""

import random
import time

from host import Seen, Tally
from scenarios import scenario

SECONDS = 60
STALE = 8  # seconds for which a command to a former holder is no mistake


@scenario(only_with_tendmap=True)
def soak(host, client):
    """Tenders are killed, nodes die, return and move; a standby is always there."""
    dice = random.Random(1)
    host.begin()
    host.tend(wait=False)
    host.crowd(6)
    host.follow()
    begun, total, killed, history, down = time.monotonic(), Tally(), 0, [], False
    next_change = begun
    while time.monotonic() < begun + SECONDS:
        now = time.monotonic()
        if now >= next_change:
            next_change = now + 4
            if dice.random() < 0.6:
                killed += 1
                owner = host.owner()
                active = next((tender for tender in host.tenders if tender.process.pid == owner), host.tenders[-1])
                active.kill()
                host.tenders.remove(active)
                host.tend(wait=False)
            elif down:
                host.cluster.tell("start 2")
                down = False
            elif dice.random() < 0.5:
                host.cluster.tell("kill 2")
                down = True
            else:
                host.cluster.tell("move 3 0")
        history = [(at, rows) for at, rows in history if at > now - STALE] + [(now, host.cluster.owners())]
        tally = host.round(count=1, kinds=["put", "get"])
        rows = [rows for _, rows in history] + [host.cluster.owners()]
        astray = [command for command in host.last
                  if all(command["node"] not in each[command["partition"]] for each in rows)]
        host.demand(not astray, f"{len(astray)} commands at nodes that have not held them for {STALE} s: {astray[:3]}")
        total.right += tally.right
        total.replica += tally.replica + tally.wrong
        total.failed += tally.failed
    if down:
        host.cluster.tell("start 2")
    host.cluster.settle()
    seen = host.follow()
    yield (f"a soak of {SECONDS} s, tenders killed {killed} times, nodes killed and moved",
           Seen(f"{total.sent} commands, none at a node that did not hold them, {total.failed} failed "
                f"while nodes were away; {seen.text} at the end", seen.seconds, total))
