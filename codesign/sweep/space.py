"""Space: all points of a study, numbered, with everything checked that can be checked without a model."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from codesign.patterns import parse_pattern
from codesign.sweep.axis import Values, read_values
from codesign.sweep.limits import check_limits, sizes
from codesign.sweep.optimizers import Axis, Grid
from codesign.sweep.study import ModelEntry, StudyFile
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.registry import read_accelerator
from hw_models.base import AcceleratorConfig
from hw_models.cpus import cpu_names, load_cpu
from hw_models.systolic.config import SystolicConfig
from traces.delta_rule import parse_activations
from traces.errors import InputError

#: Objectives that a CPU has; its model knows no energy and no area.
CPU_OBJECTIVES = ("cycles", "time_s", "accuracy")


@dataclass(frozen=True, slots=True)
class Target:
    """An accelerator with what is varied in it (its dataflow is the last), or a CPU, with which nothing is.

    ``base`` is the whole config as plain values, defaults filled in.
    """

    name: str
    kind: Literal["accelerator", "cpu"]
    base: dict[str, Any]
    varied: tuple[Values, ...]

    def config(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config with settings, by dotted name, laid over it."""
        return laid_over(self.base, settings)


@dataclass(frozen=True, slots=True)
class Point:
    """One configuration: indices of target, model and pattern, and the values of what is varied."""

    number: int
    target: int
    model: int
    weights: int
    settings: dict[str, Any]
    dataflow: str | None


@dataclass(frozen=True)
class Space:
    """The joined grids of all targets of a study.

    Targets follow each other; of one target, patterns vary fastest, then models, then the dataflow: neighbours have
    the same machine.

    Attributes
    ----------
    targets
        Accelerators, then CPUs.
    models
        Names of the models in results.
    weights
        Patterns as `codesign.patterns` writes them.
    """

    targets: tuple[Target, ...]
    models: tuple[str, ...]
    weights: tuple[str, ...]

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """What optimisers choose on; the first is the target."""
        axes = [Axis("target", len(self.targets), ordered=False)]
        for at, target in enumerate(self.targets):
            only = at if len(self.targets) > 1 else None
            axes += [Axis(f"{at}:{v.name}", len(v.values), v.ordered, only) for v in target.varied]
        axes.append(Axis("model", len(self.models), ordered=False))
        axes.append(Axis("weights", len(self.weights), ordered=False))
        return tuple(axes)

    @cached_property
    def grid(self) -> Grid:
        """The numbering of the points."""
        return Grid(self.axes)

    def point(self, number: int) -> Point:
        """Return the point of a number."""
        indices = self.grid.point(number)
        at, model, weights = indices[0], indices[-2], indices[-1]
        begin = 1 + sum(len(target.varied) for target in self.targets[:at])
        varied = self.targets[at].varied
        values = {v.name: v.values[i] for v, i in zip(varied, indices[begin : begin + len(varied)], strict=True)}
        return Point(number, at, model, weights, values, values.pop("dataflow", None))

    @cached_property
    def parameters(self) -> dict[str, type]:
        """The columns of what is varied, each with its type: bool, int, float, or str for all else."""
        found: dict[str, list[Any]] = {}
        for target in self.targets:
            for v in target.varied:
                if v.name != "dataflow":
                    found.setdefault(v.name, []).extend(v.values)
        return {name: _type(values) for name, values in found.items()}


def read_space(file: StudyFile) -> Space:
    """Return the space of a study.

    Raises
    ------
    InputError
        If anything in it is wrong, with its path in the file.
    """
    study = file.study
    if not study.accelerators and not study.cpus:
        raise file.error("accelerators", "at least one accelerator, or one of cpus, must be given")
    weights = _patterns(file)
    models = _model_names(file)
    targets = (
        *(_accelerator(file, at) for at in range(len(study.accelerators))),
        *(_cpu(file, at) for at in range(len(study.cpus))),
    )
    for at, target in enumerate(targets):
        section, i = ("accelerators", at) if at < len(study.accelerators) else ("cpus", at - len(study.accelerators))
        if target.name in [other.name for other in targets[:at]]:
            hint = "give one of them a name of its own" if section == "accelerators" else "name it once"
            raise file.error(f"{section}.{i}", f"there are two targets of the name {target.name}; {hint}")
    space = Space(targets, models, weights)
    check_limits(file, [end for target in targets if target.kind == "accelerator" for end in _ends(target)])
    return space


