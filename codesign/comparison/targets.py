"""Targets by name: the host, the WebAssembly engines on it, and the modelled cores."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from codesign.comparison.core import CoreTarget
from codesign.comparison.host import Host
from codesign.comparison.target import Target
from codesign.comparison.wasm import ENGINES, Wasm
from hw_models.cpus import cpu_names, load_cpu
from traces.errors import InputError

HOST = "host"


def target_names() -> list[str]:
    """Return all that can be named: the host, engines, cores."""
    return [HOST, *ENGINES, *cpu_names()]


def check_names(names: Sequence[str]) -> None:
    """Refuse names that are neither a target nor the path of a core's config with an `InputError`."""
    if not names:
        raise InputError("--cpu must name at least one of " + ", ".join(target_names()))
    for name in names:
        if name not in target_names() and not name.endswith((".yaml", ".yml")):
            near = difflib.get_close_matches(name, target_names(), n=2, cutoff=0.6)
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise InputError(
                f"unknown CPU {name!r}; {meant}there are {', '.join(target_names())};"
                " the path of a core's .yaml works too"
            )
    again = [name for name in names if names.count(name) > 1]
    if again:
        raise InputError(f"--cpu must name {again[0]} once, not {names.count(again[0])} times")


def make(name: str, *, measures: bool, threads: int, seed: int) -> Target:
    """Return a target.

    Raises
    ------
    InputError
        If a name or config is wrong, an engine that is to be measured is missing, or threads cannot be had.
    """
    if name == HOST:
        return Host(threads, seed)
    if name in ENGINES:
        return Wasm(name, measures=measures, seed=seed)
    return CoreTarget(load_cpu(name))
