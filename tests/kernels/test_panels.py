"""Panels: they hold the matrix exactly, in the order in which it is used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import pack
from kernels.bands import bands
from kernels.panels import Panels, panels


def rebuilt(layout: Panels, shape: tuple[int, int]) -> np.ndarray:
    """Return the matrix that the panels hold, entry by entry."""
    dense = np.zeros(shape, np.float32)
    for part in range(len(layout.blocks)):
        for panel in range(layout.blocks[part, 0], layout.blocks[part, -1]):
            for entry in range(layout.starts[panel], layout.starts[panel + 1]):
                for r in range(layout.height):
                    row = layout.rows[panel * layout.height + r]
                    column = layout.columns[entry if layout.shared else entry * layout.height + r]
                    dense[row, column] += layout.values[entry * layout.height + r]
    return dense


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 40)),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    pattern=st.sampled_from(["unstructured", "group:3", "block:2x5", "dense", "8:8"]),
    block=st.sampled_from([4, 16, 64]),
    parts=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_panels_hold_the_matrix(
    shape: tuple[int, int], density: float, pattern: str, block: int, parts: int, seed: int
) -> None:
    """Whatever the pattern, blocks and parts, panels hold the packed matrix and nothing else."""
    rng = np.random.default_rng(seed)
    matrix = (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(np.float32)
    held = np.zeros(shape, np.float32)
    for part in bands(pack(matrix, pattern).store, 4):
        slices = 2 if part.height == 1 and len(part) % 2 == 0 else 1
        held += rebuilt(panels(part, shape[1], block, slices, parts), shape)
    assert np.array_equal(held, matrix)


@given(
    count=st.integers(1, 5),
    width=st.integers(1, 20),
    density=st.floats(0, 1),
    seed=st.integers(0, 99),
    height=st.sampled_from([1, 2, 3, 6, 12]),
)
def test_split_bands_hold_the_matrix(count: int, width: int, density: float, seed: int, height: int) -> None:
    """Bands of fewer rows hold the same matrix, each with the columns of the band it is from."""
    rng = np.random.default_rng(seed)
    kept = np.repeat(rng.random((count, width)) < density, 12, axis=0)
    matrix = np.where(kept, rng.uniform(1, 2, kept.shape), 0).astype(np.float32)
    (whole,) = bands(pack(matrix, "group:12").store, 4)
    split = whole.split(height)
    held = np.zeros_like(matrix)
    for rows, first, last in zip(split.rows, split.pointers, split.pointers[1:], strict=False):
        held[np.ix_(rows, split.columns[first:last])] = split.values[first:last].T
    assert split.height == height
    assert np.array_equal(held, matrix)


def test_rows_of_a_block_come_by_length() -> None:
    """Within a block panels get shorter and shorter, so that the end of the inner loop is predictable."""
    rng = np.random.default_rng(1)
    matrix = (rng.standard_normal((64, 100)) * (rng.random((64, 100)) < 0.3)).astype(np.float32)
    layout = panels(bands(pack(matrix).store, 4)[0], 100, 32, 2, 1)
    lengths = np.diff(layout.starts)
    for first, last in zip(layout.blocks[0, :-1], layout.blocks[0, 1:], strict=True):
        assert (np.diff(lengths[first:last]) <= 0).all()
    assert layout.starts[-1] * 2 < 1.1 * np.count_nonzero(matrix)  # little padding


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_share_the_work(parts: int) -> None:
    """Each part has about the same number of entries, and rows of its own."""
    rng = np.random.default_rng(2)
    matrix = (rng.standard_normal((200, 100)) * (rng.random((200, 100)) < np.linspace(0, 1, 200)[:, None])).astype(
        np.float32
    )
    layout = panels(bands(pack(matrix).store, 4)[0], 100, 64, 2, parts)
    work = [layout.starts[blocks[-1]] - layout.starts[blocks[0]] for blocks in layout.blocks]
    assert max(work) < 1.1 * min(work)
    rows = [set(layout.rows[2 * blocks[0] : 2 * blocks[-1]].tolist()) for blocks in layout.blocks]
    assert sum(map(len, rows)) == 200
