#!/usr/bin/env python3
"""The official client against a simulated cluster, and against tendmap.

    clients.py install target/official-client
    target/official-client/python-19.3/bin/python check.py --tendmap target/debug/tendmap
    check.py --cluster "cargo run -q --example simulated_cluster -- --nodes 3"

The client connects in private and in shared-memory mode. It must see every
node and must be able to put, get, look for and remove records. Keys of every
type are put, and each command must reach the very node that is master of the
key's partition: by the cluster's own account and, with --tendmap, by
tendmap's map. Then a node is killed and started again, and all is checked
again.

With --tendmap also logins, TLS, TLS for logins only, and preferred racks: the
client and tendmap both have to accept what the simulated cluster does, and a
wrong password must be refused to both. Exit code 0 = everything agreed.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile

import aerospike
from aerospike import exception

from rig import NAMESPACE, PARTITIONS, PATIENCE, SET, Cluster, Failure, Tender, certificates, until, want

TLS_NAME = "cluster-a"
TEND = 1.0  # seconds between two tends of the official client


def keys_of_every_type(count):
    """All the types that the client takes as a key: int, str, bytearray."""
    for n in range(count):
        sign = -1 if n % 2 else 1
        yield sign * (n ** (1 + n % 6))  # from one byte to eight
        yield f"key {n} " + "äöü"[n % 3] * (n % 7)
        yield bytearray((n * (k + 3)) % 256 for k in range(1 + n % 40))


def digest_of(key):
    return bytes(aerospike.calc_digest(NAMESPACE, SET, key))


def partition_of(digest):
    return int.from_bytes(digest[:2], "little") % PARTITIONS


def connect(cluster, shared):
    config = {"hosts": cluster.seeds, "tend_interval": int(TEND * 1000)}
    if shared:
        # A key of its own for each run, so that runs do not meet.
        config["shm"] = {"shm_key": 0x7E000000 | (os.getpid() & 0xFFFFFF)}
    client = aerospike.client(config)
    want(client.is_connected(), "the official client is not connected")
    return client


def names(client):
    return {node["node_name"] for node in client.get_node_names()}


def check_records(client):
    """A record can be put, read, looked for and removed."""
    key = (NAMESPACE, SET, "one record")
    bins = {"int": 7, "str": "text", "float": 1.5, "blob": b"\0\xff", "list": [1, "a"]}
    client.put(key, bins)
    want(client.get(key)[2] == bins, "the bins that come back are not those that were put")
    want(client.select(key, ["int"])[2] == {"int": 7}, "one bin can't be read by itself")
    want(client.exists(key)[1] is not None, "a record that was put does not exist")
    client.remove(key)
    want(client.exists(key)[1] is None, "a record that was removed exists")
    try:
        client.get(key)
    except exception.RecordNotFound:
        return
    raise Failure("a record that was removed can be read")


def check_keys(client, cluster, tendmap, count, show):
    """Each key is put at the node that is master of its partition."""
    keys = {}
    cluster.tell("commands")  # forget what came before
    for key in keys_of_every_type(count):
        client.put((NAMESPACE, SET, key), {"a": 1})
        keys.setdefault(digest_of(key).hex(), key)
    commands = cluster.tell("commands")["commands"]
    want(len(commands) == 3 * count, f"{len(commands)} commands arrived of {3 * count}")
    masters = cluster.masters()
    mapped = tendmap.masters() if tendmap else None
    for command in commands:
        key = keys.get(command["digest"])
        want(key is not None, f"digest {command['digest']} was sent, of none of the keys")
        partition = partition_of(bytes.fromhex(command["digest"]))
        where = f"{type(key).__name__} {key!r}, partition {partition}"
        want(command["partition"] == partition, f"{where}: the cluster says {command['partition']}")
        want(command["node"] == masters[partition],
             f"{where}: sent to {command['node']}, master is {masters[partition]}")
        want(mapped is None or command["node"] == mapped[partition],
             f"{where}: sent to {command['node']}, tendmap's map says {mapped and mapped[partition]}")
        if show:
            print(type(key).__name__, repr(key), command["digest"], command["node"])
    return len(commands)


def astray(client, cluster, count=50):
    """How many commands did not come to the master of their key, or failed."""
    cluster.tell("commands")
    failed = 0
    for key in keys_of_every_type(count):
        try:
            client.put((NAMESPACE, SET, key), {"a": 1})
        except exception.AerospikeError:
            failed += 1
    masters = cluster.masters()
    commands = cluster.tell("commands")["commands"]
    return failed + sum(command["node"] != masters[command["partition"]] for command in commands)


def check_routes(tendmap, cluster, count):
    """`tendmap route` names the digest of the official client, and the master."""
    masters = cluster.masters()
    keys = list(keys_of_every_type(count))
    for key in keys:
        route, digest = tendmap.route(key), digest_of(key)
        where = f"tendmap route, {type(key).__name__} {key!r}"
        want(route["digest"] == digest.hex(), f"{where}: {route['digest']}, wanted {digest.hex()}")
        want(route["partition"] == partition_of(digest), f"{where}: partition {route['partition']}")
        master = masters[partition_of(digest)]
        want(route["master"]["node"] == master, f"{where}: {route['master']}, wanted {master}")
    return len(keys)


def check_mode(cluster, tendmap, shared, options):
    mode = "shared memory" if shared else "private"
    client = connect(cluster, shared)
    try:
        for phase in ("whole", "without node 2", "whole again"):
            if phase == "without node 2":
                cluster.tell("kill 2")
            elif phase == "whole again":
                cluster.tell("start 2")
            cluster.settle()
            running = cluster.running()
            until(f"the nodes {sorted(running)} to be seen", lambda: names(client) == running)
            if tendmap:
                until("tendmap to see them too", lambda: tendmap.running() == running)
            if phase != "whole":
                # The client learns of the partitions by itself.
                until("the official client to know all masters", lambda: astray(client, cluster) == 0)
            check_records(client)
            sent = check_keys(client, cluster, tendmap, options.keys, options.show)
            print(f"{mode}, {phase}: {len(running)} nodes, {sent} commands at the master")
            if tendmap:
                # Every key once, and a few of them again after each change.
                first = phase == "whole" and not shared
                routed = check_routes(tendmap, cluster, options.keys if first else options.routes)
                print(f"{mode}, {phase}: {routed} keys routed alike by tendmap")
    finally:
        client.close()


def check_access(path, files, what):
    """The client and tendmap log in and speak TLS with the same cluster."""
    command, access = [path, "sim", "--nodes", "3"], []
    config = {"tend_interval": int(TEND * 1000)}
    if "login" in what:
        command += ["--user", "keeper:pässwörd"]
        access += ["--user", "keeper", "--password", "pässwörd"]
        config |= {"user": "keeper", "password": "pässwörd"}
    if "TLS" in what:
        command += ["--tls-certfile", files["node.pem"], "--tls-keyfile", files["node.key"],
                    "--tls-name", TLS_NAME]
        access += ["--tls-cafile", files["ca.pem"]]
        config["tls"] = {"enable": True, "cafile": files["ca.pem"]}
    if "only" in what:
        access += ["--tls-for-login-only"]
        config["tls"]["for_login_only"] = True
    if "external" in what:
        access += ["--auth-mode", "EXTERNAL"]
        config["policies"] = {"auth_mode": aerospike.AUTH_EXTERNAL}
    cluster = Cluster(command)
    tendmap = client = None
    try:
        if "external" in what:
            cluster.tell("user set keeper pässwörd external")
        seeds, hosts = cluster.seeds, cluster.hosts
        if "TLS" in what:
            seeds = [(host, port + 1000, TLS_NAME) for host, port in seeds]
            hosts = [f"{host}:{name}:{port}" for host, port, name in seeds]
        client = aerospike.client({**config, "hosts": seeds})
        tendmap = Tender(path, hosts, *access)
        until("tendmap to see all nodes", lambda: len(tendmap.running()) == 3)
        sent = check_keys(client, cluster, tendmap, 30, False)
        status = cluster.tell("status")
        secure = sum(node["tls_accepted"] for node in status["nodes"])
        clear = sum(node["connections_accepted"] for node in status["nodes"]) - secure
        want(("TLS" in what) == (secure > 0), f"{secure} connections over TLS")
        want(clear == 0 or "TLS" not in what or "only" in what, f"{clear} connections in clear")
        if "login" in what:
            # Each logs in at every node.
            want(status["logins"] >= 6, f"{status['logins']} logins; wanted 6")
            want(status["logins_refused"] == 0, f"{status['logins_refused']} logins were refused")
            try:
                wrong = aerospike.client({**config, "hosts": seeds, "password": "wrong"})
                wrong.close()
                raise Failure("the official client logs in with a wrong password")
            except exception.AerospikeError as error:
                refusal = error
            want(isinstance(refusal, exception.InvalidCredential), f"refused by {refusal!r}")
            wrong = ["wrong" if flag == "pässwörd" else flag for flag in access]
            refused = subprocess.run(
                [path, "tend", "--use-shm=false", f"--host={hosts[0]}", *wrong],
                capture_output=True, text=True, timeout=PATIENCE,
            )
            want(refused.returncode != 0 and "check user, password" in refused.stderr,
                 f"tendmap with a wrong password: {refused.returncode}, {refused.stderr.strip()}")
        tendmap.close()
        print(f"{what}: {sent} commands at the master, the same for tendmap")
    finally:
        if client:
            client.close()
        if tendmap:
            tendmap.kill()
        cluster.close()


def check_racks(path):
    """With a preferred rack the client reads from the node of that rack."""
    cluster = Cluster([path, "sim", "--nodes", "3", "--enterprise", "--namespace", f"{NAMESPACE}:2"])
    client = None
    try:
        for number in (1, 2, 3):
            cluster.tell(f"rack {number} {NAMESPACE} {number}")
        prefer = {"replica": aerospike.POLICY_REPLICA_PREFER_RACK}
        client = aerospike.client({
            "hosts": cluster.seeds, "rack_aware": True, "rack_id": 2, "policies": {"read": prefer},
            "tend_interval": int(TEND * 1000),
        })
        keys = [(NAMESPACE, SET, number) for number in range(200)]
        for key in keys:
            client.put(key, {"a": 1})
        rows = cluster.tell(f"owners {NAMESPACE}")["partitions"]
        second = cluster.tell("status")["nodes"][1]["node"]

        def reads():
            cluster.tell("commands")
            for key in keys:
                client.get(key)
            return cluster.tell("commands")["commands"]

        def near(command):
            return command["node"] == second or second not in rows[command["partition"]]

        # Racks come with a tend of their own.
        until("the official client to know the racks", lambda: all(map(near, reads())))
        here = 0
        for command in reads():
            row = rows[command["partition"]]
            want(command["node"] in row, f"read at {command['node']}, replicas are {row}")
            want(second not in row or command["node"] == second,
                 f"read at {command['node']}, wanted {second} of the preferred rack")
            here += command["node"] == second
        want(here > 0, "no read came to the preferred rack")
        print(f"racks: {here} of {len(keys)} reads at the preferred rack, the others at a replica")
    finally:
        if client:
            client.close()
        cluster.close()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tendmap", metavar="PATH", help="the tendmap binary; compare with it")
    parser.add_argument("--cluster", metavar="COMMAND",
                        help="starts the simulated cluster (default: PATH sim --nodes 3)")
    parser.add_argument("--keys", type=int, default=1000, help="of each type (default: %(default)s)")
    parser.add_argument("--routes", type=int, default=4,
                        help="keys of each type given to tendmap route after changes (default: %(default)s)")
    parser.add_argument("--show", action="store_true",
                        help="print type, key, digest and node of every command")
    options = parser.parse_args()
    if not (options.tendmap or options.cluster):
        parser.error("wanted --tendmap or --cluster")
    return options


def main():
    options = arguments()
    command = shlex.split(options.cluster) if options.cluster else [options.tendmap, "sim", "--nodes", "3"]
    cluster, tendmap = Cluster(command), None
    try:
        tendmap = options.tendmap and Tender(options.tendmap, cluster.hosts)
        for shared in (False, True):
            check_mode(cluster, tendmap, shared, options)
        if tendmap:
            tendmap.close()
            with tempfile.TemporaryDirectory() as folder:
                files = certificates(folder, TLS_NAME)
                for what in ("login", "external login over TLS", "TLS", "login and TLS", "login, only it over TLS"):
                    check_access(options.tendmap, files, what)
            check_racks(options.tendmap)
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        if tendmap:
            tendmap.kill()
        cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
