"""Run: all anchors, topic by topic."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from codesign.validation.anchor import Anchor, Missing
from traces.errors import InputError

#: Modules of this package with a function ``anchors(golden)``; ``golden`` is the folder of data tables, or None.
TOPICS = (
    "systolic",
    "tensor_core",
    "sigma",
    "os_mesh",
    "eie",
    "eyeriss_v2",
    "sat",
    "spiking",
    "delta",
    "zigzag",
    "compare",
)


def all_anchors(golden: Path | None = None, only: str | None = None) -> Iterator[tuple[str, Anchor | Missing]]:
    """Yield each topic's anchors with the topic's name.

    Raises
    ------
    InputError
        If ``only`` is no topic.
    """
    if only is not None and only not in TOPICS:
        raise InputError.must("--only", f"one of {', '.join(TOPICS)}", only)
    for topic in TOPICS if only is None else (only,):
        for anchor in import_module(f"codesign.validation.{topic}").anchors(golden):
            yield topic, anchor
