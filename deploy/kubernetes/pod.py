"""What the manifests of this folder describe, for the trials that run them: try.py, and
../container/try, with a container engine."""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent
PATIENCE = 60
PASSWORD = "secret of the test"
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def documents(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def of_kind(found, kind):
    return next(item for item in found if item["kind"] == kind)


def of_pod(name, kind):
    """The pod that a manifest describes, and the values of its secrets."""
    found = documents(name)
    secrets = [item for item in found if item["kind"] == "Secret"]
    return (
        of_kind(found, kind)["spec"]["template"]["spec"],
        {item["metadata"]["name"]: item["stringData"] for item in secrets},
    )


def in_bytes(text):
    number, unit = re.fullmatch(r"(\d+)(\w\w)?", text).groups()
    return int(number) * UNITS.get(unit, 1)


def until(what, done, patience=PATIENCE):
    """Waits until `done` returns something."""
    since = time.monotonic()
    while not (found := done()):
        assert time.monotonic() - since < patience, f"{what} did not happen"
        time.sleep(0.02)
    return found


class Volumes:
    """The volumes of a pod as a kubelet makes them, in a mount namespace with which they end.
    `hosts` and `size` replace those of the manifest."""

    def __init__(self, spec, secrets, hosts=None, size=None):
        self.spec, self.hosts = spec, hosts
        self.group = spec["securityContext"].get("fsGroup")
        self.folder = Path(tempfile.mkdtemp(prefix="pod-"))
        self.folder.chmod(0o755)
        self.volumes = {}
        for volume in spec["volumes"]:
            if "hostPath" in volume:
                assert volume["hostPath"]["type"] == "Directory", volume
                self.volumes[volume["name"]] = Path(volume["hostPath"]["path"])
                continue
            path = self.folder / volume["name"]
            path.mkdir()
            if "emptyDir" in volume:
                assert volume["emptyDir"]["medium"] == "Memory", volume
                limit = size or in_bytes(volume["emptyDir"]["sizeLimit"])
                mount = ["mount", "-t", "tmpfs", "-o", f"size={limit}", "tmpfs", str(path)]
                subprocess.run(mount, check=True)
                mode = 0o2777
            else:
                # The files are links, so that a kubelet can replace all of them at once.
                (path / "..1").mkdir()
                (path / "..data").symlink_to("..1")
                source = secrets[volume["secret"]["secretName"]]
                for item in volume["secret"]["items"]:
                    assert item["key"] in source, item
                    file = path / "..1" / item["path"]
                    file.write_text(PASSWORD)
                    os.chown(file, 0, self.group)
                    file.chmod(volume["secret"]["defaultMode"])
                    (path / item["path"]).symlink_to(f"..data/{item['path']}")
                mode = 0o2755
            os.chown(path, 0, self.group)
            path.chmod(mode)
            self.volumes[volume["name"]] = path

    def container(self, name):
        containers = self.spec.get("initContainers", []) + self.spec["containers"]
        return next(item for item in containers if item["name"] == name)

    def variables(self, container):
        named = {item["name"]: item["value"] for item in self.container(container)["env"]}
        return named | ({"TENDMAP_HOSTS": self.hosts} if self.hosts else {})
