#!/usr/bin/env python3
"""The official clients that judge, pinned, and how they are installed.

    clients.py install target/official-client

Each client of Python gets a virtual environment of its own, since two versions of
one package do not go into one. What can't be had on this machine is said, and
written to the file that TENDMAP_SKIPS names; a registry that can't be reached is a
failure.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Official:
    """An official client, and the C client inside it."""

    name: str  # as `--c-client` takes it
    package: str
    layout: str  # of its shared memory, as docs/C-CLIENT.md names it
    version: str  # of the C client in it

    @property
    def folder(self):
        return self.name

    def program(self, at):
        """The program that runs a worker, and the worker's source."""
        here = os.path.dirname(os.path.abspath(__file__))
        if self.name.startswith("node"):
            return ["node", os.path.join(here, "worker.js")]
        return [os.path.join(at, self.folder, "bin", "python"), os.path.join(here, "worker.py")]

    def installed(self, at):
        if self.name.startswith("node"):
            return os.path.isdir(os.path.join(at, self.folder, "node_modules", "aerospike"))
        return os.path.exists(os.path.join(at, self.folder, "bin", "python"))


CLIENTS = {
    client.name: client
    for client in (
        Official("python-19.3", "aerospike==19.3.0", "F", "7.6.1"),
        Official("python-19.2.1", "aerospike==19.2.1", "E", "7.3.0"),
        Official("python-11.0", "aerospike==11.0.1", "D", "6.3.0"),
        Official("node-6.7", "aerospike@6.7.1", "E", "7.4.0"),
    )
}
NEWEST = "python-19.3"


def skipped(what):
    print(f"skipped: {what}")
    if path := os.environ.get("TENDMAP_SKIPS"):
        with open(path, "a") as file:
            file.write(f"official_client {what}\n")


def install_python(client, at):
    python = os.path.join(at, client.folder, "bin", "python")
    stamp = os.path.join(at, client.folder, "installed")
    if os.path.exists(stamp) and open(stamp).read() == client.package:
        return True
    subprocess.run([sys.executable, "-m", "venv", os.path.join(at, client.folder)], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    wheel = [*pip, "install", "--quiet", "--only-binary", ":all:", client.package]
    result = subprocess.run(wheel, capture_output=True, text=True)
    if result.returncode != 0:
        shutil.rmtree(os.path.join(at, client.folder))
        # pip lists the versions that it found, if it reached the registry.
        if "from versions: " in result.stderr and "from versions: none" not in result.stderr:
            skipped(f"{client.name}: no wheel of {client.package} for CPython "
                    f"{sys.version_info.major}.{sys.version_info.minor}")
            return True
        print(f"{client.package} can't be installed: {result.stderr.strip()}", file=sys.stderr)
        return False
    with open(stamp, "w") as file:
        file.write(client.package)
    return True


def install_node(client, at):
    folder = os.path.join(at, client.folder)
    stamp = os.path.join(folder, "installed")
    if os.path.exists(stamp) and open(stamp).read() == client.package:
        return True
    if not (shutil.which("node") and shutil.which("npm")):
        skipped(f"{client.name}: no node here, or no npm")
        return True
    os.makedirs(folder, exist_ok=True)
    npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, client.package]
    result = subprocess.run(npm, capture_output=True, text=True)
    if result.returncode != 0:
        print(f"{client.package} can't be installed: {result.stderr.strip()}", file=sys.stderr)
        return False
    # The package brings binaries for some versions of node only.
    module = os.path.join(folder, "node_modules", "aerospike")
    loaded = subprocess.run(["node", "-e", "require(process.argv[1])", module], capture_output=True)
    if loaded.returncode != 0:
        shutil.rmtree(folder)
        skipped(f"{client.name}: no node here that {client.package} has a binary for")
        return True
    with open(stamp, "w") as file:
        file.write(client.package)
    return True


def install(at):
    at = os.path.abspath(at)
    os.makedirs(at, exist_ok=True)
    done = [
        (install_node if client.name.startswith("node") else install_python)(client, at)
        for client in CLIENTS.values()
    ]
    return all(done)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "install":
        sys.exit(__doc__)
    sys.exit(0 if install(sys.argv[2]) else 1)
