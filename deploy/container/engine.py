"""A container engine, podman, and pods as manifests describe them."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kubernetes"))
from pod import Volumes, in_bytes

# The parent of the control groups of all containers.
PARENT = "/tendmap-try"
# A start of a container takes a second or two on a busy machine.
PATIENCE = 120


def configure(work, runtime):
    """Settings of the engine in place of the host's: all that it writes is in `work`."""
    # A limit above this process's own needs a capability, which root may lack.
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    hard = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    limits = [f'"{name}={n}:{n}"' for name, n in hard.items() if n != resource.RLIM_INFINITY]
    Path(f"{work}/containers.conf").write_text(f"""
[containers]
default_ulimits = [{", ".join(limits)}]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "{runtime}"
tmp_dir = "{work}/libpod"
[network]
network_config_dir = "{work}/networks"
""")
    Path(f"{work}/storage.conf").write_text(f"""
[storage]
driver = "vfs"
runroot = "{work}/run"
graphroot = "{work}/graph"
""")
    os.environ["CONTAINERS_CONF"] = f"{work}/containers.conf"
    os.environ["CONTAINERS_STORAGE_CONF"] = f"{work}/storage.conf"


def podman(*args, fails=False):
    """The output of a command of the engine; with `fails`, also its status."""
    line = ["podman", "--log-level", "error", *args]
    result = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    if fails:
        return result.returncode, result.stdout + result.stderr
    assert result.returncode == 0, (" ".join(line), result.returncode, result.stdout, result.stderr)
    return result.stdout


class Container:
    """A container that runs in the background."""

    def __init__(self, name, *options):
        self.name = name
        podman("run", "--detach", "--name", name, "--cgroup-parent", PARENT, *options)

    def exec(self, line):
        """The status and the output of a command in the container, as a probe runs it."""
        return podman("exec", self.name, *line, fails=True)

    def answer(self, line):
        return json.loads(podman("exec", self.name, *line))

    def logs(self):
        return podman("logs", self.name, fails=True)[1]

    def inspect(self, what):
        return podman("inspect", "--format", f"{{{{.State.{what}}}}}", self.name).strip()

    def pid(self):
        return int(self.inspect("Pid"))

    def status(self):
        """What /proc says of its first process."""
        lines = Path(f"/proc/{self.pid()}/status").read_text().splitlines()
        return {key: value.split() for key, value in (line.split(":", 1) for line in lines)}

    def kill(self, which):
        podman("kill", "--signal", which, self.name)

    def end(self):
        """Its exit code, once it has ended."""
        return int(podman("wait", self.name))

    def stop(self, grace):
        """Stops it as a kubelet does: SIGTERM, and SIGKILL after the grace period."""
        assert self.inspect("Running") == "true", self.logs()
        podman("stop", "--time", str(grace), self.name)
        return self.end()

    def remove(self):
        podman("rm", "--force", "--time", "0", self.name)


def only(found, known):
    """Fails for a field that this trial would ignore."""
    assert set(found) <= set(known.split()), set(found) - set(known.split())


def make_pod(name):
    """A pod of the engine. Its containers share the network, IPC and /dev/shm."""
    options = ["--network", "host", "--share", "net,ipc,uts", "--cgroup-parent", PARENT]
    podman("pod", "create", "--name", name, *options)


class Pod(Volumes):
    """A pod of a manifest."""

    def __init__(self, name, spec, secrets, size=None):
        super().__init__(spec, secrets, size=size)
        only(
            spec,
            "terminationGracePeriodSeconds automountServiceAccountToken securityContext"
            " initContainers containers volumes",
        )
        # The seccomp profile of the engine is the default one.
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        self.name, self.grace = name, spec["terminationGracePeriodSeconds"]
        make_pod(name)

    def options(self, found, more):
        """The options of `podman run` for a container of the manifest."""
        only(
            found,
            "name image restartPolicy args env startupProbe livenessProbe securityContext resources"
            " volumeMounts",
        )
        pod, own = self.spec["securityContext"], found["securityContext"]
        only(pod, "runAsNonRoot runAsUser runAsGroup fsGroup supplementalGroups seccompProfile")
        only(own, "runAsUser runAsGroup allowPrivilegeEscalation readOnlyRootFilesystem capabilities")
        who = pod | own
        assert who["runAsNonRoot"] and who["runAsUser"] != 0, who
        options = ["--pod", self.name, "--user", f"{who['runAsUser']}:{who['runAsGroup']}"]
        groups = [who["fsGroup"]] if "fsGroup" in who else []
        for group in groups + who.get("supplementalGroups", []):
            options += ["--group-add", str(group)]
        if not who["allowPrivilegeEscalation"]:
            options += ["--security-opt", "no-new-privileges"]
        for name in who["capabilities"]["drop"]:
            options += ["--cap-drop", name]
        if who["readOnlyRootFilesystem"]:
            options += ["--read-only", "--read-only-tmpfs=false"]
        memory = str(in_bytes(found["resources"]["limits"]["memory"]))
        options += ["--memory", memory, "--memory-swap", memory]
        for mount in found["volumeMounts"]:
            how = ":ro" if mount.get("readOnly") else ""
            options += ["--volume", f"{self.volumes[mount['name']]}:{mount['mountPath']}{how}"]
        for key, value in (self.variables(found["name"]) | more).items():
            options += ["--env", f"{key}={value}"]
        return options

    def start(self, container, more={}):
        """Starts a container as its manifest says, with more variables."""
        found = self.container(container)
        options = self.options(found, more)
        return Container(f"{self.name}-{container}", *options, "tendmap", *found["args"])

    def probe(self, container, which):
        return self.container(container)[which]["exec"]["command"]

    def remove(self):
        podman("pod", "rm", "--force", "--time", "0", self.name)


def confined(container, user, group, groups):
    """What the manifest asks of a container holds for its first process."""
    found = container.status()
    assert found["Uid"] == [user] * 4 and found["Gid"] == [group] * 4, found
    assert set(found["Groups"]) - {group} == groups, found
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]:
        assert int(found[name][0], 16) == 0, found
    assert found["NoNewPrivs"] == ["1"] and found["Seccomp"] == ["2"], found


def peak(container):
    """The most memory that it has had, in MiB, the segment included."""
    for line in Path(f"/proc/{container.pid()}/cgroup").read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        for at in [f"memory{path}/memory.max_usage_in_bytes", f"{path}/memory.peak"]:
            file = Path("/sys/fs/cgroup") / at.lstrip("/")
            if kinds in ("memory", "") and file.exists():
                return f"{int(file.read_text()) / 2**20:.1f} MiB"
    return "unknown"
