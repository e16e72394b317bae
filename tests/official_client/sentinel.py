"""Compares the structures in the newest official client's shared memory, as its debug
information has them, with those that tendmap expects.

Exits 0 if they are the same, 1 with the differences, 77 if the client can't be had.

  sentinel.py --layout target/debug/examples/c_client_layout [--wheel FILE]…
"""

import argparse
import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

from elftools.elf.elffile import ELFFile

#: The interpreters whose wheels are asked for, since the newest client may leave out old
#: ones and not have new ones yet.
PYTHONS = ["3.14", "3.13", "3.12", "3.11", "3.10"]
PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
STRUCTURES = ["as_cluster_shm_s", "as_node_shm_s", "as_partition_table_shm_s", "as_partition_shm_s"]
#: Members that are there for their size only.
PADDING = re.compile(r"(__)?(pad|reserved|unused)\d*")
#: The layout to compare an unknown version with.
NEWEST = "F"


def released(wheel):
    """The version in a wheel's name, as text and as numbers."""
    text = wheel.name.split("-")[1]
    return text, tuple(int(number) for number in re.findall(r"\d+", text))


def download(folder):
    """The newest wheel; None if there is no way to PyPI."""
    for python in PYTHONS:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
        command += [f"--platform={platform}" for platform in PLATFORMS]
        result = subprocess.run([*command, f"--dest={folder}", "aerospike"], capture_output=True, text=True)
        if result.returncode != 0:
            print(f"no wheel for Python {python}: {result.stderr.strip().splitlines()[-1:]}")
    wheels = sorted(pathlib.Path(folder).glob("aerospike-*.whl"), key=lambda wheel: released(wheel)[1])
    return wheels[-1] if wheels else None


def extract(wheel, folder):
    """The shared object that has the C client inside."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if re.fullmatch(r"aerospike\.[^/]*\.so", name)]
        assert len(names) == 1, f"{wheel.name} has {names}; wanted one shared object"
        return pathlib.Path(archive.extract(names[0], folder))


def length(member):
    """How many elements an array has; None if the member is no array."""
    kind = member.get_DIE_from_attribute("DW_AT_type")
    if kind.tag != "DW_TAG_array_type":
        return None
    bounds = [child.attributes for child in kind.iter_children() if child.tag == "DW_TAG_subrange_type"]
    return bounds[0]["DW_AT_upper_bound"].value + 1 if bounds and "DW_AT_upper_bound" in bounds[0] else 0


def structure(die):
    """The size of a structure and the offsets of its members."""
    members = {}
    for member in die.iter_children():
        if member.tag != "DW_TAG_member":
            continue
        name = member.attributes["DW_AT_name"].value.decode()
        offset = member.attributes["DW_AT_data_member_location"].value
        if PADDING.fullmatch(name):
            continue
        # The holders of a partition: an array since layout E, two members before.
        if die.attributes["DW_AT_name"].value == b"as_partition_shm_s" and name != "regime":
            count = length(member)
            first = {"master": 0, "prole": 1, "nodes": 0}.get(name)
            assert first is not None, f"unknown member {name} of a partition"
            members.update({f"replica {first + index}": offset + 4 * index for index in range(count or 1)})
            continue
        members[name] = offset
    return {"bytes": die.attributes["DW_AT_byte_size"].value, "members": members}


def of_client(library):
    """All structures, from the debug information of a shared object."""
    found = {}
    with open(library, "rb") as file:
        elf = ELFFile(file)
        assert elf.has_dwarf_info(), f"{library.name} has no debug information any more"
        for unit in elf.get_dwarf_info().iter_CUs():
            name = unit.get_top_DIE().attributes.get("DW_AT_name")
            if name is None or not name.value.endswith(b"as_shm_cluster.c"):
                continue
            for die in unit.iter_DIEs():
                name = die.attributes.get("DW_AT_name")
                if die.tag != "DW_TAG_structure_type" or "DW_AT_byte_size" not in die.attributes or name is None:
                    continue
                if name.value.decode() in STRUCTURES:
                    found[name.value.decode()] = structure(die)
    assert sorted(found) == sorted(STRUCTURES), f"found {sorted(found)}; wanted {sorted(STRUCTURES)}"
    return found


def differences(client, ours):
    """What differs, a line each."""
    lines = []
    for name in STRUCTURES:
        theirs, own = client[name], ours[name]
        if theirs["bytes"] != own["bytes"]:
            lines.append(f"{name}: {theirs['bytes']} bytes; tendmap expects {own['bytes']}")
        for member in sorted({*theirs["members"], *own["members"]}):
            offset, expected = theirs["members"].get(member), own["members"].get(member)
            if offset != expected:
                lines.append(f"{name}.{member}: offset {offset}; tendmap expects {expected}")
    return lines


def controls(client, ours):
    """How many changes of a single number are noticed; all of them have to be."""
    count = 0
    for name in STRUCTURES:
        for member in [None, *ours[name]["members"]]:
            changed = copy.deepcopy(ours)
            if member is None:
                changed[name]["bytes"] += 8
            else:
                changed[name]["members"][member] += 4
            found = differences(client, changed)
            assert len(found) == 1 and name in found[0], (name, member, found)
            count += 1
    return count


def check(wheel, layout):
    """Whether the client in a wheel has the layout that tendmap expects."""
    ask = lambda what: json.loads(subprocess.run([layout, what], check=True, capture_output=True, text=True).stdout)
    version, _ = released(wheel)
    with tempfile.TemporaryDirectory() as folder:
        library = extract(wheel, folder)
        client = of_client(library)
        try:
            by_library = ask(str(library))
        except subprocess.CalledProcessError:
            by_library = None  # before C client 7.1.0
    by_name = ask(f"python-{version}")
    inside = f"C client {by_library['version']}" if by_library else "a C client that does not say its version"
    print(f"{wheel.name}: {inside}")
    answers = [answer for answer in (by_library, by_name) if answer]
    errors = [answer["error"] for answer in answers if "error" in answer]
    if errors:
        found = differences(client, ask(NEWEST)["structs"])
        for line in [*errors, *found]:
            print(f"  {line}")
        same = f"it has layout {NEWEST}: add the version" if not found else "it has a new layout: add it"
        print(f"  {same} in src/c_client/version.rs")
        return False
    if by_library and by_library["layout"] != by_name["layout"]:
        print(f"  layout {by_library['layout']} by its C client, {by_name['layout']} by python-{version}")
        return False
    found = differences(client, by_name["structs"])
    for line in found:
        print(f"  {line}")
    if not found:
        print(f"  layout {by_name['layout']}; all of {controls(client, by_name['structs'])} altered numbers noticed")
    return not found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layout", required=True, help="the program that prints tendmap's own layout")
    parser.add_argument("--wheel", action="append", type=pathlib.Path, help="instead of the newest one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels = args.wheel or [download(folder)]
        if wheels == [None]:
            print("skipped: no wheel of the official client can be downloaded")
            return 77
        results = [check(wheel, args.layout) for wheel in wheels]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
