"""Limits: what a study asks for at most and at least, and whether anything can keep to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codesign.sweep.study import Limits, Objective, StudyFile

#: Room for the rounding of sums in another order, of a bound on energy.
_ROUNDING = 1e-9


def sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """Return ``pes`` and ``sram_bytes``, those of all buffers, of an accelerator's config as plain values."""
    array, sram = config["array"], config["memory"]["sram"]
    buffers = sram["weight_bytes"] + sram["input_bytes"] + sram["output_bytes"]
    return {"pes": array["rows"] * array["cols"], "sram_bytes": buffers}


def check_limits(file: StudyFile, ends: Sequence[Mapping[str, int]]) -> None:
    """Refuse objectives that have no figures, and constraints that nothing can keep to.

    ``ends`` are the `sizes` of the smallest and the largest config of each accelerator.
    """
    study = file.study
    for at, objective in enumerate(study.objectives):
        if objective in study.objectives[:at]:
            raise file.error(f"objectives.{at}", f"{objective} is given twice; give each objective once")
    given = [entry.accuracy for entry in study.weights]
    if None in given:
        asked = [f"objectives.{study.objectives.index('accuracy')}"] if "accuracy" in study.objectives else []
        asked += ["constraints.accuracy"] if "accuracy" in study.constraints else []
        if asked:
            pattern = study.weights[given.index(None)].pattern
            raise file.error(
                asked[0],
                f"accuracy needs a figure for each pattern, and weights.{given.index(None)} has none; write it as"
                f' {{pattern: "{pattern}", accuracy: 0.7}}',
            )
    known = {"accuracy": [one for one in given if one is not None]}
    if len(study.cpus) == 0:
        known |= {name: [float(end[name]) for end in ends] for name in ("pes", "sram_bytes")}
    for name, limits in study.constraints.items():
        _check(file, f"constraints.{name}", limits, known.get(name, []))


def _check(file: StudyFile, path: str, limits: Limits, known: Sequence[float]) -> None:
    if limits.min is None and limits.max is None:
        raise file.error(path, "min or max must be given")
    if limits.min is not None and limits.max is not None and limits.min > limits.max:
        raise file.error(path, f"min must be at most max, not {limits.min:g} above {limits.max:g}")
    if limits.max is not None and limits.max <= 0:
        raise file.must(f"{path}.max", "above 0, or nothing can keep to it", limits.max)
    if known and limits.max is not None and limits.max < min(known):
        raise file.must(f"{path}.max", f"at least {min(known):g}, the least of all points", limits.max)
    if known and limits.min is not None and limits.min > max(known):
        raise file.must(f"{path}.min", f"at most {max(known):g}, the most of all points", limits.min)


def broken(constraints: Mapping[Objective, Limits], measures: Mapping[str, float | int | None]) -> str | None:
    """Return in words which constraint measures break, None if none; what is not known breaks none."""
    for name, limits in constraints.items():
        value = measures.get(name)
        if value is None:
            continue
        if limits.max is not None and value > limits.max:
            return f"{name} is {value:g}, more than {limits.max:g}"
        if limits.min is not None and value < limits.min:
            return f"{name} is {value:g}, less than {limits.min:g}"
    return None


def surely_broken(
    constraints: Mapping[Objective, Limits], least: Mapping[str, float], known: Mapping[str, float]
) -> str | None:
    """Return which constraint lower bounds and exactly known measures show to be broken, None if none."""
    exact = broken(constraints, known)
    if exact:
        return exact
    for name, limits in constraints.items():
        value = least.get(name)
        if value is not None and limits.max is not None and value * (1 - _ROUNDING) > limits.max:
            return f"{name} is at least {value:g}, more than {limits.max:g}"
    return None
