"""The cores on offer: presets by name, or a config file of your own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from hw_models.config import read_yaml, with_settings
from hw_models.cpus.config import CpuConfig
from traces.errors import InputError

_CORES = Path(__file__).parent / "cores"


def cpu_names() -> list[str]:
    """Return the names of the cores that ship with the package, sorted."""
    return sorted(path.stem for path in _CORES.glob("*.yaml"))


def load_cpu(name_or_path: str, settings: Iterable[str] = ()) -> CpuConfig:
    """Return a core by name or from a YAML file, with ``key=value`` settings laid over it.

    >>> load_cpu("cortex-a53").core.in_order
    True

    Raises
    ------
    InputError
        If there is no such core or file, or a value is wrong; the message names the key and the rule.
    """
    path = _CORES / f"{name_or_path}.yaml"
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
    elif name_or_path not in cpu_names():
        near = difflib.get_close_matches(name_or_path, cpu_names(), n=3, cutoff=0.4)
        meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(cpu_names())};"
        raise InputError(f"unknown CPU core {name_or_path!r}; {meant} a path to a .yaml file works too")
    return CpuConfig.read(with_settings(read_yaml(path), settings), name_or_path)
