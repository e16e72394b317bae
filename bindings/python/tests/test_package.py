"""The wheel and the source distribution, as they would be published."""

import email
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

import tendmap

ROOT = pathlib.Path(__file__).parents[3]
HERE = ROOT / "bindings/python"


def built(pattern):
    found = sorted((ROOT / "target/wheels").glob(pattern))
    if not found:
        pytest.skip(f"skipped: there is no target/wheels/{pattern}; .ci/packages/python builds it")
    assert len(found) == 1, found
    return found[0]


def metadata(text):
    found = email.message_from_string(text)
    assert found["Name"] == "tendmap" and found["Version"] == tendmap.__version__
    assert found["License-Expression"] == "MIT OR Apache-2.0"
    assert set(found.get_all("License-File")) == {"LICENSE-APACHE", "LICENSE-MIT"}
    assert found["Requires-Python"] == ">=3.11" and found.get_all("Classifier")
    assert found.get_payload().strip() == (HERE / "README.md").read_text().strip()


def test_the_wheel_is_of_the_stable_interface_and_has_what_it_says():
    wheel = built("*.whl")
    assert re.fullmatch(rf"tendmap-{tendmap.__version__}-cp311-abi3-manylinux_2_\d+_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        about = next(name for name in names if name.endswith("/METADATA"))
        metadata(archive.read(about).decode())
        entries = archive.read(about.replace("METADATA", "entry_points.txt")).decode()
        licenses = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert licenses == {"LICENSE-APACHE", "LICENSE-MIT"}
    assert "tendmap=tendmap.__main__:main" in entries.replace(" ", "")
    assert "tendmap=tendmap._pytest" in entries.replace(" ", "")
    assert {"tendmap/py.typed", "tendmap/_tendmap.pyi", "tendmap/_tendmap.abi3.so"} <= set(names)
    assert not [name for name in names if "test_" in name or name.endswith(".so.debug")]


def test_auditwheel_confirms_the_tag():
    wheel = built("*.whl")
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    tag = re.search(r"manylinux_2_(\d+)_\w+", wheel.name)
    text = " ".join(said.stdout.split())
    found = re.search(r'consistent with the following platform tag: "manylinux_2_(\d+)', text)
    assert found and int(found[1]) <= int(tag[1]), text


def test_the_source_distribution_has_all_sources():
    sdist = built("*.tar.gz")
    top = f"tendmap-{tendmap.__version__}"
    with tarfile.open(sdist) as archive:
        names = set(archive.getnames())
        metadata(archive.extractfile(f"{top}/PKG-INFO").read().decode())
        readme = archive.extractfile(f"{top}/PYPI.md").read()
    assert readme == (HERE / "README.md").read_bytes()
    for path in [
        "pyproject.toml",
        "Cargo.toml",
        "src/lib.rs",
        "cli/src/lib.rs",
        "bindings/Cargo.lock",
        "bindings/glue/src/lib.rs",
        "bindings/python/src/lib.rs",
        "bindings/python/tests/test_package.py",
        "python/tendmap/__init__.py",
        "python/tendmap/_tendmap.pyi",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
    ]:
        assert f"{top}/{path}" in names, path


def test_the_source_distribution_can_be_resolved(tmp_path):
    with tarfile.open(built("*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    manifest = tmp_path / f"tendmap-{tendmap.__version__}/bindings/python/Cargo.toml"
    command = ["cargo", "metadata", "--offline", "--format-version=1", f"--manifest-path={manifest}"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_readme_stands_alone():
    text = (HERE / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert not [link for link in links if not link.startswith(("https://", "#"))]
    for setting in re.findall(r"^ {8}(\w+): ", (HERE / "python/tendmap/_tendmap.pyi").read_text(), re.M):
        if setting.startswith(("shm_", "tls", "c_client")) and not setting.startswith("c_client"):
            assert f"`{setting}`" in text, setting


def test_the_installed_version_is_that_of_the_crate():
    manifest = (ROOT / "bindings/Cargo.toml").read_text()
    version = re.search(r'^version = "(.+)"$', manifest, re.M)[1]
    assert tendmap.__version__ == version
    try:
        assert importlib.metadata.version("tendmap") == version
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("skipped: the package is not installed here")