def laid_over(base: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with those of dotted names laid over them; only what changes is copied."""
    values, copied = dict(base), dict[str, dict[str, Any]]()
    for name, value in settings.items():
        at, path = values, ""
        *sections, key = name.split(".")
        for section in sections:
            path += section + "."
            if path not in copied:
                inner = at.get(section, {})
                if not isinstance(inner, dict):
                    raise InputError(f"{section} is a value and has no keys of its own")
                copied[path] = at[section] = dict(inner)
            at = copied[path]
        at[key] = value
    return values


def _accelerator(file: StudyFile, at: int) -> Target:
    entry, path = file.study.accelerators[at], f"accelerators.{at}"
    try:
        config = load_accelerator(file.path(entry.base) if _is_file(entry.base) else entry.base)
    except InputError as error:
        raise file.error(f"{path}.base", error) from None
    base = config.model_dump()
    varied = []
    for name, given in entry.settings.items():
        where = f"{path}.set.{name}"
        try:
            values = read_values(name, given)
        except InputError as error:
            raise file.error(where, error) from None
        checked = tuple(_checked(file, where, base, name, value) for value in values.values)
        # Compared as the config holds them: to a real number, 1 and 1.0 are the same.
        for value, count in Counter(map(repr, checked)).items():
            if count > 1:
                raise file.error(where, f"{value} is given twice; give each value once")
        varied.append(Values(name, checked))
    flows = Values("dataflow", tuple(entry.dataflow))
    _check_dataflows(file, f"{path}.dataflow", flows.values, config, "array.dataflows" in entry.settings)
    return Target(entry.name or config.name, "accelerator", base, (*varied, flows))


def _checked(file: StudyFile, where: str, base: dict[str, Any], name: str, value: object) -> Any:  # noqa: ANN401 (YAML)
    """Return a value as the config holds it, or tell why it can't."""
    if name.partition(".")[0] in ("kind", "name", "description", "sources"):
        raise file.error(where, f"{name} says what a config is and cannot be varied; use another base")
    try:
        at: Any = read_accelerator(laid_over(base, {name: value}), "").model_dump()
    except InputError as error:
        raise file.error(where, str(error).removeprefix(": ")) from None
    for part in name.split("."):
        at = at[part]
    return at


def _check_dataflows(file: StudyFile, path: str, flows: Sequence[str], config: AcceleratorConfig, varied: bool) -> None:
    known = ["auto", *(config.array.dataflows if isinstance(config, SystolicConfig) else ())]
    for at, flow in enumerate(flows):
        if flow in flows[:at]:
            raise file.error(path, f"{flow} is given twice; give each dataflow once")
        if flow not in known and not (varied and flow in ("ws", "os", "is")):
            raise file.must(path, f"of {config.name}'s: {', '.join(known)}", flow)


def _cpu(file: StudyFile, at: int) -> Target:
    name = file.study.cpus[at]
    if not _is_file(name) and name not in cpu_names():
        near = difflib.get_close_matches(name, cpu_names(), n=2, cutoff=0.5)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise file.error(f"cpus.{at}", f"unknown CPU {name!r}; {meant}there are {', '.join(cpu_names())}")
    try:
        config = load_cpu(file.path(name) if _is_file(name) else name)
    except InputError as error:
        raise file.error(f"cpus.{at}", error) from None
    for i, objective in enumerate(file.study.objectives):
        if objective not in CPU_OBJECTIVES:
            raise file.error(
                f"objectives.{i}",
                f"{objective} is not known of a CPU, and the study has the CPU {config.name}; leave out cpus, or take"
                f" objectives of {', '.join(CPU_OBJECTIVES)}",
            )
    for objective in file.study.constraints:
        if objective not in CPU_OBJECTIVES:
            raise file.error(f"constraints.{objective}", f"it is not known of a CPU, and the study has {config.name}")
    return Target(config.name, "cpu", config.model_dump(), ())


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _patterns(file: StudyFile) -> tuple[str, ...]:
    found: list[str] = []
    for at, entry in enumerate(file.study.weights):
        try:
            text = str(parse_pattern(entry.pattern))
        except InputError as error:
            raise file.error(f"weights.{at}", error) from None
        if text in found:
            raise file.error(f"weights.{at}", f"{text} is given twice; give each pattern once")
        found.append(text)
    return tuple(found)


def _model_names(file: StudyFile) -> tuple[str, ...]:
    found: list[str] = []
    for at, entry in enumerate(file.study.models):
        name = entry.name or _short(entry.model)
        if name in found:
            raise file.error(f"models.{at}", f"there are two models of the name {name}; give one a name of its own")
        found.append(name)
        _check_options(file, f"models.{at}", entry)
    return tuple(found)


def _check_options(file: StudyFile, path: str, entry: ModelEntry) -> None:
    """Refuse options of a model that are wrong, or wrong together."""
    if entry.activations is not None and entry.activations != "spikes":
        try:
            parse_activations(entry.activations)
        except InputError as error:
            raise file.error(f"{path}.activations", str(error).removeprefix("--activations ")) from None
        if entry.training:
            raise file.error(f"{path}.training", "must be left out with activations: a step trains on plain values")
    for selector, pattern in entry.rules.items():
        try:
            parse_pattern(pattern)
        except InputError as error:
            raise file.error(f"{path}.rules.{selector}", error) from None
    if file.study.cpus and (entry.activations is not None or entry.training):
        option = "training" if entry.training else "activations"
        raise file.error(f"{path}.{option}", "must be left out with cpus, which run plain inputs; give them a study")


def _short(spec: str) -> str:
    """Return what a model is called: a function's name, a file's stem, or the name in the zoo."""
    if spec.endswith((".csv", ".pt2", ".nir")):
        return Path(spec).stem
    return spec.rpartition(":")[2]


def _ends(target: Target) -> list[dict[str, int]]:
    """Return the sizes of the smallest and of the largest config of a target."""
    varied = [v for v in target.varied if v.name.startswith(("array.", "memory.sram.")) and _type(v.values) is int]
    return [sizes(target.config({v.name: pick(v.values) for v in varied})) for pick in (min, max)]


def _type(values: Iterator[Any] | Sequence[Any]) -> type:
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and kinds <= {bool, int, float}:
        return kinds.pop()
    return float if kinds == {int, float} else str
