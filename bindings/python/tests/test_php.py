"""PHP through the C library, on the command line and under FPM."""

import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess

import pytest

import tendmap
from conftest import wait_until

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = ROOT / "bindings/c/examples/php/route.php"


@pytest.fixture
def library():
    """libtendmap.so as it was built; cargo build -p tendmap-c."""
    built = sorted(ROOT.glob("target/*/libtendmap.so"), key=lambda path: -path.stat().st_mtime)
    for place in [os.environ.get("TENDMAP_LIBRARY"), *map(str, built)]:
        if place and os.path.exists(place):
            return place
    pytest.skip("skipped: libtendmap.so is not built (cargo build -p tendmap-c)")


def php():
    program = shutil.which("php")
    if program is None:
        pytest.skip("skipped: no php is installed here")
    modules = subprocess.check_output([program, "-m"], text=True)
    if "FFI" not in modules.split():
        pytest.skip("skipped: this php has no FFI")
    return program


@pytest.fixture
def env(cluster, settings, library):
    return {
        **os.environ,
        "TENDMAP_HOSTS": ",".join(cluster.hosts),
        "TENDMAP_SETTINGS": json.dumps({name: str(value) for name, value in settings.items()}),
        "TENDMAP_LIBRARY": library,
    }


def owner_of(cluster, key):
    partition = int.from_bytes(tendmap.digest("users", key)[:2], "little") & 4095
    return cluster.owners("test")[partition][0]


def test_php_routes_as_python_does(env, client, cluster):
    for key in [42, "ann"]:
        command = [php(), "-d", "ffi.enable=1", str(SCRIPT), str(key)]
        answer = json.loads(subprocess.check_output(command, env=env))
        assert answer["name"] == client.route("test", "users", key).name == owner_of(cluster, key)
        assert answer["role"] in ("follower", "standby")


def test_php_says_what_is_wrong(env, client):
    env["TENDMAP_SETTINGS"] = '{"shm_nodes": 3}'
    command = [php(), "-d", "ffi.enable=1", "-d", "display_errors=stderr", str(SCRIPT), "1"]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 255 and 'no setting "shm_nodes"' in run.stderr + run.stdout


def fastcgi(path, query):
    """One request to FPM; its body."""

    def record(kind, content):
        return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content

    def pair(name, value):
        name, value = name.encode(), value.encode()
        return struct.pack(">II", len(name) | 1 << 31, len(value) | 1 << 31) + name + value

    parameters = {
        "SCRIPT_FILENAME": str(SCRIPT),
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": query,
    }
    request = record(1, struct.pack(">HB5x", 1, 0))
    request += record(4, b"".join(pair(*item) for item in parameters.items())) + record(4, b"")
    request += record(5, b"")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(request)
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    out, at = b"", 0
    while at < len(data):
        _, kind, _, length, padding, _ = struct.unpack_from(">BBHHBB", data, at)
        if kind == 6:
            out += data[at + 8 : at + 8 + length]
        at += 8 + length + padding
    head, _, body = out.partition(b"\r\n\r\n")
    if not body:
        raise ConnectionError(f"no answer: {head!r}")
    return json.loads(body)


def test_php_fpm(env, cluster, directory):
    php()
    found = glob.glob("/usr/sbin/php-fpm*")
    program = shutil.which("php-fpm") or (found[0] if found else None)
    if program is None:
        pytest.skip("skipped: no php-fpm is installed here")
    path = f"{directory}/fpm.sock"
    config = pathlib.Path(directory) / "fpm.conf"
    config.write_text(
        f"[global]\nerror_log = {directory}/fpm.log\ndaemonize = no\n"
        f"[www]\nlisten = {path}\npm = static\npm.max_children = 3\nclear_env = no\n"
        "php_admin_value[display_errors] = 1\n"
    )
    command = [program, "-F", "-R", "-n", "-y", str(config), "-d", "ffi.enable=1"]
    extension = subprocess.check_output(["php", "-r", "echo PHP_EXTENSION_DIR;"], text=True)
    if os.path.exists(f"{extension}/ffi.so"):
        command += ["-d", f"extension={extension}/ffi.so"]
    process = subprocess.Popen(command, env=env, start_new_session=True)

    def answer(key):
        try:
            return fastcgi(path, f"key={key}")
        except OSError:
            return None

    try:
        wait_until("FPM answers", lambda: answer(1), 60)
        pids = set()
        for key in range(30):
            found = fastcgi(path, f"key={key}")
            assert found["name"] == owner_of(cluster, key)
            pids.add(found["pid"])
        status = tendmap.status(shm_directory=directory)
        owner = status["owner_pid"]
        assert owner in pids and status["takeovers"] == 0, "kept from request to request"
        os.kill(owner, signal.SIGKILL)

        def replaced():
            answer(1)
            now = tendmap.status(shm_directory=directory)
            return now["owner_alive"] and now["owner_pid"] not in (None, owner)

        wait_until("another worker tends", replaced)
        assert fastcgi(path, "key=7")["name"] == owner_of(cluster, 7)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
