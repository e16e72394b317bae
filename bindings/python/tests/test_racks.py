"""Reads that prefer racks, and settings that change while a client runs."""


import pytest

import tendmap
from conftest import in_child, wait_until

KEYS = range(300)


@pytest.fixture
def cluster():
    """Three nodes in racks 10, 20 and 30."""
    with tendmap.SimulatedCluster(
        3, namespaces={"test": 2}, cluster_name="lab", enterprise=True
    ) as cluster:
        for number in [1, 2, 3]:
            cluster.set_rack(number, "test", number * 10)
        yield cluster


def preferring(client, addresses, racks):
    """Checks that each key goes to the first of the racks that holds it, otherwise
    to its master, and a retry to the other node."""
    batch = client.route_batch("test", "users", list(KEYS), "prefer_rack")
    for key, in_batch in zip(KEYS, batch):
        master = client.locate("test", "users", key)
        held = [master.node, client.retry(master).node]
        by_rack = {addresses.index(node.address) * 10 + 10: node for node in held}
        wanted = next((by_rack[rack] for rack in racks if rack in by_rack), master.node)
        route = client.locate("test", "users", key, "prefer_rack")
        assert route.node is in_batch is wanted, (key, racks)
        assert client.route("test", "users", key, "prefer_rack") is wanted
        retried = client.retry(route).node
        assert retried in held and retried is not wanted


def test_reads_go_to_the_preferred_racks_in_their_order(cluster, settings):
    with tendmap.Client(cluster.hosts, preferred_racks=[20, 10], **settings) as client:
        preferring(client, cluster.hosts, [20, 10])
    with tendmap.Client(cluster.hosts, **settings) as client:
        preferring(client, cluster.hosts, [])


def test_the_preferred_racks_change_while_the_client_runs(client, cluster):
    for racks in [[30], (10, 30, 20), iter([20, 10]), "10", []]:
        wanted = [10] if racks == "10" else [20, 10] if not hasattr(racks, "__len__") else racks
        client.set_preferred_racks(racks)
        preferring(client, cluster.hosts, wanted)
    client.set_preferred_racks([20])
    for racks, error in [("left", tendmap.ConfigError), (None, TypeError), ([1.5], TypeError)]:
        with pytest.raises(error):
            client.set_preferred_racks(racks)
    preferring(client, cluster.hosts, [20])


def test_a_forked_child_prefers_what_the_client_did_last(client, cluster):
    client.set_preferred_racks(iter([30, 20]))
    hosts = cluster.hosts

    def child():
        preferring(client, hosts, [30, 20])
        client.set_preferred_racks([10])
        preferring(client, hosts, [10])

    in_child(child)
    preferring(client, hosts, [30, 20])


def test_the_tend_interval_changes_while_the_client_runs(client):
    client.set_tend_interval("60ms")
    wait_until("it is published", lambda: client.status()["tend_interval_ms"] == 60)
    for interval, said in [(0.01, "wanted at least 50ms"), (1000, "shm_takeover_threshold is 30s")]:
        with pytest.raises(tendmap.ConfigError, match=said):
            client.set_tend_interval(interval)
    assert client.status()["tend_interval_ms"] == 60


def test_a_password_of_nobody_is_refused(client):
    with pytest.raises(tendmap.ConfigError, match="set user"):
        client.set_password("secret")
