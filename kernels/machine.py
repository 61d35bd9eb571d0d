"""The machine that kernels run on: how wide its vector registers are, and the words in which a report describes it."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

from llvmlite import binding

LIBRARIES = ("numpy", "numba", "llvmlite", "torch", "onnxruntime")
"""What a kernel or a baseline may run in."""

X86 = {"model name": "model_name", "vendor_id": "vendor", "cpu family": "family", "model": "model"}
ARM = {"CPU implementer": "vendor", "CPU architecture": "family", "CPU part": "model"}
"""Keys of ``/proc/cpuinfo`` and what they are called here; ARM writes numbers that only tables can name."""

PROC = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@functools.cache
def vector_lanes() -> int:
    """Return the float32 lanes of the widest vector register: 16 with AVX-512, 8 with AVX2, 4 elsewhere."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512vl"):
        return 16
    return 8 if features.get("avx2") and features.get("fma") else 4


@functools.cache
def vector_registers() -> int:
    """Return the number of vector registers: 32 with AVX-512 and on 64-bit ARM, else 16."""
    arm = platform.machine().lower() in {"aarch64", "arm64"}
    return 32 if arm or vector_lanes() == 16 else 16


@functools.cache
def l1_bytes() -> int:
    """Return the size of the L1 data cache; 32 KiB, which few cores undercut, where the system does not tell."""
    return cache_bytes()["L1"] or 32768


def processor(path: Path = PROC) -> dict[str, str | None]:
    """Return the first core's model name, vendor, family and model as Linux gives them; None what it does not."""
    found: dict[str, str | None] = dict.fromkeys(X86.values())
    lines = path.read_text().splitlines() if path.is_file() else []
    for line in lines:
        key, _, value = line.partition(":")
        name = (X86 | ARM).get(key.strip())
        if name is not None and found[name] is None:
            found[name] = value.strip()
    return found


def cache_bytes(folder: Path = CACHES) -> dict[str, int | None]:
    """Return the sizes of the first core's data caches L1, L2 and L3 in bytes; None what Linux does not give."""
    sizes: dict[str, int | None] = dict.fromkeys(("L1", "L2", "L3"))
    for index in sorted(folder.glob("index*")):
        try:
            kind, level, size = ((index / name).read_text().strip() for name in ("type", "level", "size"))
        except OSError:  # a virtual machine may hide a file
            continue
        if kind != "Instruction" and size.endswith("K"):
            sizes[f"L{level}"] = int(size[:-1]) * 1024
    return sizes


def describe() -> dict[str, object]:
    """Return what a measured figure should be read with, as values that JSON can hold.

    Returns
    -------
    dict
        ``model_name``, ``vendor``, ``family``, ``model`` (text, None where unknown), ``architecture``, ``llvm_name``
        (LLVM's name for the core), ``vector_lanes`` (float32), ``cores``, ``cache_bytes`` (by level, None where
        unknown), ``system``, ``python``, ``versions`` (of the libraries that are installed).
    """
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        **processor(),
        "architecture": platform.machine(),
        "llvm_name": binding.get_host_cpu_name(),
        "vector_lanes": vector_lanes(),
        "cores": os.cpu_count(),
        "cache_bytes": cache_bytes(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
    }
