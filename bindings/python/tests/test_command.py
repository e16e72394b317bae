"""The command line in the package: `python -m tendmap`, and the script `tendmap`."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import sysconfig

import pytest

import tendmap
from conftest import wait_until

MODULE = [sys.executable, "-m", "tendmap"]


def run(*arguments):
    command = [*MODULE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def answer(*arguments):
    ended = run(*arguments)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


def test_it_shows_what_the_library_sees(client, directory):
    place = f"--shm-directory={directory}"
    node = client.route("test", "users", 42)
    assert client.status()["cluster_name"] in answer("status", place)
    assert json.loads(answer("status", place, "--json"))["nodes"] == 3
    route = answer("route", place, "--namespace=test", "--set=users", "--int=42")
    assert node.name in route and node.address in route
    assert node.name in answer("map", place)
    assert "healthy" in answer("ls", place)
    assert "tendmap_segment_up" in answer("metrics", place)


def test_its_version_and_help_are_those_of_the_command_line():
    assert answer("--version") == f"tendmap {tendmap.__version__}\n"
    said = answer("--help")
    assert "Usage: tendmap" in said and "watch" in said and "status" in said
    assert "Usage: tendmap status" in answer("status", "--help")


def test_errors_have_the_exit_codes_of_the_command_line(directory):
    assert run("nonsense").returncode == 2
    gone = run("status", f"--shm-directory={directory}", "--json")
    assert gone.returncode == 3 and json.loads(gone.stderr)["error"]["code"] == 3
    assert run("status", f"--shm-directory={directory}").stdout == ""


def test_the_script_is_installed():
    script = pathlib.Path(sysconfig.get_path("scripts"), "tendmap")
    if not script.exists():
        pytest.skip("skipped: the package is not installed here")
    said = subprocess.check_output([script, "--version"], text=True)
    assert said == f"tendmap {tendmap.__version__}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_tends_until_a_signal_ends_it(cluster, directory, number):
    hosts = ",".join(cluster.hosts)
    command = [*MODULE, "tend", f"--hosts={hosts}", f"--shm-directory={directory}", "--tend-interval=50ms"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def tends():
            assert process.poll() is None, process.communicate()
            try:
                return tendmap.status(shm_directory=directory)["owner_pid"] == process.pid
            except tendmap.SegmentError:
                return False

        try:
            # Before that a client of this process could become the owner.
            wait_until("it tends", tends)
            with tendmap.Client(cluster.hosts, shm_directory=directory) as client:
                assert client.status()["owner_pid"] == process.pid
                process.send_signal(number)
                said, complained = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0 and "Traceback" not in complained, complained
    assert "node added" in said or "node_added" in said, said


def test_a_command_that_catches_no_signal_is_ended_by_it(client, directory):
    with subprocess.Popen([*MODULE, "sim", "--nodes=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGINT)


def test_the_reader_of_its_output_may_go(client, directory):
    command = [*MODULE, "map", f"--shm-directory={directory}"]
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ended = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writes)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_the_demo_starts_its_workers_in_the_same_way():
    ended = run("demo", "--workers=2", "--seconds=4", "--json")
    assert ended.returncode == 0, ended.stderr
