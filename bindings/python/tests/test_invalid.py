"""The invalid calls that every language answers with the same kind of error and text."""

import json
import os
import pathlib
import re

import pytest

import tendmap

SHARED = pathlib.Path(__file__).parents[2] / "glue/tests/invalid.json"


def shared():
    return json.loads(SHARED.read_text(encoding="utf-8"))


def class_name(kind):
    return kind.title().replace("_", "") + "Error"


def test_each_kind_of_error_has_a_class_of_its_name():
    for kind, number in shared()["kinds"].items():
        cls = getattr(tendmap, class_name(kind))
        assert cls.code == number and issubclass(cls, tendmap.Error)


class Calls:
    """What a program has."""

    def __init__(self, cluster, settings, client):
        self.hosts, self.settings = cluster.hosts, settings
        self.client, self.reader = client, tendmap.Reader(shm_directory=settings["shm_directory"])
        self.found = client.locate("test", "users", 1)

    def value(self, given):
        if given == "$HOSTS":
            return self.hosts
        if isinstance(given, list):
            return [self.value(item) for item in given]
        if not isinstance(given, dict):
            return given
        made = {
            "broken": lambda _: "\ud800",
            "integer": int,
            "double": lambda text: float(text.replace("Infinity", "inf")),
            "bytes": bytes.fromhex,
            "object": lambda _: object(),
        }
        for name, make in made.items():
            if name in given:
                return make(given[name])
        return {name: self.value(item) for name, item in given.items()}

    def route(self, *arguments):
        self.client.route(*arguments)

    def route_digest(self, *arguments):
        self.client.route_digest(*arguments)

    def batch(self, *arguments):
        self.client.route_batch(*arguments)

    def retry(self, route):
        self.client.retry(route)

    def open_client(self, settings):
        tendmap.Client(settings.pop("hosts"), **{**self.settings, **settings}).close()

    def open_reader(self, settings):
        tendmap.Reader(**{"shm_directory": self.settings["shm_directory"], **settings}).close()

    def wait(self, *arguments):
        self.client.wait_for_change(*arguments)

    def racks(self, racks):
        self.client.set_preferred_racks(racks)

    def interval(self, interval):
        self.client.set_tend_interval(interval)

    def password(self, password):
        self.client.set_password(password)

    def closed_client(self, *calls):
        client = tendmap.Client(self.hosts, **self.settings)
        client.close()
        self.closed(client, calls)

    def closed_reader(self, *calls):
        reader = tendmap.Reader(shm_directory=self.settings["shm_directory"])
        reader.close()
        self.closed(reader, calls)

    def closed(self, closed, calls):
        for call in calls:
            made = {
                "route": lambda: closed.route("test", "users", 1),
                "locate": lambda: closed.locate("test", "users", 1),
                "retry": lambda: closed.retry(self.found),
                "batch": lambda: closed.route_batch("test", "users", [1]),
                "nodes": lambda: closed.nodes(),
                "status": lambda: closed.status(),
                "sequence": lambda: closed.sequence,
                "wait": lambda: closed.wait_for_change(1),
                "changes": lambda: closed.changes(),
                "request_tend": lambda: closed.request_tend(),
                "racks": lambda: closed.set_preferred_racks([1]),
                "role": lambda: closed.role,
                "events": lambda: closed.events(),
                "interval": lambda: closed.set_tend_interval(1),
                "password": lambda: closed.set_password("x"),
            }[call]
            with pytest.raises(tendmap.ClosedError) as raised:
                made()
        raise raised.value

    def news_of_closed(self):
        reader = tendmap.Reader(shm_directory=self.settings["shm_directory"])
        changes = reader.changes()
        reader.close()
        changes.take()

    def closed_changes(self):
        changes = self.client.changes()
        changes.close()
        changes.take()

    def forked(self, what):
        changes = self.client.changes()
        calls = {
            "changes": changes.take,
            "client": lambda: self.client.route("test", "users", 1),
            "reader": lambda: self.reader.route("test", "users", 1),
        }
        self.in_child(calls[what])

    def denied(self):
        def call():
            os.setuid(65534)
            tendmap.Reader(shm_directory=self.settings["shm_directory"], shm_key=1)

        self.in_child(call)

    @staticmethod
    def in_child(call):
        """Raises what the call raises in a forked child."""
        source, target = os.pipe()
        pid = os.fork()
        if pid == 0:
            said = ["", ""]
            try:
                call()
            except BaseException as error:
                said = [type(error).__name__, str(error)]
            os.write(target, json.dumps(said).encode())
            os._exit(0)
        os.close(target)
        with open(source, encoding="utf-8") as said:
            name, text = json.load(said)
        os.waitpid(pid, 0)
        if name:
            raise getattr(tendmap, name)(text)


def test_invalid_calls_give_the_errors_of_every_language(cluster, settings, client):
    calls, wrong = Calls(cluster, settings, client), []
    for case in shared()["cases"]:
        if "python" in case.get("except", []):
            continue
        if case["call"] == "denied" and os.getuid() != 0:
            print("skipped: only root can become another user")
            continue
        call = {"client": "open_client", "reader": "open_reader"}.get(case["call"], case["call"])
        found, text = None, ""
        try:
            getattr(calls, call)(*map(calls.value, case["with"]))
        except tendmap.Error as error:
            found, text = error.code, str(error)
        wanted = shared()["kinds"].get(case["kind"])
        pattern = ".+".join(map(re.escape, case.get("text", "").split("…")))
        if found != wanted or not re.fullmatch(pattern, text, re.DOTALL):
            wrong.append((case["what"], found, text))
    assert not wrong, "\n".join(map(str, wrong))
