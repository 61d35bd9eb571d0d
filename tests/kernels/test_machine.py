"""The machine's description: parsed from what Linux writes, None where it writes nothing."""

import json
from pathlib import Path

from kernels import machine

GRAVITON = """processor\t: 0
BogoMIPS\t: 243.75
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

processor\t: 1
CPU part\t: 0xd40
"""
RYZEN = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9R14\n"


def test_x86_is_named(tmp_path: Path) -> None:
    """An x86 core is told by its name and numbers; the key `model` is not mistaken for `model name`."""
    path = tmp_path / "cpuinfo"
    path.write_text(RYZEN)
    assert machine.processor(path) == {
        "model_name": "AMD EPYC 9R14",
        "vendor": "AuthenticAMD",
        "family": "25",
        "model": "17",
    }


def test_arm_is_numbered(tmp_path: Path) -> None:
    """An ARM core is told by its implementer and part, the first core's where they differ."""
    path = tmp_path / "cpuinfo"
    path.write_text(GRAVITON)
    assert machine.processor(path) == {"model_name": None, "vendor": "0x41", "family": "8", "model": "0xd0c"}


def test_caches_by_level(tmp_path: Path) -> None:
    """Data caches are read by level, the instruction cache is passed over, a level that is not there is None."""
    for i, (kind, level, size) in enumerate((("Data", 1, "64K"), ("Instruction", 1, "32K"), ("Unified", 2, "1024K"))):
        folder = tmp_path / f"index{i}"
        folder.mkdir()
        for name, value in (("type", kind), ("level", level), ("size", size)):
            (folder / name).write_text(f"{value}\n")
    (tmp_path / "index7").mkdir()
    assert machine.cache_bytes(tmp_path) == {"L1": 64 << 10, "L2": 1 << 20, "L3": None}


def test_a_system_without_these_files(tmp_path: Path) -> None:
    """Where there is no /proc and no /sys, all of it is None."""
    assert set(machine.processor(tmp_path / "none").values()) == {None}
    assert set(machine.cache_bytes(tmp_path / "none").values()) == {None}


def test_description_is_json() -> None:
    """What this machine is described by survives JSON, and names the libraries that tests need."""
    found = machine.describe()
    assert json.loads(json.dumps(found)) == found
    assert {"numpy", "numba", "llvmlite"} <= found["versions"].keys()
    assert found["vector_lanes"] in (4, 8, 16)
