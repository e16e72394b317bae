#!/usr/bin/env python3
"""Official clients as judges: they run beside tendmap, which fills their memory.

    clients.py install target/official-client
    judge.py --tendmap target/debug/tendmap [--fast] [--official] [NAME …]

Runs the scenarios (all of them, the fast ones, or those named), each with a cluster,
keys and processes of its own. With --official nobody but the clients themselves
tends: then it shows what is seen, and demands nothing. Exit code 0 = every demand
was met and nothing was left behind.
"""

import argparse
import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import private
from clients import CLIENTS
from host import Host
from rig import Failure
from scenarios import load

HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    """Where tendmap and the clients are."""

    def __init__(self, tendmap, at):
        self.tendmap, self.at = os.path.abspath(tendmap), os.path.abspath(at)


def wanted(names, fast):
    """The scenarios, each with the client that it runs with."""
    scenarios = load()
    unknown = [name for name in names if name not in scenarios]
    if unknown:
        raise SystemExit(f"no such scenario: {', '.join(unknown)}; there are {', '.join(scenarios)}")
    for scenario in scenarios.values():
        if scenario.name in names or not names:
            for client in scenario.fast if fast else scenario.clients:
                yield scenario, client


def run(bench, scenario, client, mirror):
    """The rows that a scenario saw, and what went wrong."""
    rows, host, begun = [], Host(bench, mirror), time.monotonic()
    try:
        # Some yield nothing: what they need is not here, and they have told so.
        for title, seen in scenario.run(host, client):
            rows.append((title, seen))
        return rows, None, time.monotonic() - begun
    except Failure as failure:
        return rows, f"{failure}\n{host.noise()}".strip(), time.monotonic() - begun
    except Exception:
        return rows, traceback.format_exc(), time.monotonic() - begun
    finally:
        host.close()


def run_all(bench, pairs, mirror, jobs):
    """Runs them side by side: most of their time is spent waiting."""
    def one(pair):
        scenario, client = pair
        rows, failure, seconds = run(bench, scenario, client, mirror)
        how = "with tendmap" if mirror else "official"
        state = "FAILED" if failure else "ok"
        lines = [f"{scenario.name} ({client}, {how}): {state}, {seconds:.0f} s"]
        lines += [f"    {title}: {seen.text}" for title, seen in rows]
        if failure:
            lines += [f"    {line}" for line in failure.splitlines()]
        print("\n".join(lines), flush=True)
        return scenario, client, rows, failure
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, pairs))


def arguments(parser):
    parser.add_argument("--tendmap", metavar="PATH", required=True, help="the tendmap binary")
    parser.add_argument("--clients", metavar="DIR", default=os.path.join(HERE, "../../target/official-client"),
                        help="where clients.py has installed them (default: target/official-client)")
    parser.add_argument("--jobs", type=int, default=3, help="scenarios at a time (default: %(default)s)")
    parser.add_argument("--fast", action="store_true", help="only the fast scenarios")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios")


def installed(bench, pairs):
    """Without those whose client is not installed here; clients.py has told why."""
    found = [pair for pair in pairs if CLIENTS[pair[1]].installed(bench.at)]
    if not found:
        raise SystemExit(f"no client is installed in {bench.at}; run clients.py install {bench.at}")
    for name in sorted({client for _, client in pairs} - {client for _, client in found}):
        print(f"not installed: {name}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments(parser)
    parser.add_argument("--official", action="store_true", help="without tendmap")
    options = parser.parse_args()
    private.enter()
    bench = Bench(options.tendmap, options.clients)
    pairs = installed(bench, list(wanted(options.names, options.fast)))
    if options.official:
        pairs = [pair for pair in pairs if not pair[0].only_with_tendmap]
    results = run_all(bench, pairs, not options.official, options.jobs)
    failed = [f"{scenario.name} ({client})" for scenario, client, _, failure in results if failure]
    left = private.left_behind()
    if left:
        print(f"left behind: {', '.join(left)}")
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    print(f"{len(results) - len(failed)} of {len(results)} scenarios passed")
    return 1 if failed or left else 0


if __name__ == "__main__":
    sys.exit(main())
