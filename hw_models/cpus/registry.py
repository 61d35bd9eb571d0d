"""The cores on offer: presets by name, or a config file of your own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hw_models.config import config_file, config_names, read_yaml, with_settings
from hw_models.cpus.config import CpuConfig

_CORES = Path(__file__).parent / "cores"


def cpu_names() -> list[str]:
    """Return the names of the cores that ship with the package, sorted."""
    return config_names(_CORES)


def load_cpu(name_or_path: str, settings: Iterable[str] = ()) -> CpuConfig:
    """Return a core by name or from a YAML file, with ``key=value`` settings laid over it.

    >>> load_cpu("cortex-a53").core.in_order
    True

    Raises
    ------
    InputError
        If there is no such core or file, or a value is wrong; the message names the key and the rule.
    """
    path = config_file(name_or_path, _CORES, "CPU core", "a path to a .yaml file works too")
    return CpuConfig.read(with_settings(read_yaml(path), settings), name_or_path)
