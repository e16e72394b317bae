"""The plugin for pytest, in a project of its own."""

import subprocess
import sys

TESTS = '''
import pytest
import tendmap
from tendmap.testing import client, cluster


def test_by_itself(tendmap_client, tendmap_cluster):
    assert tendmap_client.route("test", "users", 42).address in tendmap_cluster.hosts
    assert tendmap_client.role == "owner" and repr(tendmap_cluster).startswith("<tendmap.SimulatedCluster 127.")


@pytest.mark.tendmap(2, namespaces={"bar": 1})
def test_marked(client, cluster):
    assert len(cluster.hosts) == 2 and client.namespaces() == ["bar"]
    assert isinstance(cluster, tendmap.SimulatedCluster)
'''


def test_a_project_uses_the_fixtures(tmp_path):
    (tmp_path / "test_project.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider"]
    plugins = subprocess.run([*command, "--trace-config"], cwd=tmp_path, capture_output=True, text=True)
    if "tendmap._pytest" not in plugins.stdout:
        # The package is not installed, only in the path.
        command += ["-p", "tendmap._pytest"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0 and "2 passed" in ended.stdout, ended.stdout + ended.stderr
