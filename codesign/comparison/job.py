"""Job: one product of a model that has a sparse kernel, with its weights pruned in every way that is compared."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from codesign.patterns import NM, Block, Dense, Group, Pattern, Unstructured
from codesign.rules import assign, weighted
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op

Array = NDArray[np.float32]

#: Patterns that the kernels have, as users write them.
FORMS = ("unstructured:0.9", "group:4:0.7", "block:4x4:0.5", "2:4")


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """Weights of one pattern at one sparsity.

    Attributes
    ----------
    pattern
        As a user writes it: ``unstructured:0.9``.
    form
        As `kernels.pack` takes it: ``unstructured``.
    sparsity
        The share of weights that the pattern removes.
    weight
        float32 (M, K), zeros included.
    inputs
        Where the zeros are in the inputs instead (``delta`` or ``spikes``): bool (vectors, K), true where an input
        changed or spiked.
    """

    pattern: str
    form: str
    sparsity: float
    weight: Array
    inputs: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A product of weights (M, K) with activations (K, columns): a 1x1 convolution, or a linear layer.

    Attributes
    ----------
    layers
        Names of the ops that it stands for, of one shape and with equally many weights left: one is looked at.
    shape
        (M, K, columns).
    image
        (batch, height, width) of a convolution's output; None for a linear layer.
    weight
        float32 (M, K), nothing removed.
    variants
        The weights to compare with, by rising sparsity.
    times
        How often a layer computes it: once, or once for each vector of a sequence.
    """

    layers: tuple[str, ...]
    shape: tuple[int, int, int]
    image: tuple[int, int, int] | None
    weight: Array
    variants: tuple[Variant, ...]
    times: int = 1

    @property
    def name(self) -> str:
        """The first layer's name, and how many more there are."""
        more = len(self.layers) - 1
        return self.layers[0] + f" and {more} alike" * bool(more)


def form_of(pattern: Pattern) -> str:
    """Return the pattern in the words of `kernels.pack`.

    Raises
    ------
    InputError
        If no kernel takes it.
    """
    match pattern:
        case Unstructured():
            return "unstructured"
        case Group(size=size):
            return f"group:{size}"
        case Block(rows=rows, cols=cols):
            return f"block:{rows}x{cols}"
        case NM(n=n, m=m):
            return f"{n}:{m}"
    raise InputError.must("a pattern to compare", f"one that a kernel takes: {', '.join(FORMS)}", str(pattern))


def at_sparsities(pattern: Pattern, sparsities: Sequence[float] | None) -> list[Pattern]:
    """Return a pattern at each sparsity; as it is if none are asked for.

    Raises
    ------
    InputError
        If a sparsity is out of range, or the pattern has one of its own.
    """
    form_of(pattern)
    if not sparsities:
        return [pattern]
    match pattern:
        case Unstructured():
            return [Unstructured(one) for one in sparsities]
        case Group(size=size):
            return [Group(size, one) for one in sparsities]
        case Block(rows=rows, cols=cols):
            return [Block(rows, cols, one) for one in sparsities]
    raise InputError(f"--sparsities must be left out with {pattern}: an N:M pattern has a sparsity of its own")


def jobs_of(
    graph: OpGraph, patterns: Sequence[Pattern], rules: Mapping[str, str | Pattern], batch: int, seed: int
) -> tuple[list[Job], list[Op], list[str]]:
    """Return what is compared, the ops that are not, and the names of those that lose weights but have no kernel.

    Weights that are not in memory are drawn from a normal distribution, seeded by the op's name.

    Raises
    ------
    InputError
        If no op has both weights to remove and a sparse kernel.
    """
    chosen = [assign(graph, pattern, rules) for pattern in patterns]
    jobs: dict[object, Job] = {}
    taken: set[str] = set()
    without: list[str] = []
    for op, key, gemm in weighted(graph):
        own = [one[op.name] for one in chosen if not isinstance(one.get(op.name, Dense()), Dense)]
        if not own:
            continue
        if not has_kernel(op, gemm):
            without.append(op.name)
            continue
        taken.add(op.name)
        weight = graph.weights.get(key)
        whole = weight if weight is not None else _drawn(op.name, gemm, seed)
        variants = tuple(_variant(pattern, whole, gemm.channels) for pattern in own)
        left = tuple(int(np.count_nonzero(one.weight)) for one in variants)
        shape = gemm.n, gemm.k, gemm.m * batch
        image = (gemm.batch * batch, gemm.out_h, gemm.out_w) if op.kind == "conv" else None
        like = shape, image, left, tuple(one.pattern for one in variants)
        known = jobs.get(like)
        if known is not None:
            jobs[like] = replace(known, layers=(*known.layers, op.name))
        else:
            jobs[like] = Job((op.name,), shape, image, whole[0], variants)
    if not jobs:
        rule = "a model with 1x1 convolutions or linear layers that lose weights"
        hint = "the first convolution and the classifier stay dense unless a rule says otherwise: --rule '*=2:4'"
        raise InputError.must("MODEL", rule, graph.name, hint)
    return list(jobs.values()), [op for op in graph if op.name not in taken], without


def has_kernel(op: Op, gemm: Gemm) -> bool:
    """Tell whether sparse weights of an op have a kernel: it is a product of two matrices and no more."""
    plain = gemm.kernel_h * gemm.kernel_w * gemm.groups == 1 and gemm.pad_h == gemm.pad_w == 0
    return plain and op.kind in ("conv", "linear")


def _variant(pattern: Pattern, weight: Array, run: int) -> Variant:
    kept = np.where(pattern.mask(weight, run), weight, np.float32(0))[0]
    return Variant(str(pattern), form_of(pattern), float(round(1 - pattern.density, 6)), kept)


def _drawn(name: str, gemm: Gemm, seed: int) -> Array:
    random = np.random.default_rng((seed, zlib.crc32(name.encode())))
    return random.standard_normal((1, gemm.n, gemm.k), np.float32)
