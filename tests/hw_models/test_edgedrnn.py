"""The EdgeDRNN-like engine against a walk through its pipeline, column by column."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.validation.anchor import Anchor
from codesign.validation.delta import anchors
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.edgedrnn import EdgeDrnn, column_pipeline, effective_ops_per_s
from hw_models.pipeline import compiled, simpy_engine
from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload


def engine(*settings):
    """Return the preset's engine with settings."""
    return EdgeDrnn(load_accelerator("edgedrnn", settings))


def recurrence(steps=5, batch=1, units=6, kind="recurrent", encoding="delta"):
    """Return one product of a GRU layer."""
    gemm = Gemm.matmul(steps * batch, 3 * units, units)
    gates = 12 * steps * batch * units if kind == "recurrent" else 0
    return Op(
        name="gru.l0.hh" if kind == "recurrent" else "fc", kind=kind, gemm=gemm, weight="w", timesteps=steps,
        encoding=encoding, gate_lane_ops=gates,
    )  # fmt: skip


def work(op, changed, weights=None):
    """Return a workload of these changes."""
    return Workload(op, weights, (Bitmap.of(changed),))


def bits(seed, shape, density):
    """Return random bits."""
    return np.random.default_rng(seed).random(shape) < density


def walk(op, changed, config):
    """Return the cycle at which the last column is done: queues as lists of finish times, one column at a time."""
    per_word = max(1, config.memory.sram.port_bits // config.precision.input_bits)
    fetch = -(-op.gemm.n * config.precision.weight_bits // 8) / config.memory.dram.bytes_per_cycle
    fetch, mac = int(np.ceil(fetch)), -(-op.gemm.n // config.pes)
    gates = -(-(op.gate_lane_ops // op.gemm.m) // config.vector.lanes)
    room = max(2, config.memory.sram.weight_bytes // op.gemm.n)
    batch = op.gemm.m // op.timesteps
    scans, fetches, macs, done = [], [], [], []
    for row, columns in enumerate(changed):
        may_scan = done[row - batch] if op.kind == "recurrent" and row >= batch else 0
        word = 0
        for column in [*np.flatnonzero(columns), None]:
            reached = -(-len(columns) // per_word) if column is None else column // per_word + 1
            at = len(scans)
            begin = max(scans[-1] if scans else 0, may_scan)
            if at >= config.columns.queue_columns:
                begin = max(begin, fetches[at - config.columns.queue_columns])
            scans.append(begin + reached - word)
            word = reached
            begin = max(scans[-1], fetches[-1] if fetches else 0, macs[at - room] if at >= room else 0)
            fetches.append(begin + (0 if column is None else fetch))
            begin = max(fetches[-1] + config.memory.dram.latency_cycles, macs[-1] if macs else 0)
            macs.append(begin + (gates if column is None else mac))
        done.append(macs[-1])
    return macs[-1]


cases = {
    "steps": st.integers(1, 5),
    "batch": st.integers(1, 2),
    "units": st.integers(1, 12),
    "kind": st.sampled_from(["recurrent", "linear"]),
    "density": st.floats(0, 1),
    "seed": st.integers(0, 999),
    "queue": st.integers(1, 4),
    "buffer": st.integers(1, 90),
    "rate": st.sampled_from([0.5, 3, 8, 64]),
}


@settings(max_examples=60, deadline=None)
@given(**cases)
def test_cycles_are_those_of_a_walk_and_of_simpy(steps, batch, units, kind, density, seed, queue, buffer, rate):
    """The compiled pipeline ends with a plain walk over the columns, and SimPy agrees event by event."""
    op = recurrence(steps, batch, units, kind)
    changed = bits(seed, (steps * batch, units), density)
    accelerator = engine(
        f"columns.queue_columns={queue}", f"memory.sram.weight_bytes={buffer}", f"memory.dram.bytes_per_cycle={rate}"
    )
    cost = accelerator.cost(work(op, changed))
    assert cost.cycles == walk(op, changed, accelerator.config)
    pipeline = column_pipeline(changed, op, accelerator.config)
    fast, slow = compiled.run(pipeline), simpy_engine.run(pipeline)
    for stage in pipeline.stages:
        assert np.array_equal(fast.end_cycles[stage.name], slow.end_cycles[stage.name])
    assert fast.total_cycles == cost.cycles


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), density=st.floats(0, 1), kept=st.floats(0, 1))
def test_macs_are_conserved_and_weights_read_once_a_column(seed, density, kept):
    """Effectual MACs are counted by brute force; a changed column is issued whole and crosses DRAM each time."""
    op, changed = recurrence(7, 1, 5), bits(seed, (7, 5), density)
    weights = bits(seed + 1, (1, 15, 5), kept)
    cost = engine().cost(work(op, changed, weights))
    effectual = sum(weights[0, n, k] for m, k in zip(*np.nonzero(changed), strict=True) for n in range(15))
    assert cost.effectual == effectual
    assert cost.skipped == (changed.size - changed.sum()) * 15
    assert cost.effectual + cost.skipped + cost.gated == op.macs
    assert cost.dram_bytes["weight"] == changed.sum() * 15
    assert cost.sram_bytes["output"] >= 2 * 4 * 15 * changed.sum()
    assert (cost.energy_pj["metadata"] > 0) == changed.any()


def test_every_change_costs_what_dense_does():
    """With all inputs changed a sequence of deltas takes the cycles of plain values, and never more with fewer."""
    dense = engine().cost(work(recurrence(4, 1, 9, encoding=""), bits(0, (4, 9), 0.5)))
    changed, before = np.ones((4, 9), dtype=bool), np.inf
    for element in np.random.default_rng(0).permutation(changed.size):
        cost = engine().cost(work(recurrence(4, 1, 9), changed))
        assert cost.cycles <= before
        assert before < np.inf or cost.cycles == dense.cycles
        before = cost.cycles
        changed.flat[element] = False


def test_a_still_sequence_is_bound_by_its_scan():
    """Without changes only scans and gates are left, step after step."""
    op = recurrence(3, 1, 40)
    cost = engine().cost(work(op, np.zeros((3, 40), dtype=bool)))
    assert cost.dram_bytes["weight"] == 0
    assert cost.cycles == 3 * (
        10 + 30 + 60
    )  # words of 4, DRAM latency of an empty step, 480 gate operations on 8 lanes
    assert engine("memory.ideal=true").cost(work(op, np.zeros((3, 40), dtype=bool))).cycles == 3 * (10 + 60)


def test_state_that_does_not_fit_goes_to_dram():
    """The inputs last sent and the accumulators leave the chip when their buffers are too small for them."""
    op, changed = recurrence(4, 1, 8), bits(0, (4, 8), 0.5)
    fits = engine().cost(work(op, changed)).dram_bytes
    spills = engine("memory.sram.input_bytes=15", "memory.sram.output_bytes=95").cost(work(op, changed)).dram_bytes
    assert spills["input"] - fits["input"] == 2 * (changed.size + changed.sum())
    assert spills["output"] - fits["output"] == 2 * 4 * 24 * 4
    assert fits["input"] == 2 * 8
    assert fits["output"] == 2 * 4 * 8


def test_long_ops_are_run_in_blocks():
    """Two million columns, in more than one block, take what they take in one but for a drain of the pipeline."""
    gemm = Gemm.matmul(2000, 8, 1000)
    cost = engine("memory.ideal=true").cost(Workload(Op(name="fc", kind="linear", gemm=gemm, weight="w")))
    assert 2_000_000 < cost.cycles < 2_000_100
    assert cost.bound_by == "MACs"


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (Op(name="c", kind="conv", gemm=Gemm.matmul(4, 4, 4), weight="w"), "not convolutions"),
        (Op(name="m", kind="matmul", gemm=Gemm.matmul(4, 4, 4)), "operand W is an activation"),
        (Op(name="l", kind="linear", gemm=Gemm.matmul(4, 4, 4), weight="w"), None),
        (recurrence(), None),
    ],
)
def test_what_is_refused(op, reason):
    """Convolutions and products of activations go to the fallback unit; dense layers and recurrences do not."""
    found = engine().refuses(op)
    assert (found is None) == (reason is None)
    assert reason is None or reason in found


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("columns.queue_columns=0", "columns.queue_columns must be greater than or equal to 1, not 0"),
        ("columns.depth=4", "columns.depth is an unknown key"),
        ("array.cols=0", "array.cols must be greater than or equal to 1, not 0"),
    ],
)
def test_bad_settings_are_told(setting, message):
    """A wrong value or key is named with its path."""
    with pytest.raises(InputError, match=message):
        engine(setting)


def test_effective_throughput_counts_skipped_work():
    """Eight PEs at full rate are 2 GOp/s, and ten times that with a tenth of the columns."""
    assert effective_ops_per_s(8000, 1000, 125e6) == 2e9
    assert effective_ops_per_s(8000, 100, 125e6) == 2e10


def test_anchors_hold():
    """Exact algebra is exact, and EdgeDRNN's effective throughput is within its band."""
    found = [anchor for anchor in anchors(None) if isinstance(anchor, Anchor)]
    assert len(found) == 5
    assert [anchor.name for anchor in found if not anchor.holds] == []
