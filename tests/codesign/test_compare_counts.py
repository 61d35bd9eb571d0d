"""What the host's model counts is what the kernels do: against the plan, and against a walk in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.comparison.host_counts import sparse_counts
from codesign.comparison.panel_lines import Matrices, Memory, fills, tiles_of
from codesign.comparison.vector import vector_counts
from hw_models.cpus import load_cpu
from kernels import machine, pack, plan
from kernels.bands import bands
from kernels.bench.prune import prune
from kernels.panels import Panels, panels

CPU = load_cpu("zen4")
PATTERNS = ("unstructured", "group:4", "block:8x2", "2:4")


def weights(rows: int, width: int, pattern: str, sparsity: float) -> np.ndarray:
    """Return seeded weights, pruned."""
    matrix = np.random.default_rng(0).standard_normal((rows, width), np.float32)
    return matrix if pattern == "dense" else prune(matrix, pattern, sparsity)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("columns", [49, 64, 196])
def test_multiply_adds_are_at_least_the_work(pattern: str, columns: int) -> None:
    """Multiply-adds times lanes cover every weight left and every column; padding adds little."""
    packed = pack(weights(96, 128, pattern, 0.5), pattern)
    counts = sparse_counts(packed, columns, CPU)
    lanes = machine.vector_lanes()
    full = counts["fma"] * lanes + counts["rest"] * 4
    work = packed.nonzeros * columns
    assert work <= full <= 1.5 * work
    assert counts["load"] <= counts["fma"]


def test_dense_counts_are_the_product() -> None:
    """Of a dense matrix whose sizes fill all tiles exactly, multiply-adds times lanes are M * K * N."""
    counts = sparse_counts(pack(weights(64, 128, "dense", 0), "dense"), 16 * 24, CPU)
    assert counts["fma"] * machine.vector_lanes() == 64 * 128 * 16 * 24
    assert counts["rest"] == 0


@given(
    rows=st.integers(1, 12), width=st.integers(1, 40), columns=st.integers(1, 70), kept=st.floats(0.05, 1),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_lines_are_those_of_the_kernel(rows: int, width: int, columns: int, kept: float, seed: int) -> None:
    """In caches that lose nothing, the lines filled are the distinct ones that a walk over the panels touches."""
    random = np.random.default_rng(seed)
    matrix = np.where(random.random((rows, width)) < kept, 1, 0).astype(np.float32)
    part = bands(pack(matrix, "unstructured").store, 4)[0]
    best = plan.plan(plan.Problem(len(part), part.height, width, len(part.columns), columns))
    whole = len(part) - len(part) % best.slices
    if not whole:
        return
    one = panels(part.cut(0, whole), width, best.block, best.slices, 1)
    places = Matrices(rows, width, columns)
    for strip in best.strips:
        memory = Memory(CPU, places, 0)
        before = memory.caches.run(np.array(sorted(touched(one, strip, best.lanes, places)), np.int64) * 2)
        again = fills(one, strip, best.lanes, memory)
        assert before.accesses > 0
        assert again[:3].sum() == 0, "everything that the kernel touches was there already"


def touched(one: Panels, strip: plan.Strip, lanes: int, places: Matrices) -> set[int]:
    """Return the lines that the kernel touches, by the words of `kernels.strips`."""
    lines = set()
    size = 8 * one.height
    across = -(-strip.vectors * lanes // 16)
    for tile in range(tiles_of(strip, lanes)):
        at = (strip.first + tile * strip.vectors * lanes) // 16
        for row in one.rows:
            lines |= {places.y + at + int(row) * places.stride + t for t in range(across)}
        for column in one.columns:
            lines |= {places.x + at + int(column) * places.stride + t for t in range(across)}
    return lines | {places.weights + entry * size // 64 for entry in range(int(one.starts[-1]))}


def test_vector_reads_what_is_kept() -> None:
    """A product with one vector reads fewer lines the sparser its weights are; a group's index is shared."""
    dense = vector_counts(pack(weights(256, 256, "dense", 0), "dense"), CPU)
    assert dense["line"] == 256 * 256 * 4 / 64
    half = vector_counts(pack(weights(256, 256, "unstructured", 0.5), "unstructured"), CPU)
    assert half["line"] == pytest.approx(dense["line"] / 2 * 1.5)
    group = vector_counts(pack(weights(256, 256, "group:4", 0.5), "group:4"), CPU)
    assert group["gather"] == half["gather"] / 4
