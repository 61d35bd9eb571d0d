"""Eyeriss v2 against the Sparseloop authors' cycles, a count of MACs one by one, and both pipeline executors."""

from collections import Counter
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.simulation import simulate
from codesign.validation.anchor import Anchor, Missing
from codesign.validation.eyeriss_v2 import anchors
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.eyeriss_v2 import (
    EyerissV2Config,
    array_pipeline,
    choose_shares,
    pass_columns,
    passes,
    share_counts,
    tile_counts,
)
from hw_models.pipeline import compiled, simpy_engine
from traces.bitmap import Bitmap
from traces.effectual import effectual_macs
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.workload import Workload

SMALL = (
    "array.rows=4",
    "array.cols=6",
    "eyeriss_v2.cluster_rows=2",
    "eyeriss_v2.cluster_cols=3",
    "eyeriss_v2.partial_sums=3",
    "eyeriss_v2.weights=7",
)


def eyeriss(name: str = "eyeriss-v2", *changes: str) -> EyerissV2Config:
    """Return a preset with changes."""
    config = load_accelerator(name, changes)
    assert isinstance(config, EyerissV2Config)
    return config


@st.composite
def works(draw) -> Workload:
    """Draw a small grouped product, densities from empty to full."""
    groups, m, n, k = (draw(st.integers(1, most)) for most in (3, 9, 12, 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    inputs, weights = (rng.random((groups, size, k)) < draw(st.sampled_from([0, 0.2, 0.6, 1])) for size in (m, n))
    op = Op(name="op", kind="linear", gemm=Gemm.matmul(m, n, k, groups), weight="w")
    return Workload(op, weights, (Bitmap.of(inputs),))


def ceil(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def slow_cycles(work: Workload, config: EyerissV2Config) -> int:
    """Return the array's cycles by giving every MAC of two non-zeros, and every weight, to its pass and PE."""
    gemm, own = work.gemm, config.eyeriss_v2
    cut = choose_shares(gemm, config)
    tiles = [tile_counts(group, cut, own.partial_sums) for group in work.weights]
    columns = min(pass_columns(counts, cut, own.weights) for counts in tiles)
    macs, held = Counter(), Counter()
    for g in range(gemm.groups):
        inputs = work.inputs(g)
        for n, k in np.argwhere(work.weights[g]).tolist():
            n_share, n_at = divmod(n, ceil(gemm.n, cut.n))
            k_share, k_at = divmod(k, ceil(gemm.k, cut.k))
            slot = (g // cut.groups, n_at // own.partial_sums, k_at // columns)
            held[slot, g, n_share, k_share] += 1
            for m in np.flatnonzero(inputs[:, k]).tolist():
                macs[slot, g, n_share, k_share, m // ceil(gemm.m, cut.m)] += 1
    slowest, longest = Counter(), Counter()
    for (slot, *_), count in macs.items():
        slowest[slot] = max(slowest[slot], count)
    for (slot, *_), count in held.items():
        longest[slot] = max(longest[slot], count)
        assert count <= own.weights
    return sum(slowest.values()) + sum(ceil(count, own.weights_per_cycle) for count in longest.values())


def test_golden_layers(golden: Path) -> None:
    """The PE's cycles on four layers of a real sparse MobileNet are exact; the note tells the uniform estimate."""
    found = list(anchors(golden))
    assert len(found) == 4
    for anchor in found:
        assert isinstance(anchor, Anchor)
        assert anchor.ours == anchor.reference
        assert "uniform density would give" in anchor.note


def test_absent_data_are_told() -> None:
    """Without the golden tables the anchors say what is missing."""
    found = list(anchors(None))
    assert found
    assert all(isinstance(item, Missing) and "golden/eyeriss_v2_pe" in item.reason for item in found)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(works())
def test_pe_takes_a_cycle_a_pair_of_nonzeros(work: Workload) -> None:
    """One PE takes the sum over channels of nnz(I) times nnz(W), also as a one-stage pipeline."""
    pairs = np.array(
        [
            (work.inputs(g)[:, c].sum(), work.weights[g][:, c].sum())
            for g in range(work.gemm.groups)
            for c in range(work.gemm.k)
        ],
        dtype=np.int64,
    )
    cost = eyeriss("eyeriss-v2-pe").accelerator().cost(work)
    assert cost.cycles == cost.effectual == sum(i * w for i, w in pairs.tolist())
    no_delivery = np.zeros(len(pairs), np.int64)
    assert compiled.run(array_pipeline(no_delivery, pairs.prod(axis=1)[:, None])).total_cycles == cost.cycles


@settings(max_examples=80, deadline=None, derandomize=True)
@given(works())
def test_array_against_macs_one_by_one(work: Workload) -> None:
    """The array's cycles are those of placing every MAC and weight by itself, and MACs are conserved."""
    config = eyeriss("eyeriss-v2", *SMALL)
    cost = config.accelerator().cost(work)
    assert cost.cycles == slow_cycles(work, config)
    assert cost.effectual == effectual_macs(work.op, work.weight_nonzero, work.operands)
    assert cost.effectual + cost.skipped + cost.gated == work.op.macs
    assert 0 <= sum(cost.waits.values()) <= cost.cycles


@settings(max_examples=40, deadline=None, derandomize=True)
@given(works())
def test_sum_over_passes_is_the_pipeline(work: Workload) -> None:
    """Delivery plus slowest PE, summed over passes, is what both executors give, event by event."""
    config = eyeriss("eyeriss-v2", *SMALL)
    own, shares = config.eyeriss_v2, choose_shares(work.gemm, config)
    tiles = tile_counts(work.weights[0], shares, own.partial_sums)
    runs = list(passes(share_counts(work.inputs(0), shares), tiles, shares, pass_columns(tiles, shares, own.weights)))
    delivery = np.concatenate([held.max(axis=(1, 2)) for held, _ in runs])
    by_pe = np.concatenate([of_pes.reshape(len(of_pes), -1) for _, of_pes in runs])
    pipeline = array_pipeline(delivery, by_pe)
    expected, schedule = simpy_engine.run(pipeline), compiled.run(pipeline)
    for name, ends in expected.end_cycles.items():
        assert schedule.end_cycles[name].tolist() == ends.tolist()
    assert schedule.total_cycles == (delivery + by_pe.max(axis=1)).sum()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(works(), st.data())
def test_more_zero_activations_are_never_slower(work: Workload, data: st.DataObject) -> None:
    """Zeroing an activation never costs a cycle (a weight may: it can move the borders of passes)."""
    accelerator = eyeriss("eyeriss-v2", *SMALL).accelerator()
    values = work.operands[0].unpack().copy()
    values[tuple(data.draw(st.integers(0, size - 1)) for size in values.shape)] = False
    fewer = Workload(work.op, work.weight_nonzero, (Bitmap.of(values),))
    assert accelerator.cost(fewer).cycles <= accelerator.cost(work).cycles


@pytest.mark.parametrize(
    ("m", "n", "k", "groups"), [(3136, 64, 576, 1), (1, 1000, 2048, 1), (49, 1, 9, 960), (1, 1, 1, 1)]
)
def test_shares_use_the_whole_array(m: int, n: int, k: int, groups: int) -> None:
    """The shares of a cut multiply to all PEs, the reduction over cluster rows, positions over cluster columns."""
    config = eyeriss()
    shares = choose_shares(Gemm.matmul(m, n, k, groups), config)
    assert prod(shares) == config.pes == 192
    assert shares.k % 3 == shares.m % 4 == 0


def test_dense_array_is_full() -> None:
    """A dense product that fills all shares evenly takes MACs / PEs cycles, and the delivery of weights."""
    gemm = Gemm.matmul(64, 32, 288)
    cost = eyeriss().accelerator().cost(Workload(Op(name="fc", kind="linear", gemm=gemm, weight="w")))
    assert cost.cycles == gemm.macs // 192 + cost.waits["delivery"]
    assert set(cost.waits) == {"delivery"}


def test_a_convolution_conserves_macs() -> None:
    """A strided, padded, grouped convolution has the exact effectual MACs of its captured input."""
    rng = np.random.default_rng(1)
    gemm = Gemm(
        channels=6, filters=40, in_h=7, in_w=5, out_h=4, out_w=3, kernel_h=3, kernel_w=3, stride_h=2, stride_w=2,
        pad_h=1, pad_w=1, groups=3,
    )  # fmt: skip
    op = Op(name="conv", kind="conv", gemm=gemm, weight="w")
    work = Workload(op, rng.random((3, 40, 54)) < 0.2, (Bitmap.of(rng.random((1, 18, 7, 5)) < 0.4),))
    cost = eyeriss().accelerator().cost(work)
    assert cost.effectual == effectual_macs(op, work.weight_nonzero, work.operands)
    assert cost.effectual + cost.skipped == op.macs


def test_simulation_takes_the_pairs_and_refuses_attention() -> None:
    """On the PE a dense op takes its MACs; a product of two activations goes to the fallback unit."""
    fc = Op(name="fc", kind="linear", gemm=Gemm.matmul(2, 70, 30), weight="w")
    attention = Op(name="qk", kind="matmul", gemm=Gemm.matmul(8, 8, 16))
    report = simulate(OpGraph.of("two", [fc, attention], []), "eyeriss-v2-pe")
    assert report.ops[0].cycles == fc.macs
    assert report.ops[1].unit == "fallback"
    assert any("must be compressed before the run" in note for note in report.notes)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("array.rows=25", r"array.rows must be a multiple of eyeriss_v2.cluster_rows, 3, not 25"),
        ("eyeriss_v2.weights=31", "eyeriss_v2.weights must be at least eyeriss_v2.partial_sums, 32"),
        ("eyeriss_v2.weights_per_cycle=-1", "eyeriss_v2.weights_per_cycle must be greater than or equal to 0, not -1"),
        ("eyeriss_v2.cluster=3", r"eyeriss_v2.cluster is an unknown key"),
    ],
)
def test_bad_config_is_told_in_a_sentence(setting: str, sentence: str) -> None:
    """A wrong value names its key and rule."""
    with pytest.raises(InputError, match=sentence):
        eyeriss("eyeriss-v2", setting)
