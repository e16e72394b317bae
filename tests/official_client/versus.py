#!/usr/bin/env python3
"""The same scenarios with official clients alone and with tendmap, side by side.

    versus.py --tendmap target/release/tendmap [--fast] [--write docs/C-CLIENT.md] [NAME …]

Prints the table of both. With --write it replaces what is between the markers
`<!-- versus: begin -->` and `<!-- versus: end -->` of a document. Exit code 0 = with
tendmap every demand was met; what official clients do alone is only shown.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys

import private
from clients import CLIENTS
from judge import Bench, arguments, installed, run_all, wanted

BEGIN, END = "<!-- versus: begin -->", "<!-- versus: end -->"


def cells(results):
    """What was seen, by title, in the order of the scenarios."""
    found = {}
    for _, _, rows, failure in results:
        for title, seen in rows:
            found[title] = seen.text
        if failure:
            found[f"{rows[-1][0] if rows else 'nothing'}, and then"] = f"**failed**: {failure.splitlines()[-1]}"
    return found


def table(official, tendmap):
    lines = ["| | official clients alone | with `tendmap tend --c-client` |", "| --- | --- | --- |"]
    # A cell of words from elsewhere must not end it.
    clean = (lambda text: text.replace("|", "\\|"))
    for title, text in tendmap.items():
        lines.append(f"| {clean(title)} | {clean(official.get(title, ''))} | {clean(text)} |")
    return lines


def versions(bench, pairs):
    told = subprocess.run([bench.tendmap, "--version"], capture_output=True, text=True).stdout.strip()
    clients = [CLIENTS[name] for name in CLIENTS if name in {client for _, client in pairs}]
    listed = ", ".join(f"`{client.package}` (C client {client.version}, layout {client.layout})" for client in clients)
    return (f"Measured on {datetime.date.today().isoformat()} by `tests/official_client/versus.py` with {told}, "
            f"{listed}; {os.cpu_count()} processors, Linux {platform.release().split('-')[0]}, "
            "a simulated cluster on the same machine. Times count from the end of the cluster's own change.")


def wrap(text, width=88):
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return [*lines, line]


def write(path, lines):
    with open(path) as file:
        text = file.read()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{path} has no markers {BEGIN} and {END}")
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(path, "w") as file:
        file.write("\n".join([before + BEGIN, "", *lines, "", END + after]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments(parser)
    parser.add_argument("--write", metavar="DOCUMENT", help="replace the table in this document")
    options = parser.parse_args()
    private.enter()
    bench = Bench(options.tendmap, options.clients)
    pairs = installed(bench, list(wanted(options.names, options.fast)))
    both = [pair for pair in pairs if not pair[0].only_with_tendmap]
    official = run_all(bench, both, False, options.jobs)
    tendmap = run_all(bench, pairs, True, options.jobs)
    lines = [*wrap(versions(bench, pairs)), "", *table(cells(official), cells(tendmap))]
    print("\n".join(lines))
    failed = [scenario.name for scenario, _, _, failure in tendmap if failure]
    left = private.left_behind()
    if failed or left:
        print(f"failed: {failed}; left behind: {left}", file=sys.stderr)
        return 1
    if options.write:
        write(options.write, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
