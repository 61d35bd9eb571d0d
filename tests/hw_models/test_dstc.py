"""DSTC follows the published trend, and the cycles of slow and obvious code, from real zeros."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.validation.tensor_core import anchors
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.dstc import Dstc, chunks, pipeline
from hw_models.accelerators.tensor_core import fetch_cycles
from hw_models.pipeline import compiled, simpy_engine
from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

SMALL = (
    "array.rows=8", "array.cols=3", "dstc.units=4", "dstc.vector=6", "dstc.depth=3", "dstc.smem_bytes_per_cycle=4",
)  # fmt: skip
DENSITIES = {
    (0.9, 1.0): 0.904,
    (0.7, 1.0): 0.717,
    (0.5, 1.0): 0.585,
    (0.3, 1.0): 0.420,
    (1.0, 0.4): 0.543,
    (0.5, 0.4): 0.322,
    (0.3, 0.4): 0.239,
}


def core(*changes: str) -> Dstc:
    """Return the accelerator."""
    return load_accelerator("dstc", changes).accelerator()


def linear(inputs: np.ndarray, weights: np.ndarray) -> Workload:
    """Return the product of I (m, k) and W (n, k) with these zeros."""
    op = Op(name="product", kind="linear", gemm=Gemm.matmul(len(inputs), *weights.shape), weight="w")
    return Workload(op, weights[None], (Bitmap.of(inputs),))


def draw(m: int, n: int, k: int, i_density: float, w_density: float, seed: int) -> Workload:
    """Return a product with zeros at random."""
    generator = np.random.default_rng(seed)
    return linear(generator.random((m, k)) < i_density, generator.random((n, k)) < w_density)


def tile_bits(matrix: np.ndarray) -> int:
    """Return the bits of one tile: 8 a non-zero, a bitmap unless empty, and the bit that says which."""
    return 1 + (8 * int(matrix.sum()) + matrix.size if matrix.any() else 0)


def obvious_cycles(inputs: np.ndarray, weights: np.ndarray) -> int:
    """Return what the small machine takes, event by event in plain loops, with the best layout of its units."""
    vector, depth, units, port = 6, 3, 4, 4
    (m, k), n, best = inputs.shape, len(weights), []
    for down in (1, 2, 4):
        wide = units // down
        fetched, ended = 0, [[0, 0] for _ in range(units)]
        first = True
        for top in range(0, m, down * vector):
            for left in range(0, n, wide * vector):
                for at in range(0, k, depth):
                    rows = [inputs[top + i * vector :][:vector][:, at : at + depth] for i in range(down)]
                    cols = [weights[left + j * vector :][:vector][:, at : at + depth] for j in range(wide)]
                    # A tile beyond the edge of the matrix does not exist.
                    there = [t for t in rows if len(t)] + [t for t in cols if len(t)]
                    bits = sum(tile_bits(tile) for tile in there)
                    # The port serves the next chunk when the slowest unit has worked off the last but one.
                    fetched = max(fetched, *(ends[-2] for ends in ended)) + (0 if first else -(-bits // (8 * port)))
                    first = False
                    for i, row in enumerate(rows):
                        for j, col in enumerate(cols):
                            work = sum(
                                -(-int(row[:, x].sum()) // 2) * -(-int(col[:, x].sum()) // 3)
                                for x in range(row.shape[1] if len(row) and len(col) else 0)
                            )
                            ends = ended[i * wide + j]
                            ends.append(max(ends[-1], fetched) + work)
        best.append(max(ends[-1] for ends in ended))
    return min(best)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 10), st.sampled_from([0.1, 0.5, 1.0]),
    st.sampled_from([0.1, 0.5, 1.0]), st.integers(0, 99),
)  # fmt: skip
def test_cycles_are_those_of_plain_loops(m: int, n: int, k: int, i_density: float, w_density: float, seed: int) -> None:
    """Steps, bits and cycles equal an independent computation in loops; MACs are conserved, none gated."""
    work = draw(m, n, k, i_density, w_density, seed)
    inputs, weights = work.inputs(0), work.weights[0]
    cost = core(*SMALL).cost(work)
    assert cost.cycles == obvious_cycles(inputs, weights)
    assert cost.effectual == (inputs[:, :, None] & weights.T[None]).sum()
    assert cost.effectual + cost.skipped == m * n * k
    assert cost.gated == 0


def test_layers_follow_the_study() -> None:
    """Over the eight cells of the study's two layers the mean error is within 10 % and the order is exact."""
    found = [anchor for anchor in anchors_of_layers() if anchor.name.startswith("dstc")]
    assert len(found) == 8
    assert np.mean([abs(anchor.error) for anchor in found]) < 0.10
    assert np.argsort([anchor.ours for anchor in found]).tolist() == np.argsort([a.reference for a in found]).tolist()


def anchors_of_layers() -> list:
    """Return the anchors of the two layers, which come before those of 4096^3."""
    stream = anchors(None)
    return [next(stream) for _ in range(40)]


