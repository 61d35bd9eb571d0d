"""Rules: which op gets which pattern."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import networkx as nx

from codesign.patterns import Pattern, parse_pattern
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op


def weighted(graph: OpGraph) -> Iterator[tuple[Op, str, Gemm]]:
    """Yield the ops whose operand W is a parameter, each with its weight key and loop nest."""
    for op in graph:
        if op.weight is not None and op.gemm is not None:
            yield op, op.weight, op.gemm


def assign(
    graph: OpGraph, pattern: str | Pattern, rules: Mapping[str, str | Pattern] | None = None
) -> dict[str, Pattern]:
    """Return the pattern of each op with weights, by op name; an op that is absent stays as it is.

    The pattern goes to every op that has a parameter W, but by default not to the first convolution, to
    depthwise convolutions or to the classifier, nor to an op that shares its weights with one of them.
    Attention products have no parameter and never get one. Rules come after, in their order: the last that
    selects an op decides.

    Parameters
    ----------
    graph
        The traced model.
    pattern
        A pattern or its text, for all that the rules leave open.
    rules
        Selector to pattern. A selector is an op name, a glob on op names (``layer1.*``; ``*`` is every op),
        ``kind:KIND`` (``kind:depthwise``), ``first_conv`` or ``classifier``.

    Raises
    ------
    InputError
        If a pattern cannot be read, or a rule selects no op with weights.
    """
    ops = {op.name: op for op, _, _ in weighted(graph)}
    exempt = {op.weight for op in ops.values() if op.kind == "depthwise"}
    exempt |= {ops[name].weight for name in _special(graph, ops).values()}
    everywhere = parse_pattern(pattern)
    chosen = {name: everywhere for name, op in ops.items() if op.weight not in exempt}
    for selector, wanted in (rules or {}).items():
        selected = _select(selector, graph, ops)
        if not selected:
            raise _no_match(selector, graph, ops)
        chosen |= dict.fromkeys(selected, parse_pattern(wanted))
    return {name: chosen[name] for name in ops if name in chosen}


def _select(selector: str, graph: OpGraph, ops: Mapping[str, Op]) -> list[str]:
    if selector.startswith("kind:"):
        return [name for name, op in ops.items() if op.kind == selector.removeprefix("kind:")]
    # An op may itself be called "classifier": the name then selects both.
    special = _special(graph, ops).get(selector)
    return [name for name in ops if name in (special, selector) or fnmatchcase(name, selector)]


def _special(graph: OpGraph, ops: Mapping[str, Op]) -> dict[str, str]:
    """Name the ops that are known by their part in the model."""
    parts = {"first_conv": _first_conv(ops), "classifier": _classifier(graph, ops)}
    return {part: name for part, name in parts.items() if name is not None}


def _first_conv(ops: Mapping[str, Op]) -> str | None:
    return next((name for name, op in ops.items() if op.kind == "conv"), None)


def _classifier(graph: OpGraph, ops: Mapping[str, Op]) -> str | None:
    """Return the last linear op, unless the MAC array works on its output: then the model has no classifier."""
    last = next((op.name for op in reversed(list(ops.values())) if op.kind == "linear"), None)
    if last is None or any(graph[name].gemm for name in nx.descendants(graph.dag, last)):
        return None
    return last


def _no_match(selector: str, graph: OpGraph, ops: Mapping[str, Op]) -> InputError:
    known = [*ops, *{f"kind:{op.kind}": None for op in ops.values()}, *_special(graph, ops)]
    near = difflib.get_close_matches(selector, known, n=3, cutoff=0.5) or known[:3]
    hint = f"near are {', '.join(near)}" if near else f"{graph.name} has no op with weights"
    rule = "a name, glob or kind that selects at least one op with weights"
    return InputError.must("a sparsity rule", rule, selector, hint)
