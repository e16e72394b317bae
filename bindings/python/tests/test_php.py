"""PHP with the C library, on the command line and under FPM."""

import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess

import pytest

import tendmap
from conftest import wait_until

ROOT = pathlib.Path(__file__).parents[3]
EXAMPLE = ROOT / "bindings/c/examples/php"
SCRIPT = EXAMPLE / "route.php"


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


@pytest.mark.parametrize(
    "arguments", [r'"te\0st", "users", 1', r'"test", "users\0x", 1', r'"test", "\xff", 1']
)
def test_php_cuts_no_text_at_a_zero_byte(env, client, arguments):
    """FFI would pass C only the part before the zero byte: another set, and so another node."""
    code = (
        f"require '{EXAMPLE}/Tendmap.php';"
        "$tendmap = new Tendmap(getenv('TENDMAP_HOSTS'), json_decode("
        "getenv('TENDMAP_SETTINGS'), true));"
        f"try {{ $tendmap->route({arguments}); echo 'routed'; }}"
        "catch (RuntimeException $error) { echo $error->getCode(), $error->getMessage(); }"
    )
    output = subprocess.check_output([php(), "-d", "ffi.enable=1", "-r", code], env=env, text=True)
    assert output.startswith("1") and ("zero byte" in output or "UTF-8" in output), output


def test_php_says_what_is_wrong(env, client):
    env["TENDMAP_SETTINGS"] = '{"shm_nodes": 3}'
    command = [php(), "-d", "ffi.enable=1", "-d", "display_errors=stderr", str(SCRIPT), "1"]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 255 and 'no setting "shm_nodes"' in run.stderr + run.stdout


#: Text keys on which a C string would end, or that are another key in another form.
ODD_KEYS = ["", "a\0b", "\0", "ü😀", "7", "x" * 300]

PHP_ODD = r"""
$odd = ['1.0' => 1.0, '1.5' => 1.5, '1e30' => 1e30, 'NAN' => NAN, 'INF' => INF, 'true' => true,
    'false' => false, 'null' => null, 'array' => [1], 'object' => new stdClass,
    'stringable' => new class { public function __toString(): string { return 'test'; } },
    '2 ** 63' => 2 ** 63, 'closure' => fn () => 1, 'resource' => STDIN];
$calls = [
    'key' => fn ($it) => $tendmap->route('test', 'users', $it),
    'set' => fn ($it) => $tendmap->route('test', $it, 1),
    'namespace' => fn ($it) => $tendmap->route($it, 'users', 1),
    'hosts' => fn ($it) => new Tendmap($it),
    'settings' => fn ($it) => new Tendmap('a', is_array($it) ? null : $it),
    'library' => fn ($it) => new Tendmap('a', [], $it ?? 5),
    'shm_key' => fn ($it) => new Tendmap('a', ['shm_key' => $it]),
    'user' => fn ($it) => new Tendmap('a', ['user' => $it]),
    'shm_directory' => fn ($it) => new Tendmap('a', ['shm_directory' => $it]),
    'a list' => fn ($it) => new Tendmap('a', [$it]),
];
$found = [];
foreach ($calls as $what => $call) {
    foreach ($odd as $name => $value) {
        try {
            $call($value);
            $found[] = "$what took $name";
        } catch (RuntimeException $error) {
            if (!in_array($error->getCode(), [1, 10])) {
                $found[] = "$what of $name: {$error->getMessage()}";
            }
        }
    }
}
// Ints may be numbers of settings, but nothing else.
foreach (['set', 'namespace', 'hosts', 'settings', 'library', 'user', 'shm_directory'] as $what) {
    try {
        $calls[$what](7);
        $found[] = "$what took 7";
    } catch (RuntimeException $error) {
    }
}
$same = $tendmap->route('test', 'users', '7')['partition'];
$found[] = $same === $tendmap->route('test', 'users', 7)['partition'] ? "'7' is 7" : 'ok';
$found[] = $tendmap->route('test', 'users', PHP_INT_MIN)['name'];
echo json_encode($found);
"""


