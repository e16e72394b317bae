"""Fixtures for pytest: a simulated cluster, and a client of it.

pytest finds them by itself once tendmap is installed:

    def test_routes(tendmap_client):
        assert tendmap_client.route("test", "users", 42).port

    def test_failover(tendmap_cluster):
        tendmap_cluster.kill(3)

Or under shorter names:

    from tendmap.testing import client, cluster

Another cluster: mark the test with
`@pytest.mark.tendmap(nodes=5, namespaces={"test": 3})`.
"""

from collections.abc import Iterator

import pytest

from ._tendmap import Client, SimulatedCluster

__all__ = ["client", "cluster", "tendmap_client", "tendmap_cluster"]


def _cluster(request: pytest.FixtureRequest) -> Iterator[SimulatedCluster]:
    mark = request.node.get_closest_marker("tendmap")
    given = (mark.args, mark.kwargs) if mark else ((), {})
    with SimulatedCluster(*given[0], **given[1]) as made:
        yield made


def _client(cluster: SimulatedCluster) -> Iterator[Client]:
    with Client(cluster.hosts, use_shm=False, tend_interval="50ms") as made:
        yield made


@pytest.fixture
def tendmap_cluster(request: pytest.FixtureRequest) -> Iterator[SimulatedCluster]:
    """A `tendmap.SimulatedCluster`, of three nodes unless the test is marked."""
    yield from _cluster(request)


@pytest.fixture
def tendmap_client(tendmap_cluster: SimulatedCluster) -> Iterator[Client]:
    """A `tendmap.Client` of `tendmap_cluster`, with a private map."""
    yield from _client(tendmap_cluster)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[SimulatedCluster]:
    """As `tendmap_cluster`."""
    yield from _cluster(request)


@pytest.fixture
def client(cluster: SimulatedCluster) -> Iterator[Client]:
    """As `tendmap_client`, of `cluster`."""
    yield from _client(cluster)
