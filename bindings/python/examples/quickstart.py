"""Routes keys and watches a node leave, with a simulated cluster of its own.

    python examples/quickstart.py
"""

import asyncio

import tendmap


async def main() -> None:
    with tendmap.SimulatedCluster(3) as cluster:
        async with await tendmap.connect(cluster.hosts, use_shm=False, tend_interval="100ms") as client:
            for key in (42, "ann", b"raw", 1.5):
                node = client.route("test", "users", key)
                print(f"{key!r:>7} is at {node.address}")
            changes = client.changes()
            print("node 3 is stopped")
            cluster.stop(3)
            async for sequence in changes:
                print(f"publication {sequence}: {len(client.nodes())} nodes")
                if len(client.nodes()) == 2:
                    break


asyncio.run(main())
