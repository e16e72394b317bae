#!/usr/bin/env python3
"""Tries the manifests of this folder without a cluster.

    try.py --tendmap FILE [--keep]

Checks each manifest against the schemas of Kubernetes, then runs the containers of
sidecar.yaml as a kubelet would: with their own arguments, variables, users, probes and
volumes, each in a mount and pid namespace of its own, with the /dev/shm of its pod, all in
one network and IPC namespace. ../container/try does the same with a container engine.
Only the hosts are others: those of a simulated cluster. Needs root.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml
from pod import FOLDER, PASSWORD, PATIENCE, UNITS, Volumes, in_bytes, of_pod, until

# The oldest release with native sidecars, and the newest one that has a schema.
RELEASES = ["1.29", kubernetes_validate.latest_version()]
# The default of shm_takeover_threshold, in seconds.
TAKEOVER = 30


class Pod(Volumes):
    """What the containers of a pod are started with."""

    def __init__(self, spec, secrets, tendmap, hosts, size=None):
        super().__init__(spec, secrets, hosts, size)
        self.tendmap, self.shm = tendmap, self.folder / "shm"
        self.shm.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", str(self.shm)]
        subprocess.run(mount, check=True)

    def command(self, container, args):
        """A command line in a container's namespaces, and its variables."""
        found = self.container(container)
        env = self.variables(container) | {"PATH": os.environ["PATH"]}
        # /run is the container's own, so that nothing of this machine shows there.
        script = ["set -e", "mount -t tmpfs tmpfs /run", f"mount --bind {self.shm} /dev/shm"]
        for mount in found["volumeMounts"]:
            source, to = self.volumes[mount["name"]], mount["mountPath"]
            script.append(f"mkdir -p {to}; mount --bind {source} {to}")
            if mount.get("readOnly"):
                script.append(f"mount -o remount,bind,ro {to}")
        who = found["securityContext"]
        script.append(
            f"exec setpriv --reuid {who['runAsUser']} --regid {who['runAsGroup']} --groups {self.group}"
            ' --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"'
        )
        line = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
        line += ["--kill-child", "--mount-proc", "sh", "-c", "\n".join(script), "sh", self.tendmap]
        return line + args, env

    def start(self, container, more=()):
        """Starts a container as its manifest says."""
        line, env = self.command(container, self.container(container)["args"] + list(more))
        return Running(line, env)

    def run(self, container, args):
        """The result of a command in a container of that kind."""
        line, env = self.command(container, args)
        return subprocess.run(line, env=env, capture_output=True, text=True, timeout=PATIENCE)

    def answer(self, container, args):
        result = self.run(container, args)
        assert result.returncode == 0, (args, result)
        return json.loads(result.stdout)


