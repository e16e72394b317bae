"""The recipes of docs/PREFORK.md, run: the worker that tends is killed, routing
continues, and another worker takes over."""

import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import tendmap
from conftest import wait_until

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


class OverUnix(http.client.HTTPConnection):
    """HTTP over a Unix socket: needs no port, which another test might take."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask(path, key):
    connection = OverUnix(path)
    try:
        connection.request("GET", f"/?key={key}")
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, (response.status, body)
        return json.loads(body)
    finally:
        connection.close()


def environment(cluster, settings):
    return {
        **os.environ,
        "TENDMAP_HOSTS": ",".join(cluster.hosts),
        "TENDMAP_SETTINGS": json.dumps({k: str(v) for k, v in settings.items()}),
    }


def tool(name):
    """A program beside this Python, or in the search path."""
    path = shutil.which(name, path=os.path.dirname(sys.executable)) or shutil.which(name)
    if path is None:
        pytest.skip(f"skipped: no {name} is installed here")
    return path


class Served:
    """A server under test, on a Unix socket."""

    def __init__(self, command, path, env):
        self.path = path
        self.process = subprocess.Popen(command, env=env, cwd=EXAMPLES, start_new_session=True)

    def __enter__(self):
        def answers():
            assert self.process.poll() is None, "the server has ended"
            try:
                return ask(self.path, 1)
            except OSError:
                return False

        wait_until("the server answers", answers, 60)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            # A server gives its workers up to a minute.
            self.process.wait(120)
        finally:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def killed_owner_is_replaced(served, observer, cluster):
    """Kills the worker that tends, while requests continue."""
    owners = cluster.owners("test")
    partition = lambda key: int.from_bytes(tendmap.digest("users", key)[:2], "little") & 4095
    first = observer()["owner_pid"]
    assert first != served.process.pid, "a worker tends, not the process that forks"
    stop, failed, wrong, answers = threading.Event(), [], [], []

    def requests():
        key = 0
        while not stop.is_set():
            key += 1
            try:
                answer = ask(served.path, key)
                if answer["node"] != owners[partition(key)][0]:
                    wrong.append((key, answer))
                answers.append(answer)
            except (ConnectionError, http.client.HTTPException):
                # The killed worker loses its own request, as with every server.
                failed.append(key)

    threads = [threading.Thread(target=requests) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until("requests are answered", lambda: len(answers) > 20)
        os.kill(first, signal.SIGKILL)
        begun = time.monotonic()
        wait_until("another worker tends", lambda: observer()["owner_pid"] not in (None, first)
                   and observer()["owner_alive"])
        took = time.monotonic() - begun
        seen = len(answers)
        wait_until("requests are answered in spite of that", lambda: len(answers) > seen + 20)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong and len(failed) <= 2, (wrong, failed)
    status = observer()
    assert status["takeovers"] >= 1 and status["healthy"], status
    print(f"taken over after {took * 1000:.0f} ms; {len(answers)} requests answered")
    return first


def nonsense_is_answered(path):
    """Every request gets an answer, and no worker ends."""
    for query in ["/?key=x", "/", "/?", "/?key", "/?key=", "/?key=1.5", "/?key=0x10", "/?key=1e3", "//",
                  "/?key=true", "/?key=null", "/?key=%00", "/?keys=1", f"/?key={2**63}", "/?key=--1",
                  f"/?key={'9' * 1000}", "/?key[]=1", "/?key=%FF", "/?key=7x"]:  # fmt: skip
        for _ in range(4):
            connection = OverUnix(path)
            connection.request("GET", query)
            response = connection.getresponse()
            assert response.status == 400 and json.loads(response.read())["error"], query
            connection.close()
    assert ask(path, 1)["node"]


def four_processes_take_turns(command, path, env, observer, cluster, directory):
    """A server of four processes replaces the process that tends when it is killed, and
    leaves nothing behind when it ends."""
    with Served(command, path, env) as served:
        wait_until("all have connected", lambda: observer()["attached"] == 4)
        killed_owner_is_replaced(served, observer, cluster)
        wait_until("all have connected again", lambda: observer()["attached"] == 4, 60)
        nonsense_is_answered(path)
        assert observer()["attached"] == 4 and observer()["takeovers"] == 1
    # Each worker closed as it ended: the last one has removed the segment.
    assert not [name for name in os.listdir(directory) if name.startswith("tendmap-")]


@pytest.fixture
def observer(settings):
    """Reads the status without attaching."""
    return lambda: tendmap.status(shm_directory=settings["shm_directory"])


def test_gunicorn_with_preload_and_eight_workers(cluster, settings, observer, directory):
    pytest.importorskip("gunicorn", reason="skipped: gunicorn is not installed here")
    path = f"{directory}/gunicorn.sock"
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--bind", f"unix:{path}"]
    command += ["--log-level", "warning", "app:application"]
    with Served(command, path, environment(cluster, settings)) as served:
        wait_until("all have connected", lambda: observer()["attached"] == 8)
        killed_owner_is_replaced(served, observer, cluster)
        # Gunicorn starts a new worker, which follows.
        wait_until("all have connected again", lambda: observer()["attached"] == 8, 60)
        # A worker that is recycled hands the ownership over.
        owner = observer()["owner_pid"]
        os.kill(owner, signal.SIGTERM)
        wait_until("handed over", lambda: observer()["owner_pid"] not in (None, owner))
        nonsense_is_answered(path)


def test_gunicorn_whose_master_tends(cluster, settings, observer, directory):
    """Connected before the fork: the arbiter tends, workers follow."""
    pytest.importorskip("gunicorn", reason="skipped: gunicorn is not installed here")
    path = f"{directory}/gunicorn.sock"
    app = pathlib.Path(directory) / "eager.py"
    app.write_text(
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from app import application, client\n"
        "client.connect()\n"
    )
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--bind"]
    command += [f"unix:{path}", "--log-level", "warning", "--chdir", directory, "eager:application"]
    with Served(command, path, environment(cluster, settings)) as served:
        roles = {}
        for key in range(60):
            answer = ask(path, key)
            roles[answer["pid"]] = answer["role"]
        assert set(roles.values()) <= {"follower", "standby"}, roles
        assert observer()["owner_pid"] == served.process.pid


def test_gunicorn_whose_workers_change_their_user(cluster, settings, directory):
    """Each worker connects in `post_worker_init`, as its own user: all can attach, and any
    can take over."""
    pytest.importorskip("gunicorn", reason="skipped: gunicorn is not installed here")
    if os.geteuid() != 0:
        pytest.skip("skipped: only root starts workers of another user")
    os.chmod(directory, 0o1777)
    path = f"{directory}/gunicorn.sock"
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--bind", f"unix:{path}"]
    command += ["--workers", "3", "--user", "65534", "--group", "65534", "--worker-tmp-dir", "/tmp"]
    command += ["--log-level", "warning", "app:application"]
    observer = lambda: tendmap.status(shm_directory=directory, shm_owner=65534)
    with Served(command, path, environment(cluster, settings)) as served:
        wait_until("all have connected", lambda: observer()["attached"] == 3)
        assert os.stat(f"/proc/{observer()['owner_pid']}").st_uid == 65534
        killed_owner_is_replaced(served, observer, cluster)
        wait_until("all have connected again", lambda: observer()["attached"] == 3, 60)


def uwsgi(directory, *further):
    """The command for the example's settings and extra ones, and its socket."""
    program = tool("uwsgi")
    path = f"{directory}/uwsgi.sock"
    ini = (EXAMPLES / "uwsgi.ini").read_text().replace("127.0.0.1:8000", path)
    copied = pathlib.Path(directory) / "uwsgi.ini"
    copied.write_text(ini)
    command = [program, "--ini", str(copied), "--disable-logging", *further]
    if sys.prefix != sys.base_prefix:
        command += ["--virtualenv", sys.prefix]
    return command, path


