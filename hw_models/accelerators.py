"""The accelerators on offer: presets by name, or a config file of your own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from hw_models.config import read_yaml, with_settings
from hw_models.systolic.config import SystolicConfig
from traces.errors import InputError

_PRESETS = Path(__file__).parent / "presets"


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the package, sorted."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def load_accelerator(name_or_path: str, settings: Iterable[str] = ()) -> SystolicConfig:
    """Return a preset or the config in a YAML file, with ``key=value`` settings laid over it.

    >>> load_accelerator("systolic-32x32", ["array.rows=64"]).pes
    2048

    Raises
    ------
    InputError
        If there is no such preset or file, or a value is wrong; the message names the key and the rule.
    """
    path = _PRESETS / f"{name_or_path}.yaml"
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
    elif name_or_path not in preset_names():
        near = difflib.get_close_matches(name_or_path, preset_names(), n=3, cutoff=0.4)
        meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(preset_names())};"
        raise InputError(
            f"unknown accelerator {name_or_path!r}; {meant} `codesign accelerators` lists them all, and a path to a"
            " .yaml file works too"
        )
    return SystolicConfig.read(with_settings(read_yaml(path), settings), name_or_path)
