"""tendmap in asyncio: nothing waits in the loop, and nothing stays behind."""

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import re
import resource
import subprocess
import sys
import threading
from collections import Counter

import pytest

import tendmap
from conftest import wait_until, wait_until_at_rest


def loops():
    """The event loops to test with."""
    yield asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        print("skipped: uvloop is not installed here")
    else:
        yield uvloop.new_event_loop


@pytest.fixture(params=list(loops()), ids=lambda make: make.__module__.partition(".")[0])
def run(request):
    """Runs a coroutine in a loop of that kind, with a generous limit."""

    def run(main):
        loop = request.param()
        try:
            return loop.run_until_complete(asyncio.wait_for(main, 120))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    run.new_loop = request.param
    return run


def held():
    """The descriptors and the threads of this process, of each kind how many."""
    gc.collect()
    found = Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            # Without the number of a socket: a client that waited too long connects again.
            found[re.sub(r":\[\d+\]", "", os.readlink(f"/proc/self/fd/{name}"))] += 1
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as comm:
            found["thread " + comm.read().strip()] += 1
    return found


def nothing_more_than(before):
    """What was still ending before may have ended since."""
    wait_until(f"nothing is left: {before} {held()}", lambda: not held() - before)


@pytest.fixture
def frozen(cluster):
    """A cluster that does not answer."""
    for number in (1, 2, 3):
        cluster.freeze(number)
    return cluster


def test_an_iterator_yields_each_change(client, cluster, run):
    assert cluster.settle()

    async def main():
        seen, changes = [], client.changes()
        cluster.stop(3)
        async for sequence in changes:
            seen.append(sequence)
            break
        cluster.start(3)
        async for sequence in changes:
            seen.append(sequence)
            break
        return seen

    first, second = run(main())
    assert second >= first


def test_it_ends_when_the_client_is_closed(client, run):
    async def watch():
        async for _ in client.changes():
            pass
        return "ended"

    async def main():
        task = asyncio.create_task(watch())
        await asyncio.sleep(0.05)
        await client.aclose()
        return await task

    assert run(main()) == "ended"
    with pytest.raises(tendmap.ClosedError):
        client.changes()


def test_changed_returns_the_sequence_or_the_same_at_the_timeout(client, cluster, run):
    wait_until_at_rest(client, cluster)
    sequence = client.sequence

    async def main():
        assert await client.changed(sequence, "20ms") == sequence
        assert await client.changed(timeout=0) == client.sequence
        assert await client.changed(sequence + 1) == sequence, "it differs already"
        waiting = asyncio.create_task(client.changed(sequence))
        await asyncio.sleep(0)
        cluster.stop(3)
        assert await waiting > sequence
        closing = asyncio.create_task(client.changed(after=client.sequence, timeout=None))
        while not closing.done():
            await asyncio.sleep(0.01)
            await client.aclose()
        with contextlib.suppress(tendmap.ClosedError):
            await closing

    run(main())


def test_h173_a_wait_that_is_cancelled_leaves_nothing_behind(client, cluster, run):
    wait_until("settled", cluster.settle)

    async def main():
        before = held()
        for _ in range(3):
            changes = client.changes()
            tasks = [asyncio.create_task(anext(aiter(changes)))]
            tasks += [asyncio.create_task(client.changed()) for _ in range(5)]
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            # A change in that moment is news, too.
            assert all(isinstance(result, asyncio.CancelledError | int) for result in results)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.changed(client.sequence), 0.01)
            changes.close()
            del changes, tasks, results
        nothing_more_than(before)

    run(main())


def test_h173_a_loop_that_is_closed_while_a_task_waits_leaves_nothing_behind(client, cluster, run):
    wait_until("settled", cluster.settle)
    before = held()
    for _ in range(3):
        loop = run.new_loop()
        changes = client.changes()

        async def wait(changes=changes):
            async for _ in changes:
                pass

        task = loop.create_task(wait())
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        # The loop would complain about a task that it has not ended.
        task._log_destroy_pending = False
        del task, changes, wait
        gc.collect()
    del loop
    nothing_more_than(before)


def test_h173_a_program_ends_while_tasks_wait(cluster, directory):
    program = f"""
import asyncio, tendmap

async def main():
    client = await tendmap.connect({cluster.hosts!r}, shm_directory={directory!r})
    task = asyncio.create_task(client.changed(client.sequence))
    async def watch():
        async for _ in client.changes():
            pass
    other = asyncio.create_task(watch())
    await asyncio.sleep(0.1)
    print("end")

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "end\n", "")


def test_h173_a_program_ends_while_a_client_connects(frozen, directory):
    program = f"""
import asyncio, tendmap

async def main():
    try:
        await asyncio.wait_for(tendmap.connect({frozen.hosts!r}, shm_directory={directory!r}, connect_timeout=60, shm_takeover_threshold=300), 0.2)
    except TimeoutError:
        print("end")

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout) == (0, "end\n"), ended.stderr