@pytest.mark.parametrize("strict", ["", "declare(strict_types=1);"])
def test_h109_php_converts_no_argument_of_a_wrong_type(env, client, cluster, strict):
    code = (
        f"{strict} require '{EXAMPLE}/Tendmap.php'; error_reporting(E_ALL);"
        "$tendmap = new Tendmap(getenv('TENDMAP_HOSTS'), json_decode("
        f"getenv('TENDMAP_SETTINGS'), true));{PHP_ODD}"
    )
    output = subprocess.check_output([php(), "-d", "ffi.enable=1", "-r", code], env=env, text=True)
    assert json.loads(output) == ["ok", owner_of(cluster, -(2**63))], output


@pytest.mark.parametrize("key", ODD_KEYS)
def test_php_takes_text_keys_as_they_are(env, client, key):
    code = (
        f"require '{EXAMPLE}/Tendmap.php';"
        "$tendmap = new Tendmap(getenv('TENDMAP_HOSTS'), json_decode("
        "getenv('TENDMAP_SETTINGS'), true));"
        "echo $tendmap->route('test', 'ü', json_decode($argv[1]))['partition'];"
    )
    command = [php(), "-d", "ffi.enable=1", "-r", code, json.dumps(key)]
    assert int(subprocess.check_output(command, env=env)) == client.locate("test", "ü", key).partition


def test_php_goes_on_in_a_child_and_after_it(env, cluster):
    if "pcntl" not in subprocess.check_output([php(), "-m"], text=True).split():
        pytest.skip("skipped: this php has no pcntl")
    code = (
        f"require '{EXAMPLE}/Tendmap.php';"
        "$tendmap = new Tendmap(getenv('TENDMAP_HOSTS'), json_decode("
        "getenv('TENDMAP_SETTINGS'), true));"
        "$mine = $tendmap->route('test', 'users', 7)['name'];"
        "$child = pcntl_fork();"
        "if ($child === 0) {"
        "  try { $tendmap->route('test', 'users', 7.0); exit(3); } catch (RuntimeException) {}"
        "  exit($tendmap->route('test', 'users', 7)['name'] === $mine"
        "    && in_array($tendmap->role(), ['follower', 'standby'])"
        "    && $tendmap->status()['attached'] === 2 ? 0 : 4);"
        "}"
        "pcntl_waitpid($child, $status);"
        "echo json_encode([pcntl_wexitstatus($status), $mine, $tendmap->role(),"
        "  $tendmap->status()['attached'], $tendmap->route('test', 'users', 7)['name']]);"
    )
    output = subprocess.check_output([php(), "-d", "ffi.enable=1", "-r", code], env=env)
    name = owner_of(cluster, 7)
    assert json.loads(output) == [0, name, "owner", 1, name]


def test_h111_php_names_a_library_that_is_missing(env, client):
    env["TENDMAP_LIBRARY"] = "/nowhere/libtendmap.so.0"
    command = [php(), "-d", "ffi.enable=1", "-d", "display_errors=stderr", str(SCRIPT), "1"]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 255
    assert "/nowhere/libtendmap.so.0 can't be used" in run.stderr + run.stdout, run.stderr


def test_php_has_no_two_objects_of_one_client(env, client):
    code = (
        f"require '{EXAMPLE}/Tendmap.php';"
        "$tendmap = new Tendmap(getenv('TENDMAP_HOSTS'), json_decode("
        "getenv('TENDMAP_SETTINGS'), true));"
        "try { clone $tendmap; } catch (Error $error) { echo 'refused '; }"
        "$tendmap->__destruct();"
        "try { $tendmap->route('test', 'users', 1); }"
        "catch (RuntimeException $error) { echo $error->getCode(), $error->getMessage(); }"
    )
    output = subprocess.check_output([php(), "-d", "ffi.enable=1", "-r", code], env=env, text=True)
    assert output == "refused 2the tendmap_router is closed", output