# The application is loaded once before the fork, with threads, or by each worker.
@pytest.mark.parametrize("further", [[], ["--threads", "2"], ["--lazy-apps"]])
def test_uwsgi(cluster, settings, observer, directory, further):
    stats = f"{directory}/stats.sock"
    command, path = uwsgi(directory, *further, "--stats", stats)
    with Served(command, path, environment(cluster, settings)) as served:

        def all_have_connected():
            # If no hook runs after the fork, the first request connects.
            ask(path, 1)
            return observer()["attached"] == 4

        wait_until("all have connected", all_have_connected)
        killed = killed_owner_is_replaced(served, observer, cluster)
        # uWSGI waits a minute for a worker that got the signal before it had its own handlers.
        all_wait = lambda: idle(stats) and killed not in [worker["pid"] for worker in workers(stats)]
        wait_until("all wait for requests again", all_wait, 60)


def workers(stats):
    """What uWSGI says of its workers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(stats)
        return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))["workers"]


def idle(stats):
    return all(worker["accepting"] and worker["status"] == "idle" for worker in workers(stats))


def test_uwsgi_that_recycles_its_worker(cluster, settings, observer, directory):
    """The only worker closes when it is recycled: it leaves nothing to take over."""
    further = ["--processes", "1", "--max-requests", "5", "--min-worker-lifetime", "0"]
    stats = f"{directory}/stats.sock"
    command, path = uwsgi(directory, *further, "--stats", stats)

    with Served(command, path, environment(cluster, settings)):
        pids = set()

        def recycled():
            pids.add(ask(path, len(pids))["pid"])
            return len(pids) > 3

        wait_until("workers are recycled", recycled, 60)
        assert observer()["takeovers"] == 0
        # uWSGI runs no hook in a worker that it ends in the middle of a request, and stops
        # waiting for one that has not begun.
        wait_until("the worker is idle", lambda: idle(stats))
    assert not [name for name in os.listdir(directory) if name.startswith("tendmap-")]


def test_celery(cluster, settings, observer, directory):
    if importlib.util.find_spec("celery") is None:
        pytest.skip("skipped: celery is not installed here")
    folders = {name: f"{directory}/{name}" for name in ["queue", "results", "control"]}
    for folder in folders.values():
        os.mkdir(folder)
    env = environment(cluster, settings)
    env["CELERY_SETTINGS"] = json.dumps(
        {
            "broker_url": "filesystem://",
            "broker_transport_options": {
                "data_folder_in": folders["queue"],
                "data_folder_out": folders["queue"],
                "control_folder": folders["control"],
            },
            "result_backend": f"file://{folders['results']}",
            "broker_connection_retry_on_startup": True,
        }
    )
    worker = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--pool", "prefork"]
    # Children are recycled after a few tasks.
    worker += ["--concurrency", "3", "--max-tasks-per-child", "4", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    caller = (
        "import json, sys\n"
        "from celery_app import route\n"
        "results = [route.delay(key) for key in range(int(sys.argv[1]))]\n"
        "print(json.dumps([result.get(timeout=60) for result in results]))\n"
    )

    def call(count):
        output = subprocess.check_output([sys.executable, "-c", caller, str(count)], env=env, cwd=EXAMPLES)
        return json.loads(output)

    def tending():
        """The pid of the living owner, if there is one."""
        try:
            status = observer()
        except tendmap.SegmentError:
            return None
        return status["owner_pid"] if status["owner_alive"] else None

    process = subprocess.Popen(worker, env=env, cwd=EXAMPLES, start_new_session=True)
    try:
        owners, pids = cluster.owners("test"), set()
        for _ in range(3):
            for key, answer in enumerate(call(12)):
                partition = int.from_bytes(tendmap.digest("users", key)[:2], "little") & 4095
                assert answer["node"] == owners[partition][0]
                pids.add(answer["pid"])
            # If all children end at once, the last one removes the segment
            # and the next one creates it again.
            wait_until("a child tends", lambda: tending() is not None)
            assert tending() != process.pid, "the process that forks does not connect"
        assert len(pids) > 3, "children were recycled"
        # Celery's own queue may not survive a killed child; the map does.
        killed = []

        def kill_the_owner():
            # It may be ending, because it has done its tasks.
            owner = tending()
            with contextlib.suppress(ProcessLookupError):
                if owner is not None:
                    os.kill(owner, signal.SIGKILL)
                    killed.append(owner)
            return killed

        wait_until("a child tends", kill_the_owner)
        wait_until("another child tends", lambda: tending() not in (None, *killed))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