def test_several_loops_wait_for_one_client(client, cluster, run):
    wait_until("settled", cluster.settle)
    seen, ready = [], threading.Barrier(4)

    def of_its_own():
        async def main():
            with client.changes() as changes:
                await asyncio.get_running_loop().run_in_executor(None, ready.wait)
                return await anext(aiter(changes))

        seen.append(run(main()))

    threads = [threading.Thread(target=of_its_own) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait()
    cluster.stop(3)
    for thread in threads:
        thread.join(60)
    assert len(seen) == 3


def test_one_iterator_is_for_one_task(client, cluster, run):
    wait_until("settled", cluster.settle)

    async def main():
        changes = client.changes()
        task = asyncio.create_task(anext(aiter(changes)))
        await asyncio.sleep(0)
        with pytest.raises(tendmap.ArgumentError, match="one for each task"):
            await anext(aiter(changes))
        task.cancel()

    run(main())


def test_h174_a_cluster_that_does_not_answer_does_not_stop_the_loop(frozen, directory, run):
    """Whatever waits for a server waits for a minute, unless the loop lets it answer."""
    settings = {"connect_timeout": 60, "shm_takeover_threshold": 300}

    async def main():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        connecting = asyncio.create_task(
            tendmap.connect(frozen.hosts, shm_directory=directory, **settings)
        )
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not connecting.done()
        # Without an `await` for the connection.
        private = tendmap.Client(frozen.hosts, lazy=True, use_shm=False, **settings)
        for _ in range(20):
            with pytest.raises(tendmap.NoMapError):
                private.route("test", "users", 1)
            await asyncio.sleep(0)
        await private.aclose()
        for number in (1, 2, 3):
            frozen.thaw(number)
        client = await connecting
        assert client.route("test", "users", 1)
        # It tends, and has asked all servers for something.
        for number in (1, 2, 3):
            frozen.freeze(number)
        client.request_tend()
        await asyncio.sleep(0.05)
        assert client.route("test", "users", 1) and client.route_batch("test", "users", [1])
        await client.aclose()
        assert loop.time() - begun < 50

    run(main())


def test_h174_a_connect_that_is_cancelled_is_undone(frozen, directory, run):
    async def main():
        before = held()
        task = asyncio.create_task(
            tendmap.connect(
                frozen.hosts, shm_directory=directory, connect_timeout=60, shm_takeover_threshold=300
            )
        )
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        # Now the attempt succeeds, and nobody wants its result.
        for number in (1, 2, 3):
            frozen.thaw(number)
        while held() - before:
            await asyncio.sleep(0.05)
        assert not [name for name in os.listdir(directory) if "lock" not in name]

    run(main())


def test_a_client_is_a_context_of_asyncio(cluster, settings, run):
    async def main():
        async with tendmap.Client(cluster.hosts, lazy=True, **settings) as client:
            assert client.role == "owner" and client.route("test", "users", 1)
        assert client.closed
        await client.aclose()
        with pytest.raises(tendmap.ClosedError):
            await client.connect_async()
        client = await tendmap.connect(cluster.hosts, **settings)
        assert client.route("test", "users", 1)
        await client.aclose()
        with pytest.raises(tendmap.ConfigError):
            await tendmap.connect(cluster.hosts, nonsense=1)

    run(main())


def test_a_lazy_client_attaches_in_the_loop_without_waiting(client, cluster, settings, run):
    async def main():
        with tendmap.Client(cluster.hosts, lazy=True, **settings) as other:
            assert other.route("test", "users", 1).name == client.route("test", "users", 1).name

    run(main())


def test_a_reader_is_waited_for_in_the_same_way(client, cluster, directory, run):
    wait_until("settled", cluster.settle)

    async def main():
        with tendmap.Reader(shm_directory=directory) as reader:
            waiting = asyncio.create_task(reader.changed(reader.sequence))
            watching = asyncio.create_task(anext(aiter(reader.changes())))
            await asyncio.sleep(0)
            cluster.stop(3)
            assert await waiting and await watching

    run(main())


def test_h166_python_closes_without_a_descriptor(run, cluster, settings, directory):
    async def main():
        client = await tendmap.connect(cluster.hosts, **settings)
        changes, sequence = client.changes(), client.sequence
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The files that are open stay so.
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(tendmap.DescriptorError, match="Too many open files"):
                await client.connect_async()
            # Another thread uses the client meanwhile.
            other = client.wait_for_change
            waits = asyncio.get_running_loop().run_in_executor(threads, other, sequence)
            await client.aclose()
            with pytest.raises(tendmap.ClosedError):
                changes.take()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert client.closed
        with contextlib.suppress(tendmap.ClosedError):
            await waits

    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        run(main())
    wait_until("the segment is removed", lambda: not os.listdir(directory))