def fastcgi(path, query, script=SCRIPT):
    """Sends one request to FPM and returns the body of the answer."""

    def record(kind, content):
        return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content

    def pair(name, value):
        name, value = name.encode(), value.encode()
        return struct.pack(">II", len(name) | 1 << 31, len(value) | 1 << 31) + name + value

    parameters = {
        "SCRIPT_FILENAME": str(script),
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


@pytest.fixture
def fpm(env, directory):
    """Starts FPM with extra settings of its pool and of PHP, and with extensions."""
    php()
    found = glob.glob("/usr/sbin/php-fpm*")
    program = shutil.which("php-fpm") or (found[0] if found else None)
    if program is None:
        pytest.skip("skipped: no php-fpm is installed here")
    place = subprocess.check_output(["php", "-r", "echo PHP_EXTENSION_DIR;"], text=True)
    modules = subprocess.check_output(["php", "-m"], text=True)
    path = f"{directory}/fpm.sock"
    started = []

    def start(pool="", settings=(), opcache=False):
        if opcache and "Zend OPcache" not in modules:
            pytest.skip("skipped: this php has no opcache")
        config = pathlib.Path(directory) / "fpm.conf"
        config.write_text(
            f"[global]\nerror_log = {directory}/fpm.log\ndaemonize = no\n"
            f"[www]\nlisten = {path}\npm = static\npm.max_children = 3\nclear_env = no\n"
            f"{pool}\nphp_admin_value[display_errors] = 1\n"
        )
        command = [program, "-F", "-R", "-n", "-y", str(config)]
        extensions = [("extension", "ffi")] + [("zend_extension", "opcache")] * opcache
        for kind, name in extensions:
            if os.path.exists(f"{place}/{name}.so"):
                command += ["-d", f"{kind}={place}/{name}.so"]
        for setting in settings:
            command += ["-d", setting]
        started.append(subprocess.Popen(command, env=env, start_new_session=True))
        return path

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answer(path, key, script=SCRIPT):
    """The answer, or None while no worker answers."""
    try:
        return fastcgi(path, f"key={key}", script)
    except OSError:
        return None


def test_php_fpm(fpm, cluster, directory):
    path = fpm(settings=["ffi.enable=1"])
    wait_until("FPM answers", lambda: answer(path, 1), 60)
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
        answer(path, 1)
        now = tendmap.status(shm_directory=directory)
        return now["owner_alive"] and now["owner_pid"] not in (None, owner)

    wait_until("another worker tends", replaced)
    assert fastcgi(path, "key=7")["name"] == owner_of(cluster, 7)
    # Invalid requests are answered, and no worker ends.
    workers = {fastcgi(path, f"key={key}")["pid"] for key in range(30)}
    for query in ["", "key[]=1", "key=%FF", "keys=1", "key[a][b]=2"]:
        found = fastcgi(path, query)
        assert found.get("error") and found["pid"] in workers, (query, found)


def test_php_fpm_that_recycles_its_workers_and_has_ffi_for_preloaded_files_only(
    fpm, cluster, directory
):
    """FFI with PHP's default settings: the class is preloaded, the script is not."""
    user = pwd.getpwuid(os.getuid()).pw_name
    settings = ["ffi.enable=preload", "opcache.enable=1", f"opcache.preload_user={user}"]
    settings.append(f"opcache.preload={EXAMPLE}/Tendmap.php")
    script = pathlib.Path(directory) / "preloaded.php"
    script.write_text(SCRIPT.read_text().replace("require __DIR__ . '/Tendmap.php';", ""))
    path = fpm(pool="pm.max_requests = 5", settings=settings, opcache=True)
    wait_until("FPM answers", lambda: answer(path, 1, script), 60)
    pids = set()
    for key in range(60):
        found = fastcgi(path, f"key={key}", script)
        assert found["name"] == owner_of(cluster, key)
        pids.add(found["pid"])
    assert len(pids) > 6, "workers were recycled"
    # They do not close: the segment stays, and another worker takes over.
    status = tendmap.status(shm_directory=directory)
    assert status["generation"] == 1 and status["takeovers"] >= 1, status
