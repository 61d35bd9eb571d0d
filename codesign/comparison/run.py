"""Run: compare a model on several CPUs, simulated and, where a machine is at hand, measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from codesign.comparison.figures import Row, total
from codesign.comparison.job import Job, at_sparsities, jobs_of
from codesign.comparison.result import Comparison, CpuResult
from codesign.comparison.target import Measured, Simulated, Target
from codesign.comparison.targets import HOST, check_names, make
from codesign.comparison.wasm import ENGINES
from codesign.comparison.zeros import encoded, zero_jobs
from codesign.patterns import Pattern, parse_pattern
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op

if TYPE_CHECKING:
    import torch

CPUS = ("host",)

#: Ops without a kernel that a note names.
_NAMED = 3


def compare(
    model: OpGraph | torch.nn.Module | str,
    inputs: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    *,
    weights: str | Pattern | None = None,
    cpus: Sequence[str] = CPUS,
    sparsities: Sequence[float] | None = None,
    rules: Mapping[str, str | Pattern] | None = None,
    measure: bool = True,
    threads: int = 1,
    batch: int = 1,
    seed: int = 0,
    say: Callable[[str], object] | None = None,
) -> Comparison:
    """Return what sparse weights buy on each CPU, layer by layer and for the whole model.

    Compared are 1x1 convolutions and linear layers, which have sparse kernels; all other ops count with what they take
    dense on both sides. Layers of one shape with equally many weights left are simulated and measured once.

    Parameters
    ----------
    model
        A graph, a torch module with its ``inputs``, or what the command line takes as MODEL.
    inputs
        Example inputs of a torch module.
    weights
        ``unstructured:0.9``, ``group:4:0.7``, ``block:4x4:0.5`` or ``2:4``. None for a graph that was captured on
        changes (`traces.delta.capture_delta`) or spikes (`traces.temporal.fold_time`): compared are then linear and
        recurrent layers that skip inputs which are zero, one vector at a time.
    cpus
        ``host`` (this machine), ``wasm-wasmtime`` and ``wasm-v8`` (engines on it), and names from
        `hw_models.cpus.cpu_names` or paths of such configs.
    sparsities
        Compare at each of these instead of at the pattern's own.
    rules
        Selector to pattern, as in `codesign.sparsify`; without ``sparsities`` only.
    measure
        Whether to measure where that is possible; all measured figures of a layer are taken in turn.
    threads
        Cores of one call on the host.
    batch
        Images, or rows of a linear layer's input, at a time: as often as the model's own.
    seed
        Of weights that the model does not hold, and of activations.
    say
        Told what is done next.

    Raises
    ------
    InputError
        If a name, pattern or number is wrong, nothing in the model has a sparse kernel, or an engine is missing.
    """
    check_names(cpus)
    for what, value in (("--batch", batch), ("--threads", threads)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError.must(what, "a whole number of at least 1", value)
    if weights is None:
        graph = _graph(model, inputs, seed)
        _check_zeros(graph, cpus, sparsities, rules, batch)
        jobs, others, without = zero_jobs(graph)
        asked = f"zeros of inputs ({jobs[0].variants[0].form})"
    else:
        pattern = parse_pattern(weights)
        if rules and sparsities:
            raise InputError("rules must be left out with sparsities: a rule has a sparsity of its own")
        patterns = at_sparsities(pattern, None if sparsities is None else sorted(set(sparsities)))
        graph = _graph(model, inputs, seed)
        jobs, others, without = jobs_of(graph, patterns, rules or {}, batch, seed)
        asked = _asked(pattern, patterns)
    notes = _notes(jobs, others, without)
    results = []
    for name in cpus:
        with closing(make(name, measures=measure, threads=threads, seed=seed)) as target:
            results.append(_on(target, graph, jobs, others, batch, measure, say or (lambda _text: None)))
            notes += [note for note in target.notes if note not in notes]
    if threads > 1 and any(name != HOST for name in cpus):
        notes.append("threads are those of the host; everything else runs on one core")
    return Comparison(graph.name, asked, tuple(results), tuple(notes))


def _check_zeros(
    graph: OpGraph,
    cpus: Sequence[str],
    sparsities: Sequence[float] | None,
    rules: Mapping[str, str | Pattern] | None,
    batch: int,
) -> None:
    """Refuse what cannot be compared by zeros of inputs."""
    if not encoded(graph):
        hint = "for zeros of inputs it must be captured on changes or spikes: --activations delta:THRESHOLD or spikes"
        raise InputError(f"weights must be given with {graph.name}, a pattern such as unstructured:0.9; {hint}")
    if sparsities or rules or batch > 1:
        raise InputError("sparsities, rules and batch must be left out with activations: their zeros are what they are")
    engines = [name for name in cpus if name in ENGINES]
    if engines:
        raise InputError(
            f"{engines[0]} has no dense product with one vector to compare updates with; take host or a core of"
            " `codesign cpus`"
        )


def _graph(
    model: OpGraph | torch.nn.Module | str, inputs: torch.Tensor | tuple[torch.Tensor, ...] | None, seed: int
) -> OpGraph:
    if isinstance(model, OpGraph):
        return model
    if isinstance(model, str):
        from traces.load import load_model

        return load_model(model, seed=seed)
    from traces.frontend.export import trace

    if inputs is None:
        raise InputError("inputs must be given with a torch module: example inputs to trace it on")
    return trace(model, *(inputs if isinstance(inputs, tuple) else (inputs,)))


def _asked(pattern: Pattern, patterns: Sequence[Pattern]) -> str:
    if len(patterns) == 1:
        return str(patterns[0])
    return f"{str(pattern).rpartition(':')[0]} at {', '.join(f'{1 - one.density:.0%}' for one in patterns)}"


def _on(
    target: Target,
    graph: OpGraph,
    jobs: Sequence[Job],
    others: Sequence[Op],
    batch: int,
    measure: bool,
    say: Callable[[str], object],
) -> CpuResult:
    """Return the result of one target."""
    say(f"{target.name}: simulating what stays dense")
    rest = batch * target.others(graph, others)
    rows: list[Row] = []
    for number, job in enumerate(jobs, 1):
        step = f"{target.name}: {job.name} ({number} of {len(jobs)})"
        say(step)
        dense, sparse = target.dense(job), [target.sparse(job, variant) for variant in job.variants]
        measured = None
        if measure and target.measures:
            say(f"{step}, measuring")
            measured = target.measure(job)
        rows += [_row(job, at, dense, sparse[at], measured) for at in range(len(job.variants))]
    names = dict.fromkeys(row.pattern for row in rows) if len({len(job.variants) for job in jobs}) == 1 else {}
    groups = [[row for row in rows if row.pattern == name] for name in names]
    if sum(len({row.layer for row in group}) == len(jobs) for group in groups) != len(groups):
        groups = [rows]  # layers have patterns of their own: one sum over all
    totals = [total(group, rest, target.clock_hz) for group in groups or [rows]]
    return CpuResult(target.name, target.description, target.clock_hz, tuple(rows), tuple(totals))


def _row(job: Job, at: int, dense: Simulated, sparse: Simulated, measured: Measured | None) -> Row:
    variant = job.variants[at]
    m, k, columns = job.shape
    simulated = dense.cycles / sparse.cycles
    row = {
        "layer": job.layers[0], "count": len(job.layers) * job.times, "m": m, "k": k, "columns": columns,
        "pattern": variant.pattern, "sparsity": variant.sparsity,
        "density": float(np.count_nonzero(variant.weight)) / variant.weight.size,
        "dense_cycles": dense.cycles, "sparse_cycles": sparse.cycles, "simulated_speedup": simulated,
        "dense_kernel": dense.kernel, "bound_by": sparse.bound_by,
    }  # fmt: skip
    if measured is not None:
        seconds = measured.sparse_s[at]
        speedup = measured.dense_s / seconds
        row |= {
            "dense_seconds": measured.dense_s, "sparse_seconds": seconds, "measured_speedup": speedup,
            "baseline": measured.baseline, "ratio": simulated / speedup,
            "eager_speedup": None if measured.eager_s is None else measured.eager_s / seconds,
        }  # fmt: skip
    return Row(**row)  # type: ignore[arg-type]  # the keys above are the fields


def _notes(jobs: Sequence[Job], others: Sequence[Op], without: Sequence[str]) -> list[str]:
    """Say what is compared and what is not."""
    layers = sum(len(job.layers) for job in jobs)
    heavy = sum(op.gemm is not None for op in others)
    notes = [
        f"{layers} layers ({len(jobs)} shapes) have sparse kernels; the model's figures count {heavy} other products"
        " and everything else dense on both sides, with simulated times"
    ]
    if any(job.shape[2] == 1 for job in jobs):
        notes.append("products with one vector take their weights from memory, as in a model that no cache holds")
    if without:
        named = ", ".join(without[:_NAMED]) + (f" and {len(without) - _NAMED} more" if len(without) > _NAMED else "")
        notes.append(
            f"without a sparse kernel, so dense: {named}; what has kernels is 1x1 convolutions and linear layers"
        )
    return notes
