"""Every snippet of docs/PREFORK.md and of the packages' READMEs, run as it is printed
except for the cluster's address and the directory of the segments."""

import asyncio
import ctypes
import http.client
import importlib.metadata
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

import tendmap
from conftest import owner_of, wait_until
from test_prefork import EXAMPLES, OverUnix, Served, tool

ROOT = pathlib.Path(__file__).parents[3]
PREFORK = "docs/PREFORK.md"
README = "bindings/python/README.md"
MAIN = "README.md"
CLI = "docs/CLI.md"
FILES = "docs/FILES.md"
ADDRESS = "127.0.0.1:3000"


def snippets(document):
    """The language and the text of every block of code."""
    return re.findall(r"^```(\w+)(?:,\w+)?\n(.*?)^```$", (ROOT / document).read_text(), re.M | re.S)


def snippet(document, language, beginning):
    """The only block of a language that begins with a text."""
    found = [text for name, text in snippets(document) if (name, text.startswith(beginning)) == (language, True)]
    assert len(found) == 1, (document, language, beginning, found)
    return found[0]


#: Every snippet, by how it begins, and the test below that runs it.
RUN = {
    PREFORK: [
        ("python", "for event in client.events"),
        ("python", "# app.py"),
        ("python", "# gunicorn.conf.py"),
        ("python", "import asyncio"),
        # bindings/php/tests/SnippetTest.php runs these three.
        ("php", "use Tendmap"),
        ("ini", "; php.ini: FFI for every script"),
        ("ini", "; php.ini\nffi.enable = preload"),
        # bindings/node/test/package.test.mjs runs this one.
        ("js", "import { Client } from 'tendmap'"),
    ],
    README: [
        ("python", "import numpy"),
        # As `.ci/packages/python` does.
        ("text", "$ pip install"),
        ("python", "import tendmap\n\nwith tendmap.Reader"),
        ("python", "import polars"),
        ("python", "route = client.locate"),
        ("python", "try:"),
        ("python", "import asyncio"),
        ("python", "for event in client.events"),
        ("text", "$ python -m tendmap ls"),
        ("python", "def test_failover"),
    ],
    MAIN: [
        # A diagram.
        ("text", "  servers"),
        # Two steps of the gate.
        ("text", "$ cargo run --release -- demo "),
        ("text", "$ cargo install --path cli"),
        # A test of the documentation.
        ("rust", "use tendmap::client"),
        ("python", "import tendmap"),
        # bindings/node/test/package.test.mjs runs this one.
        ("js", "import { Client } from 'tendmap'"),
    ],
    CLI: [
        ("text", "$ tendmap sim"),
        ("text", "$ cargo run --release -p tendmap-harness"),
        ("text", "$ tendmap man --dir"),
        ("toml", "hosts = "),
        ("text", "2026-"),
        ("text", "key         kind"),
        ("text", "$ tendmap metrics"),
        ("text", " tendmap watch"),
        ("text", "$ tendmap c-client status"),
    ],
    FILES: [("text", "5001$ tendmap tend")],
}


@pytest.mark.parametrize("document", RUN)
def test_every_snippet_is_one_that_is_run(document):
    found = [(name, text.partition("\n")[0]) for name, text in snippets(document)]
    wanted = RUN[document]
    hint = f"{document} has other snippets; run each in a test here, and name it in RUN"
    assert [name for name, _ in found] == [name for name, _ in wanted], (hint, found)
    for language, beginning in RUN[document]:
        snippet(document, language, beginning)
    # Every package's README is checked here, except that those with tests in their own
    # language check their own.
    there = {str(path.relative_to(ROOT)) for path in ROOT.glob("bindings/*/README.md")}
    own = {f"bindings/{name}/README.md" for name in ("c", "node", "php", "ruby")}
    assert there - own == {README}


def of_python(text, cluster, directory):
    assert text.count(ADDRESS) == 1
    hosts = json.dumps(",".join(cluster.hosts))
    return text.replace(f'"{ADDRESS}"', f"{hosts}, shm_directory={directory!r}")


def test_the_first_steps(cluster, directory, capsys):
    numpy = pytest.importorskip("numpy")
    found = {}
    exec(of_python(snippet(README, "python", "import numpy"), cluster, directory), found)
    with found["client"] as client:
        assert found["node"].name == owner_of(cluster, 42) and len(found["nodes"]) == 3
        assert len(found["indexes"]) == 1_000_000 and found["indexes"].dtype == numpy.uint16
        found = {"client": client, "tendmap": tendmap}
        exec(snippet(README, "python", "route = client.locate"), found)
        assert len(set(capsys.readouterr().out.split())) == 2, "both replicas were used"
        exec(snippet(README, "python", "try:"), found)
        assert capsys.readouterr().out == ""
    exec(snippet(README, "python", "try:"), found)
    assert "the client is closed" in capsys.readouterr().out