class Running:
    """A container: `unshare`, whose one child is process 1 of its pid namespace."""

    def __init__(self, line, env):
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            line, env=env, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT
        )

    def text(self):
        self.output.seek(0)
        return self.output.read()

    def first(self):
        """Process 1 of the container, seen from here."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return int(until("a child", lambda: Path(path).read_text().split())[0])

    def signal(self, which):
        os.kill(self.first(), which)

    def end(self):
        return self.process.wait(timeout=PATIENCE)

    def wait_for(self, text):
        def found():
            assert self.process.poll() is None or text in self.text(), self.text()
            return text in self.text()

        until(text, found)


def validate():
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            for release in RELEASES:
                kubernetes_validate.validate(document, release, strict=True)
        print(f"{path.name}: valid for Kubernetes {' and '.join(RELEASES)}")


def sidecar(tendmap, hosts):
    spec, secrets = of_pod("sidecar.yaml", "Deployment")
    # What a native sidecar is, and what must hold for the two users.
    assert [item["restartPolicy"] for item in spec["initContainers"]] == ["Always"]
    assert not spec.get("shareProcessNamespace") and not spec.get("hostIPC")
    pod = Pod(spec, secrets, tendmap, hosts)
    probe = pod.container("tendmap")["startupProbe"]["exec"]["command"]
    assert probe[0] == "/tendmap"
    route = ["route", "--namespace", "test", "--int", "42", "--json"]

    # Without a tender the probe fails; with one it succeeds.
    assert pod.run("tendmap", probe[1:]).returncode != 0
    tender = pod.start("tendmap")
    until("a map", lambda: pod.run("tendmap", probe[1:]).returncode == 0)
    holders = pod.answer("application", route)["replicas"]
    assert len(holders) == 2, holders
    status = pod.answer("application", ["status", "--json"])
    assert (status["user"], status["owner_alive"], status["cluster_name"]) == (5001, True, "lab"), status
    print("sidecar: tends as user 5001; user 5002 routes, with a read-only mount")

    # A tender that hangs fails the liveness probe; a cluster that does not answer does not.
    live = pod.container("tendmap")["livenessProbe"]
    seconds = live["periodSeconds"] * live["failureThreshold"]
    assert live["exec"]["command"][0] == "/tendmap" and seconds > 1.5 * TAKEOVER, live
    alive = lambda: pod.run("tendmap", live["exec"]["command"][1:]).returncode
    assert alive() == 0
    tender.signal(signal.SIGSTOP)
    until("a hung tender", lambda: alive() == 1)
    tender.signal(signal.SIGCONT)
    until("a tender that works", lambda: alive() == 0)
    print("sidecar: the liveness probe fails while the tender is stopped")

    # A program of the application that keeps a client.
    client = pod.start("application", ["--json"])
    client.wait_for('"connected"')
    tender.signal(signal.SIGKILL)
    tender.end()
    # A process that may only read knows by the heartbeat.
    until("a dead owner", lambda: pod.run("application", ["status"]).returncode == 1)
    assert pod.answer("application", route)["replicas"] == holders
    tender = pod.start("tendmap")
    until("a takeover", lambda: pod.run("application", ["status"]).returncode == 0)
    after = pod.answer("application", ["status", "--json"])
    assert after["term"] > status["term"] and after["generation"] == status["generation"], after
    assert client.process.poll() is None, client.text()
    print("sidecar: after kill -9 routing goes on; the restarted container takes over")

    # SIGTERM ends process 1 of a container, and hands over: the last one removes all.
    for running in [client, tender]:
        running.signal(signal.SIGTERM)
        assert running.end() == 0, running.text()
    left = sorted(path.name for path in pod.volumes["segment"].iterdir())
    assert left == [], left
    print("sidecar: SIGTERM ends process 1 of each container; nothing is left in the volume")

    # Also while it waits for a cluster that is not there.
    waiting = Pod(spec, secrets, tendmap, "127.0.0.1:1")
    tender = waiting.start("tendmap")
    tender.wait_for("waiting")
    tender.signal(signal.SIGTERM)
    assert tender.end() == 0, tender.text()

    # The volume must have room for a segment.
    small = Pod(spec, secrets, tendmap, hosts, size=256 * 2**10)
    tender = small.start("tendmap")
    assert tender.end() == 6, tender.text()
    text = tender.text()
    assert "/run/tendmap" in text and "bytes" in text and "room" in text, text
    print("sidecar: a volume that is too small is an error:", text.strip().splitlines()[-1])


def memory_of_manifest():
    """The limit of the tender has room for the whole volume."""
    spec, _ = of_pod("sidecar.yaml", "Deployment")
    limit = spec["initContainers"][0]["resources"]["limits"]["memory"]
    volume = spec["volumes"][0]["emptyDir"]["sizeLimit"]
    assert in_bytes(limit) >= in_bytes(volume) + 32 * UNITS["Mi"], (limit, volume)


def simulated(tendmap):
    line = [tendmap, "sim", "--json", "--nodes", "3", "--base-port", "3100", "--namespace", "test:2"]
    line += ["--cluster-name", "lab", "--user", "routing"]
    env = {"PATH": os.environ["PATH"], "TENDMAP_PASSWORD": PASSWORD}
    sim = subprocess.Popen(line, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert sim.stdout.readline(), "the simulated cluster did not start"
    return sim


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tendmap", required=True, help="the program")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        validate()
        memory_of_manifest()
        unshare = ["unshare", "--mount", "--propagation", "private", "--net", "--ipc"]
        if os.geteuid() != 0 or subprocess.run([*unshare, "true"], capture_output=True).returncode:
            skipped = "only root may unshare; the manifests are not tried"
            print(f"skipped: {skipped}")
            if noted := os.environ.get("TENDMAP_SKIPS"):
                Path(noted).open("a").write(f"{skipped}\n")
            return
        os.execvp("unshare", [*unshare, sys.executable, __file__, "--inside", *sys.argv[1:]])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # The program where every user may run it, and volumes that end with this process.
    work = tempfile.mkdtemp(prefix="deploy-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", work], check=True)
    tempfile.tempdir = work
    tendmap = f"{work}/tendmap"
    subprocess.run(["cp", arguments.tendmap, tendmap], check=True)
    sim = simulated(tendmap)
    try:
        sidecar(tendmap, "127.0.0.1:3100")
    finally:
        sim.kill()
        subprocess.run(["umount", "--lazy", work], check=True)
        os.rmdir(work)


main()
