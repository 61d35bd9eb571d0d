"""Point: what is evaluated for a point of the space, and the key that it is stored under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from codesign.sweep.space import Point, Space

_ROOT = Path(__file__).parents[2]
#: Code that results depend on. The command line and the rest of the sweep only show or order them.
_PACKAGES = ("traces", "hw_models", "kernels", "codesign")
_LEFT_OUT = ("cli", "sweep", "validation", "studies", "presets", "cores")
_OF_SWEEP = ("evaluate.py", "limits.py", "point.py", "traced.py")
#: What of a config names it and changes no figure.
_WORDS = ("description", "sources")


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker needs to evaluate a configuration; ``graph`` is the digest of the traced model."""

    key: str
    kind: str
    config: dict[str, Any]
    dataflow: str | None
    graph: str
    pattern: str
    seed: int


def task_of(space: Space, point: Point, graph: str, seed: int) -> Task:
    """Return the task of a point; equal configurations have equal keys, in whatever study they stand."""
    target = space.targets[point.target]
    config, pattern = target.config(point.settings), space.weights[point.weights]
    words = {name: value for name, value in config.items() if name not in _WORDS}
    said = json.dumps([target.kind, words, point.dataflow, graph, pattern, seed, code_version()], sort_keys=True)
    key = hashlib.sha256(said.encode()).hexdigest()
    return Task(key, target.kind, config, point.dataflow, graph, pattern, seed)


@cache
def code_version() -> str:
    """Return a digest of the sources that results depend on."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def sources() -> Iterator[Path]:
    """Yield the sources that results depend on, sorted."""
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*")):
            inside = path.relative_to(_ROOT).parts
            counts = not set(_LEFT_OUT) & set(inside) or ("sweep" in inside and path.name in _OF_SWEEP)
            if counts and path.suffix in (".py", ".yaml"):
                yield path