def test_events(client, cluster, capsys):
    exec(snippet(PREFORK, "python", "for event in client.events"), {"client": client})
    assert "info node_added\n" in capsys.readouterr().out
    cluster.stop(3)
    wait_until("it has left", lambda: len(client.nodes()) == 2)
    cluster.start(3)
    added = snippet(README, "python", "for event in client.events")
    wait_until("it is back", lambda: exec(added, {"client": client}) or cluster.hosts[2] in capsys.readouterr().out)


def test_a_reader_and_columns(client, directory, capsys):
    text = snippet(README, "python", "import tendmap\n\nwith tendmap.Reader")
    exec(text.replace("0xA7000000", f"0xA7000000, shm_directory={directory!r}"))
    assert capsys.readouterr().out == f"{client.route('test', 'users', 42).address} True\n"
    pytest.importorskip("polars", reason="skipped: polars is not installed here")
    exec(snippet(README, "python", "import polars"), {"client": client})
    wanted = [client.route("test", "users", name).address for name in ("ann", "bob", "eve")]
    assert capsys.readouterr().out == f"{wanted}\n"


def test_a_test_of_ones_own(tmp_path):
    (tmp_path / "test_own.py").write_text(snippet(README, "python", "def test_failover"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if not importlib.metadata.entry_points(group="pytest11", name="tendmap"):
        # The package is not installed, only in the path.
        command += ["-p", "tendmap._pytest"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed" in ended.stdout, ended.stdout + ended.stderr


def test_the_command_line_of_the_package(client, directory):
    lines = snippet(README, "text", "$ python -m tendmap ls").splitlines()
    for line in lines:
        words = shlex.split(line.removeprefix("$ "))
        assert words[:3] == ["python", "-m", "tendmap"]
        if words[3] == "watch":
            # It needs a terminal, and says so.
            continue
        ended = subprocess.run([sys.executable, *words[1:], f"--shm-directory={directory}"], capture_output=True)
        assert ended.returncode == 0 and ended.stdout and not ended.stderr, ended


def test_the_quickstart():
    program = EXAMPLES / "quickstart.py"
    said = subprocess.check_output([sys.executable, program], text=True, timeout=60)
    assert said.count(" is at 127.0.0.1:") == 4 and said.endswith(": 2 nodes\n"), said


def test_a_watcher_in_asyncio(client, cluster):
    text = snippet(PREFORK, "python", "import asyncio")
    assert text == snippet(README, "python", "import asyncio")
    found, seen = {}, []
    exec(text, found)
    assert cluster.settle()

    async def main():
        task = asyncio.create_task(found["watch"](client, seen.append))
        cluster.stop(3)
        while not seen:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        task = asyncio.create_task(found["watch"](client, seen.append))
        await asyncio.sleep(0.05)
        await client.aclose()
        await task

    asyncio.run(asyncio.wait_for(main(), 60))
    assert all(isinstance(node, tendmap.Node) for node in seen[0])


def test_gunicorn(cluster, directory):
    pytest.importorskip("gunicorn", reason="skipped: gunicorn is not installed here")
    path = f"{directory}/gunicorn.sock"
    app = of_python(snippet(PREFORK, "python", "# app.py"), cluster, directory)
    pathlib.Path(directory, "app.py").write_text(app)
    config = snippet(PREFORK, "python", "# gunicorn.conf.py")
    pathlib.Path(directory, "gunicorn.conf.py").write_text(config)
    command = [sys.executable, "-m", "gunicorn", "-c", f"{directory}/gunicorn.conf.py"]
    command += ["--chdir", directory, "--bind", f"unix:{path}", "--log-level", "warning"]
    serves_addresses([*command, "app:application"], path, None, cluster)
    # The last worker has removed the segment.
    assert not [name for name in os.listdir(directory) if name.startswith("tendmap-")]


def serves_addresses(command, path, env, cluster):
    """A server that answers with the address of key 42."""

    class Text(Served):
        def __enter__(self):
            wait_until("the server answers", self.answers, 60)
            return self

        def answers(self):
            assert self.process.poll() is None, "the server has ended"
            connection = OverUnix(path)
            try:
                connection.request("GET", "/")
                self.said = connection.getresponse().read().decode()
                return True
            except (OSError, http.client.HTTPException):
                return False
            finally:
                connection.close()

    with Text(command, path, env) as served:
        assert served.said in cluster.hosts




def test_how_the_wheel_is_built():
    """The gate builds and installs it in this way; this tests only that maturin knows the flags."""
    text = snippet(README, "text", "$ pip install")
    build = next(line for line in text.splitlines() if "maturin build" in line)
    assert "--release -m bindings/python/Cargo.toml --out dist" in build
    assert (ROOT / "bindings/python/Cargo.toml").exists()
    maturin = shutil.which("maturin", path=os.path.dirname(sys.executable)) or tool("maturin")
    said = subprocess.check_output([maturin, "build", "--help"], text=True)
    assert all(flag in said for flag in ["--release", "--manifest-path", "--out"])


@pytest.fixture
def command_line():
    """The built command line (cargo build)."""
    # `cargo doc` makes a folder of that name.
    built = [path for path in ROOT.glob("target/*/tendmap") if path.is_file()]
    built.sort(key=lambda path: -path.stat().st_mtime)
    if not built:
        pytest.skip("skipped: tendmap is not built (cargo build)")
    return str(built[0])


def with_free_ports(line, base):
    """The line with ports that the system chooses: one that is looked for may be taken."""
    assert line.count(f"--base-port {base} ") == 1
    return line.replace(f"--base-port {base} ", "--base-port 0 ")


def sequence(directory):
    """The sequence of the map in the directory; 0 without a map."""
    try:
        return tendmap.status(shm_directory=directory)["sequence"]
    except tendmap.SegmentError:
        return 0


def test_the_command_line(command_line, directory, tmp_path):
    """Runs line after line; a command that does not end runs beside the rest."""
    lines = snippet(CLI, "text", "$ tendmap sim").splitlines()
    lines[0] = with_free_ports(lines[0], 3100)
    seed = "127.0.0.1:3100"
    env = {**os.environ, "TENDMAP_SHM_DIRECTORY": directory}
    running = {}
    try:
        for line in lines:
            words = shlex.split(line.removeprefix("$ ").replace("127.0.0.1:3100", seed), comments=True)
            assert words[0] == "tendmap"
            words[0], name = command_line, words[1]
            if name in ("sim", "tend"):
                running[name] = subprocess.Popen(
                    words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
                first = running[name].stdout.readline()
                assert first, line
                if name == "sim":
                    seed = json.loads(first)["seeds"][0]
                else:
                    wait_until("it tends", lambda: sequence(directory) > 0)
                continue
            if "--watch" in words:
                # It goes on until it is interrupted.
                with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as watching:
                    assert watching.stdout.readline(), line
                    watching.send_signal(signal.SIGINT)
                    watching.stdout.read()
                assert watching.returncode == 0, line
                continue
            if words[1:2] == ["rm"] and "tend" in running:
                # The files of a killed process.
                running["tend"].kill()
                running["tend"].wait()
            done = subprocess.run(
                words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
            )
            if name == "watch":
                assert done.returncode != 0 and "terminal" in done.stderr, (line, done)
                continue
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            assert done.stdout or os.listdir(tmp_path), line
        assert not [name for name in os.listdir(directory) if name.endswith("a7000000")]
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


def segment_of_the_c_client(key):
    """A segment of layout E with one node, whose owner is gone; returns its id."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = [ctypes.c_void_p]
    table = 40 + 4096 * 16
    content = bytearray(56 + 16 * 424 + 8 * table)
    gone = subprocess.Popen(["true"])
    gone.wait()
    now, tables = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 10**6, 56 + 16 * 424
    struct.pack_into("=Q10IBB", content, 0, now, gone.pid, 1, 16, 1, 4096, 1, 8, tables, table, 0, 1, 1)
    struct.pack_into("=20sIH", content, 56, b"BB9000000000001", 0, socket.AF_INET)
    struct.pack_into("!H4B", content, 56 + 26, 3000, 127, 0, 0, 1)
    content[56 + 420] = 1
    struct.pack_into("=32sB", content, tables, b"test", 1)
    for partition in range(4096):
        struct.pack_into("=I", content, tables + 40 + 16 * partition, 1)
    id = libc.shmget(key, len(content), 0o3600)  # IPC_CREAT | IPC_EXCL
    assert id >= 0, os.strerror(ctypes.get_errno())
    at = libc.shmat(id, None, 0)
    ctypes.memmove(at, bytes(content), len(content))
    libc.shmdt(at)
    return id


def test_the_segments_of_official_clients(command_line, directory):
    key = 0x7B000000 | os.getpid()
    segment_of_the_c_client(key)
    env = {**os.environ, "TENDMAP_SHM_DIRECTORY": directory}
    for line in snippet(CLI, "text", "$ tendmap c-client status").splitlines():
        words = shlex.split(line.removeprefix("$ ").replace("0xA9000000", hex(key)), comments=True)
        assert words[0] == "tendmap"
        done = subprocess.run([command_line, *words[1:]], env=env, capture_output=True, text=True, timeout=300)
        # The owner is gone, and the status says so.
        assert done.returncode == (1 if words[2] == "status" else 0), (line, done.stdout, done.stderr)
        assert hex(key) in done.stdout, line


def test_the_first_steps_of_the_main_page(command_line, cluster, directory, capsys):
    install, sim, watch = snippet(MAIN, "text", "$ cargo install --path cli").splitlines()
    assert watch.startswith("$ tendmap watch "), "it is tried with the command line"
    assert (ROOT / install.split()[4] / "Cargo.toml").exists()
    words = shlex.split(with_free_ports(sim, 3000).removeprefix("$ "), comments=True)
    assert words[0] == "tendmap"
    process = subprocess.Popen(
        [command_line, *words[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
    exec(of_python(snippet(MAIN, "python", "import tendmap"), cluster, directory), {})
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.split()[0] == owner_of(cluster, 42) and second, "another replica"


def test_the_harness(directory):
    if not shutil.which("cargo"):
        pytest.skip("skipped: there is no cargo")
    for line in snippet(CLI, "text", "$ cargo run --release -p tendmap-harness").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        run = ["cargo", "run", "--release", "-p", "tendmap-harness", "--"]
        assert words[: len(run)] == run
        # The gate has built it; cargo would build it again for this package alone.
        if (built := ROOT / "target/release/tendmap-harness").exists():
            words[: len(run)] = [str(built)]
        if "soak" in words:
            words[words.index("--seconds") + 1] = "1"
        else:
            words += ["--seconds", "1", "--followers", "2", "--nodes", "3", "--namespaces", "1"]
        words += ["--shm-directory", directory]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0 and done.stdout, (line, done.stdout, done.stderr)


def test_processes_of_several_users(command_line, cluster, directory):
    if os.getuid() != 0:
        pytest.skip("skipped: only root can start processes of other users")
    os.chmod(directory, 0o1777)
    program = f"{directory}/tendmap"
    shutil.copy(command_line, program)
    # A System V key belongs to the whole host.
    key = 0x7C000000 + os.getpid()
    running = []
    try:
        for line in snippet(FILES, "text", "5001$ tendmap tend").splitlines():
            uid, _, command = line.partition("$ tendmap ")
            assert "db:3000" in command
            words = shlex.split(command.replace("db:3000", cluster.hosts[0]), comments=True)
            running.append(
                subprocess.Popen(
                    [program, *words, "--shm-directory", directory, "--shm-key", str(key)],
                    user=int(uid),
                    group=5000,
                    extra_groups=[],
                    stdout=subprocess.PIPE,
                    cwd="/",
                )
            )
            assert running[-1].stdout.readline(), line
        ask = {
            "shm_backend": "sysv",
            "shm_key": key,
            "shm_directory": directory,
            "shm_owner": "5001,5002",
        }
        wait_until("both are attached", lambda: tendmap.status(**ask)["attached"] == len(running))
        owner = tendmap.status(**ask)["owner_pid"]
        first = next(process for process in running if process.pid == owner)
        first.kill()
        first.wait()
        wait_until("the other process tends", lambda: tendmap.status(**ask)["owner_pid"] not in (None, owner))
    finally:
        for process in running:
            process.kill()
            process.communicate()
        where = ["--shm-backend", "sysv", "--shm-key", str(key), "--shm-directory", directory]
        subprocess.run([command_line, "rm", "--force", *where], check=True, capture_output=True)


def test_a_configuration_file(command_line, cluster, directory):
    text = snippet(CLI, "toml", "hosts = ")
    hosts = '["db1.example.org:3000", "db2.example.org:3000"]'
    assert hosts in text
    config = pathlib.Path(directory, "tendmap.toml")
    config.write_text(text.replace(hosts, json.dumps(cluster.hosts)))
    process = subprocess.Popen(
        [command_line, "tend", "--config", str(config), "--shm-directory", directory],
        stdout=subprocess.PIPE,
    )
    try:
        wait_until("it tends", lambda: sequence(directory) > 0)
        status = tendmap.status(shm_directory=directory)
        assert status["tend_interval_ms"] == 500 and status["key"] == 0xA7000000
        assert status["cluster_name"] == "lab"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_examples_that_are_linked_are_there():
    for document in RUN:
        text = (ROOT / document).read_text()
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / document).parent.joinpath(link).exists(), (document, link)
    # Readers of the wheel's README can't follow links into the source.
    assert "](" not in (ROOT / README).read_text()
    assert EXAMPLES.exists()