def test_density_pairs_follow_the_trend() -> None:
    """Latency over dense by the densities of both operands: order exact, mean error within 10 %; A*B is far off."""
    size = 1024
    latencies = [core().cost(draw(size, size, size, *pair, 0)).cycles * 1024 / size**3 for pair in DENSITIES]
    references = list(DENSITIES.values())
    assert np.argsort(latencies).tolist() == np.argsort(references).tolist()
    assert np.mean(np.abs(np.divide(latencies, references) - 1)) < 0.10
    assert np.mean(np.abs(np.divide([i * w for i, w in DENSITIES], references) - 1)) > 0.15


def test_dense_operands_cost_what_dense_cores_take() -> None:
    """Without a zero every cycle does all 1,024 MACs; bitmaps cross the port and do not slow it."""
    cost = core().cost(draw(256, 256, 256, 1.0, 1.0, 0))
    assert cost.cycles == 256**3 // 1024
    assert cost.waits == {"operand bandwidth": 0, "imbalance": 0}
    assert cost.sram_bytes["metadata"] > 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_more_zeros_are_never_slower(m: int, n: int, k: int, seed: int) -> None:
    """Zeros added to either operand never cost a cycle."""
    generator = np.random.default_rng(seed)
    inputs, weights = generator.random((m, k)) < 0.8, generator.random((n, k)) < 0.8
    fewer_i, fewer_w = inputs & (generator.random((m, k)) < 0.8), weights & (generator.random((n, k)) < 0.8)
    before = core(*SMALL).cost(linear(inputs, weights)).cycles
    assert core(*SMALL).cost(linear(fewer_i, weights)).cycles <= before
    assert core(*SMALL).cost(linear(inputs, fewer_w)).cycles <= before


def test_port_binds_where_both_are_sparse() -> None:
    """What is read falls with one density and what is multiplied with two, so sparse products wait for the port."""
    work = draw(256, 256, 512, 0.3, 0.4, 1)
    cost, wide = core().cost(work), core("dstc.smem_bytes_per_cycle=84").cost(work)
    assert (cost.bound_by, wide.bound_by) == ("operand bandwidth", "outer products")
    assert wide.waits["operand bandwidth"] < 0.1 * cost.waits["operand bandwidth"]
    assert core().cost(draw(256, 256, 512, 0.9, 0.9, 1)).bound_by == "outer products"


def test_executors_agree() -> None:
    """SimPy and the compiled executor serve every chunk on every unit in the same cycles."""
    machine, work = core(*SMALL), draw(20, 14, 9, 0.5, 0.6, 3)
    sides = machine.sides(work)
    down, run = machine.fastest(sides)
    of_input, of_weight = sides
    across, along = machine.reads(sides, down)
    bits = of_input.data + of_input.metadata, of_weight.data + of_weight.metadata
    service, fetched = chunks(of_input.steps, of_weight.steps, *bits, np.arange(along), along, across, down, 4)
    built = pipeline(fetch_cycles(fetched, 4), service)
    fast, slow = compiled.run(built), simpy_engine.run(built)
    assert {name: ends.tolist() for name, ends in fast.end_cycles.items()} == {
        name: ends.tolist() for name, ends in slow.end_cycles.items()
    }
    assert fast.total_cycles == run.cycles


def test_long_ops_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An op run band by band differs from one run whole by what bands overlap, and moves the same bytes."""
    machine, work = core(*SMALL), draw(60, 20, 12, 0.5, 0.6, 3)
    whole = machine.cost(work)
    monkeypatch.setattr("hw_models.accelerators.dstc.MOST_TOKENS", 1)
    parts = machine.cost(work)
    assert parts.sram_bytes == whole.sram_bytes
    assert abs(parts.cycles / whole.cycles - 1) < 0.2


def test_timesteps_and_groups_have_their_own_products() -> None:
    """Three timesteps of one W take three times one, and two groups with the same zeros twice."""
    generator = np.random.default_rng(5)
    inputs, weights = generator.random((4, 10)) < 0.5, generator.random((7, 10)) < 0.5
    one = core(*SMALL).cost(linear(inputs, weights))
    op = Op(name="r", kind="recurrent", gemm=Gemm.matmul(12, 7, 10), weight="w", timesteps=3)
    three = core(*SMALL).cost(Workload(op, weights[None], (Bitmap.of(np.tile(inputs, (3, 1))),)))
    assert three.effectual == 3 * one.effectual
    assert three.sram_bytes["weight"] == 3 * one.sram_bytes["weight"]
    grouped = Op(name="g", kind="linear", gemm=Gemm.matmul(4, 7, 10, groups=2), weight="w")
    two = core(*SMALL).cost(Workload(grouped, np.stack([weights] * 2), (Bitmap.of(np.stack([inputs] * 2)),)))
    assert two.effectual == 2 * one.effectual
    assert one.cycles < two.cycles < three.cycles


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("dstc.units=7", "dstc.units must be a divisor of array.rows = 64, not 7"),
        ("dstc.depth=0", "dstc.depth must be greater than or equal to 1, not 0"),
        ("dstc.vector=1.5", "dstc.vector must be a whole number, not 1.5"),
        ("dstc.unit=8", "dstc.unit is an unknown key (did you mean units?)"),
    ],
)
def test_bad_values_are_told(setting: str, sentence: str) -> None:
    """A wrong value of the config is told in one sentence."""
    with pytest.raises(InputError, match=re.escape(sentence)):
        load_accelerator("dstc", [setting])
