"""Rerun: the command that simulates a point of a sweep again, and the timelines of some points."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.report.words import printable
from codesign.sweep.results import Results, levels
from codesign.sweep.space import Space, read_space
from codesign.sweep.store import GRAPHS
from codesign.sweep.study import ModelEntry, StudyFile
from codesign.sweep.traced import Traced, trace_all, unpack
from traces.errors import InputError

if TYPE_CHECKING:
    from codesign.report.report import Report
    from traces.graph import OpGraph

_FILES = (".csv", ".pt2", ".nir", ".py", ".yaml", ".yml")


def commands(results: Results) -> dict[str, dict[str, Any]]:
    """Return how the command of a point is put together, by target.

    Returns
    -------
    dict
        Of each target ``start``, and ``parts``: pairs of a column and what each of its levels (in the order of
        `codesign.sweep.results.levels`) adds, quoted for a shell.
    """
    machines = bases(results)
    names = ["model", "target", "weights", "dataflow"]
    names += [name for name in results.parameters if name not in names]
    return {
        target: {
            "start": "codesign simulate" if target in machines else "codesign compare",
            "parts": [
                [name, [_words(results, machines.get(target), name, level) for level in levels(results, name)]]
                for name in names
            ],
        }
        for target in levels(results, "target")
    }


def _words(results: Results, base: str | None, name: str, level: Any) -> str:  # noqa: ANN401 (any setting)
    """Return what a level of a column adds to a command, on a target with a base to simulate on, or on a CPU."""
    if name == "model":
        entry = _model(results, level)
        words = [located(results.file, entry.model)]
        words += [] if entry.input is None else ["--input", results.file.path(entry.input)]
        words += [] if entry.activations is None else ["--activations", entry.activations]
        words += ["--training"] * entry.training
        for selector, pattern in entry.rules.items():
            words += ["--rule", f"{selector}={pattern}"]
        return shlex.join(words)
    if name == "target":
        on = f"--cpu {shlex.quote(level)} --no-measure" if base is None else f"--on {shlex.quote(base)}"
        return on + (f" --seed {results.study.seed}" if results.study.seed else "")
    if name == "weights" and level == "dense":
        # A comparison has a dense side, whatever is pruned.
        return "" if base is not None else "--weights unstructured:0.5"
    if name == "dataflow" and level == "auto":
        return ""
    option = f"--{name}" if name in ("weights", "dataflow") else "--set"
    return f"{option} {shlex.quote(level if option != '--set' else setting(name, level))}"


def command(results: Results, row: int) -> str:
    """Return the command that simulates a point again, quoted for a shell."""
    how = commands(results)[results.columns["target"][row]]
    words = [how["start"]]
    for name, texts in how["parts"]:
        value = results.columns[name][row]
        words.append("" if value is None else texts[levels(results, name).index(value)])
    return " ".join(filter(None, words))


def timelines(results: Results, rows: Sequence[int]) -> tuple[dict[int, dict[str, Any]], str]:
    """Simulate points again, and return what each stage serves for each op, and when.

    Returns
    -------
    timelines : dict
        By row: ``tracks`` and ``ops`` (names), ``cycles`` in all, ``events``: (track, op, first cycle, cycles).
        Points on CPUs have none.
    note : str
        Why a point has none, if for another reason; empty if there is none.
    """
    made: dict[int, dict[str, Any]] = {}
    machines = bases(results)
    graphs = _graphs(results)
    for row in rows:
        point = results.row(row)
        if point["target"] not in machines:
            continue
        try:
            report = _simulated(results, point, machines[point["target"]], graphs(point["model"], point["weights"]))
        except (InputError, OSError) as error:
            return made, f"Other points have no timeline: {error}."
        if report.total_cycles != point["cycles"]:
            return made, (
                f"Other points have no timeline: point {point['number']} now takes {report.total_cycles:,} cycles, not"
                f" {point['cycles']:,}; the model or the code has changed since the sweep."
            )
        made[row] = _compact(report)
    return made, ""


def bases(results: Results) -> dict[str, str]:
    """Return the preset or path that each accelerator of a study starts from, by the name of the target."""
    from hw_models.accelerators import load_accelerator

    found = {}
    for entry in results.study.accelerators:
        base = located(results.file, entry.base)
        try:
            found[entry.name or load_accelerator(base).name] = base
        except InputError:  # the file is gone, or has changed
            found[Path(base).stem] = base
    return found


def has_files(results: Results) -> bool:
    """Return whether the study names files, whose paths start from its folder."""
    study = results.study
    names = [*(entry.model for entry in study.models), *(entry.base for entry in study.accelerators)]
    return any(map(is_file, names)) or any(entry.input for entry in study.models)


def is_file(text: str) -> bool:
    """Return whether what names a model or a config is a file: not a preset, and not one of the zoo.

    >>> is_file("net.py:make"), is_file("mobilenet_v1@0.5-128")
    (True, False)
    """
    return Path(text.partition(":")[0]).suffix in _FILES


def located(file: StudyFile, text: str) -> str:
    """Return a path of a study as one that can be opened; names of presets and of the zoo as they are."""
    return file.path(text) if is_file(text) else text


def setting(name: str, value: object) -> str:
    """Return a value as ``--set`` takes it.

    >>> setting("memory.ideal", True), setting("clock_hz", 1e9), setting("array.rows", 8)
    ('memory.ideal=true', 'clock_hz=1000000000', 'array.rows=8')
    """
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    return f"{name}={int(value) if isinstance(value, float) and value.is_integer() else value}"


def _model(results: Results, name: str) -> ModelEntry:
    """Return the entry of a model in the study, by its name in the results."""
    for entry in results.study.models:
        called = (entry.name,) if entry.name else (entry.model, entry.model.rpartition(":")[2], Path(entry.model).stem)
        if name in called:
            break
    return entry


def _graphs(results: Results) -> Callable[[str, str], OpGraph]:
    """Return what gives the graph of a model with a pattern, as the sweep had it."""

    @cache
    def kept() -> tuple[Space, dict[tuple[int, int], Traced]]:
        space = read_space(results.file)
        return space, trace_all(results.file, space, results.directory / GRAPHS, lambda _: None)

    @cache
    def graph(model: str, weights: str) -> OpGraph:
        space, traced = kept()
        return unpack(traced[space.models.index(model), space.weights.index(weights)].packed)

    return graph


def _simulated(results: Results, point: dict[str, Any], base: str, graph: OpGraph) -> Report:
    from codesign.simulation import simulate

    fixed = ("model", "weights", "target", "dataflow")
    names = [name for name in results.parameters if name not in fixed and point[name] is not None]
    settings = [setting(name, point[name]) for name in names]
    return simulate(graph, base, dataflow=point["dataflow"] or "auto", settings=settings)


def _compact(report: Report) -> dict[str, Any]:
    from codesign.report.timeline import timeline

    events = timeline(report, max_events=0)["traceEvents"]
    tracks = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    ops = list(dict.fromkeys(event["name"] for event in events if event["ph"] == "X"))
    place = {name: at for at, name in enumerate(ops)}
    return {
        "tracks": tracks,
        "ops": [printable(name) for name in ops],
        "cycles": report.total_cycles,
        "events": [[e["tid"], place[e["name"]], e["ts"], e["dur"]] for e in events if e["ph"] == "X"],
    }
