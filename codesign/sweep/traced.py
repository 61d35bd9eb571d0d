"""Traced: a model with a pattern, traced and captured once, as bytes that any worker can read without torch.

Of tensors only the places of their zeros are kept, a bit each: that is all that a simulation asks for.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from codesign.sweep.point import code_version
from codesign.sweep.space import Space
from codesign.sweep.study import ModelEntry, StudyFile
from traces.bitmap import Bitmap
from traces.delta_rule import parse_activations
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork


@dataclass(frozen=True, slots=True)
class Traced:
    """The bytes of a graph and their digest."""

    digest: str
    packed: bytes


def pack(graph: OpGraph) -> Traced:
    """Return a graph as bytes, without its program; equal graphs give equal bytes."""
    weights = {key: Bitmap.of(values) for key, values in sorted(graph.weights.items())}
    maps = [*weights.values(), *(one for name in sorted(graph.operands) for one in graph.operands[name])]
    head = {
        "name": graph.name,
        "ops": [asdict(op) for op in graph],
        "edges": sorted(graph.dag.edges),
        "patterns": dict(sorted(graph.patterns.items())),
        "weights": list(weights),
        "operands": {name: len(graph.operands[name]) for name in sorted(graph.operands)},
        "maps": [[list(one.shape), one.binary] for one in maps],
    }
    said = json.dumps(head).encode()
    packed = b"".join([struct.pack("<Q", len(said)), said, *(one.packed.tobytes() for one in maps)])
    return Traced(hashlib.sha256(packed).hexdigest(), packed)


def unpack(packed: bytes, dtype: type[np.bool_] | type[np.float32] = np.bool_) -> OpGraph:
    """Return the graph of `pack`, its weights 1 where they were not zero.

    As booleans they take a quarter of the memory; what compares them with 0 sees no difference.
    """
    (length,) = struct.unpack_from("<Q", packed)
    head: dict[str, Any] = json.loads(packed[8 : 8 + length])
    at, maps = 8 + length, []
    for shape, binary in head["maps"]:
        size = -(-int(np.prod(shape, dtype=np.int64)) // 8)
        maps.append(Bitmap(tuple(shape), np.frombuffer(packed, np.uint8, size, at), binary))
        at += size
    taken = iter(maps)
    weights = {key: cast("NDArray[np.float32]", next(taken).unpack().astype(dtype)) for key in head["weights"]}
    operands = {name: tuple(next(taken) for _ in range(count)) for name, count in head["operands"].items()}
    graph = OpGraph.of(head["name"], ops_of(packed), [(a, b) for a, b in head["edges"]])
    return graph.with_weights(weights, head["patterns"]).with_operands(operands)


def ops_of(packed: bytes) -> list[Op]:
    """Return the ops of a packed graph."""
    (length,) = struct.unpack_from("<Q", packed)
    return [_op(values) for values in json.loads(packed[8 : 8 + length])["ops"]]


def patterns_of(packed: bytes) -> dict[str, str]:
    """Return the patterns of a packed graph by op."""
    (length,) = struct.unpack_from("<Q", packed)
    return dict(json.loads(packed[8 : 8 + length])["patterns"])


def trace_all(
    file: StudyFile, space: Space, folder: Path, say: Callable[[str], object]
) -> dict[tuple[int, int], Traced]:
    """Trace each model with each pattern, by their indices; what an earlier run kept in the folder is taken from there.

    A model of Python code is always traced anew: what its code imports cannot be told from its name.

    Raises
    ------
    InputError
        If a model cannot be had, or a pattern not applied to it, with its path in the study.
    """
    found: dict[tuple[int, int], Traced] = {}
    for m, entry in enumerate(file.study.models):
        graph: OpGraph | None = None
        for w, pattern in enumerate(space.weights):
            kept = _kept(folder, file, entry, pattern)
            if kept is not None and kept.exists():
                packed = kept.read_bytes()
                found[m, w] = Traced(hashlib.sha256(packed).hexdigest(), packed)
                continue
            if graph is None:
                say(f"reading {entry.model}")
                graph = _load(file, m, entry)
            say(f"running {space.models[m]} with {pattern} weights")
            found[m, w] = pack(_sparse(file, m, w, graph, pattern))
            if kept is not None:
                _write(kept, found[m, w].packed)
    return found


def _load(file: StudyFile, at: int, entry: ModelEntry) -> OpGraph:
    from traces.load import load_model

    given = None if entry.input is None else Path(file.path(entry.input))
    sequence = entry.activations is not None and entry.activations != "spikes"
    try:
        return load_model(_located(file, entry.model), input_path=given, seed=file.study.seed, sequence=sequence)
    except InputError as error:
        raise file.error(f"models.{at}", error) from None


def _sparse(file: StudyFile, m: int, w: int, graph: OpGraph, pattern: str) -> OpGraph:
    """Return the graph pruned, with the zeros of its activations."""
    from codesign.sparsification import sparsify

    entry = file.study.models[m]
    try:
        graph = sparsify(graph, pattern, rules=entry.rules)
    except InputError as error:
        raise file.error(f"weights.{w} on models.{m}", error) from None
    try:
        graph = _captured(file, entry, graph)
        if entry.training:
            from codesign.training import training_step

            graph = training_step(graph)
    except InputError as error:
        raise file.error(f"models.{m}", error) from None
    return graph


def _captured(file: StudyFile, entry: ModelEntry, graph: OpGraph) -> OpGraph:
    """Return the graph with the zeros that its inputs give, or those of what changes in them."""
    if entry.activations is not None and entry.activations != "spikes":
        from traces.delta import capture_delta
        from traces.input_file import read_inputs

        inputs = () if entry.input is None else read_inputs(Path(file.path(entry.input)))
        return capture_delta(graph, *inputs, threshold=parse_activations(entry.activations))
    runs = graph.program is not None and graph.program.example_inputs is not None
    if entry.activations == "spikes":
        from traces.temporal import check_spikes

        if graph.program is None or graph.program.example_inputs is None:
            raise InputError(f"activations: spikes needs a model that can be run; {graph.name} has only shapes")
        check_spikes(graph.program.example_inputs)
    if runs:
        from traces.capture import capture

        graph = capture(graph)
    return graph


def _located(file: StudyFile, spec: str) -> str:
    """Return what names a model, its file relative to the study's folder."""
    source, colon, name = spec.rpartition(":")
    if source.endswith(".py"):
        return file.path(source) + colon + name
    return file.path(spec) if spec.endswith((".csv", ".pt2", ".nir", ".py")) else spec


def _kept(folder: Path, file: StudyFile, entry: ModelEntry, pattern: str) -> Path | None:
    """Return where a traced model is kept; None where its source cannot be told."""
    from traces import zoo

    said: list[bytes | str] = [entry.model_dump_json(), pattern, str(file.study.seed), code_version(), _torch_version()]
    files = [entry.input] if entry.input else []
    if entry.model.endswith((".csv", ".pt2", ".nir")):
        files.append(entry.model)
    elif zoo.find(entry.model) is None:
        return None
    for name in files:
        path = Path(file.path(name))
        if not path.is_file():
            return None  # loading will tell
        said.append(path.read_bytes())
    digest = hashlib.sha256()
    for part in said:
        digest.update((part.encode() if isinstance(part, str) else part) + b"\0")
    return folder / f"{digest.hexdigest()}.graph"


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch")


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; free some space and give the same command again"
        ) from None


def _op(values: Mapping[str, Any]) -> Op:
    gemm, vector = values["gemm"], values["vector"]
    rest = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Op(**rest | {"gemm": gemm and Gemm(**gemm), "vector": vector and VectorWork(**vector)})
