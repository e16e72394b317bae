"""Logins, sessions, TLS and IPv6."""

import socket
import time

from clients import skipped
from rig import certificates, until
from scenarios import scenario

TLS_NAME = "cluster-a"
# Clients renew a session a minute before its end.
LIFETIME = 64
USER, PASSWORD = "keeper", "pässwörd"


@scenario(clients=("python-19.3", "python-19.2.1", "node-6.7"))
def login(host, client):
    host.begin(
        clients=[client], sim=["--user", f"{USER}:{PASSWORD}", "--session-lifetime", f"{LIFETIME}s"],
        access=["--user", USER, "--password", PASSWORD], config={"user": USER, "password": PASSWORD},
    )
    workers = host.crowd(4)
    yield f"login ({client})", host.follow()
    before = host.cluster.tell("status")["logins"]
    nodes, deadline = len(host.cluster.nodes()), time.monotonic() + 3 * (LIFETIME - 60)
    until("sessions to be renewed",
          lambda: host.cluster.tell("status")["logins"] >= before + nodes * len(workers)
          or time.monotonic() > deadline)
    renewed = host.cluster.tell("status")["logins"] - before
    host.demand(renewed >= nodes * len(workers), f"{renewed} logins within {3 * (LIFETIME - 60)} s")
    yield f"… and sessions that are renewed ({client})", host.follow()
    host.cluster.tell("security expire")
    yield f"… and sessions that the servers end ({client})", host.follow()


@scenario()
def tls(host, client):
    files = certificates(host.folder, TLS_NAME)
    host.begin(
        tls=TLS_NAME, sim=["--tls-certfile", files["node.pem"], "--tls-keyfile", files["node.key"],
                           "--tls-name", TLS_NAME],
        access=["--tls-cafile", files["ca.pem"]], config={"tls": {"enable": True, "cafile": files["ca.pem"]}},
    )
    host.crowd(4)
    yield "TLS", host.follow()
    clear = sum(node["connections_accepted"] - node["tls_accepted"] for node in host.cluster.nodes())
    host.demand(clear == 0, f"{clear} connections in clear")
    host.cluster.tell("kill 2")
    host.cluster.settle()
    host.follow()
    host.cluster.tell("start 2")
    host.cluster.settle()
    yield "… and a node that leaves and returns", host.follow()


@scenario(clients=("python-19.3", "python-19.2.1"))
def ipv6(host, client):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        skipped(f"ipv6 ({client}): this machine has no IPv6 loopback")
        return
    host.begin(clients=[client], sim=["--ipv6"])
    host.crowd(4)
    yield f"IPv6 ({client})", host.follow()
    host.cluster.tell("move 2 0")
    host.cluster.settle()
    yield f"… and a node that moves ({client})", host.follow()
