"""EIE against its authors' simulator, a clocked model in plain Python, and both pipeline executors."""

from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.simulation import simulate
from codesign.validation.anchor import Anchor, Missing
from codesign.validation.eie import anchors
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.eie import (
    FILL_CYCLES,
    PE_LATENCY,
    EieConfig,
    entries_per_column,
    product_pipeline,
    run_product,
    run_products,
)
from hw_models.pipeline import compiled, simpy_engine
from traces.bitmap import Bitmap
from traces.effectual import effectual_macs
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.workload import Workload


def eie(*changes: str) -> EieConfig:
    """Return the preset with changes."""
    config = load_accelerator("eie", changes)
    assert isinstance(config, EieConfig)
    return config


@st.composite
def layers(draw) -> tuple[np.ndarray, np.ndarray]:
    """Draw activations (m, k) and weights (n, k) of densities from empty to full."""
    m, k, n = draw(st.integers(1, 4)), draw(st.integers(1, 30)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return tuple(rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.5, 1])) for shape in ((m, k), (n, k)))


def clocked(active: np.ndarray, entries: np.ndarray, depth: int) -> int:
    """Return the cycles of one product, clocked: queues as deques of (cycle of arrival, entries)."""
    waiting = deque(np.flatnonzero(active).tolist())
    queues = [deque() for _ in entries[0]]
    left, cycle, over = [0] * len(queues), 0, 0
    while waiting or any(queues) or any(left):
        for pe, queue in enumerate(queues):
            if not left[pe] and queue and queue[0][0] <= cycle:
                left[pe] = max(1, queue.popleft()[1])
        if waiting and all(len(queue) + (rest > 0) < depth for queue, rest in zip(queues, left, strict=True)):
            column = waiting.popleft()
            for pe, queue in enumerate(queues):
                queue.append((cycle + 2, int(entries[column, pe])))
        left = [max(0, rest - 1) for rest in left]
        cycle += 1
        over = cycle + PE_LATENCY
    return over


def entry_list(column: np.ndarray, bits: int) -> list[int]:
    """Return the entries of one PE's column as runs, a padding entry as -1."""
    entries, run = [], 0
    for i, nonzero in enumerate(column):
        if nonzero:
            entries.append(run)
            run = 0
        elif run == 2**bits - 1 and column[i:].any():
            entries.append(-1)
            run = 0
        else:
            run += 1
    return entries


def test_golden_layer(golden: Path) -> None:
    """Cycles, efficiency and SRAM line reads of the authors' layer lie in their bands, cycles and reads exactly."""
    found = list(anchors(golden))
    assert len(found) == 8
    for anchor in found:
        assert isinstance(anchor, Anchor)
        assert anchor.holds, anchor
        if anchor.name.endswith(("cycles", "wide")):
            assert anchor.ours == anchor.reference


def test_absent_data_are_told() -> None:
    """Without the golden tables the anchors say what is missing."""
    found = list(anchors(None))
    assert found
    assert all(isinstance(item, Missing) and "golden/eie" in item.reason for item in found)


def test_paper_example_of_padding() -> None:
    """The column 0,0,1,2, eighteen zeros, 3 of the paper is stored as four entries, one of them padding."""
    column = np.zeros((23, 1), np.bool_)
    column[[2, 3, 22]] = True
    entries, padding = entries_per_column(column, 1, 4)
    assert entries.tolist() == [[4]]
    assert padding == 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(layers(), st.integers(1, 5), st.integers(1, 4))
def test_entries_against_a_walk_of_each_column(layer: tuple, pes: int, bits: int) -> None:
    """Entries and padding are those of a plain walk down each PE's rows of each column."""
    _, weights = layer
    entries, padding = entries_per_column(weights, pes, bits)
    lists = [[entry_list(column[pe::pes], bits) for pe in range(pes)] for column in weights.T]
    assert entries.tolist() == [[len(part) for part in parts] for parts in lists]
    assert padding == sum(part.count(-1) for parts in lists for part in parts)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(layers(), st.integers(1, 5), st.integers(1, 9), st.integers(1, 6))
def test_products_against_a_clocked_model(layer: tuple, pes: int, depth: int, line_entries: int) -> None:
    """Cycles are those of a model clocked cycle by cycle; line reads those of the addresses in order."""
    active, weights = layer
    entries, _ = entries_per_column(weights, pes, 2)
    run = run_products(active, entries, depth, line_entries)
    assert run.cycles == sum(clocked(row, entries, depth) for row in active)
    first = np.cumsum(entries, axis=0) - entries
    reads = 0
    for row in active:
        for pe in range(pes):
            addresses = [first[c, pe] + i for c in np.flatnonzero(row) for i in range(entries[c, pe])]
            lines = [address // line_entries for address in addresses]
            reads += sum(line != before for line, before in zip(lines, [-1, *lines], strict=False))
    assert run.line_reads == reads
    assert run.broadcasts == active.sum()
    assert run.entries == sum(entries[row].sum() for row in active)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(layers(), st.integers(1, 5), st.integers(1, 9))
def test_product_is_its_pipeline_event_by_event(layer: tuple, pes: int, depth: int) -> None:
    """SimPy, the compiled executor and the specialised recursion give the same end of every event."""
    active, weights = layer
    entries, _ = entries_per_column(weights, pes, 4)
    pipeline = product_pipeline(active[0], entries, depth)
    expected, schedule = simpy_engine.run(pipeline), compiled.run(pipeline)
    assert {name: ends.tolist() for name, ends in schedule.end_cycles.items()} == {
        name: ends.tolist() for name, ends in expected.end_cycles.items()
    }
    columns = np.flatnonzero(active[0]).astype(np.int32)
    sent, done, busy = (np.zeros(size, np.int32) for size in (len(columns), len(columns), pes))
    run_product(columns, entries, depth, sent, done, busy)
    assert sent.tolist() == expected.end_cycles["broadcast"].tolist()
    by_pe = [expected.end_cycles[f"pe{pe}"] for pe in range(pes)]
    assert done.tolist() == np.max(by_pe, axis=0).tolist()
    assert run_products(active[:1], entries, depth, 8).cycles == expected.total_cycles


@settings(max_examples=100, deadline=None, derandomize=True)
@given(layers(), st.integers(1, 9), st.data())
def test_more_zeros_and_deeper_queues_are_never_slower(layer: tuple, depth: int, data: st.DataObject) -> None:
    """Zeroing one activation or one weight, or deepening the queues, never costs a cycle."""
    active, weights = layer
    slow = run_products(active, entries_per_column(weights, 4, 2)[0], depth, 8).cycles
    assert run_products(active, entries_per_column(weights, 4, 2)[0], depth + 1, 8).cycles <= slow
    for matrix in (active, weights):
        matrix[tuple(data.draw(st.integers(0, size - 1)) for size in matrix.shape)] = False
        assert run_products(active, entries_per_column(weights, 4, 2)[0], depth, 8).cycles <= slow


def conv(groups: int, bias: str | None = None) -> tuple[Workload, Op]:
    """Return a sparse convolution of 6 channels a group with its captured input."""
    rng = np.random.default_rng(groups)
    gemm = Gemm(
        channels=6, filters=40, in_h=7, in_w=5, out_h=4, out_w=3, kernel_h=3, kernel_w=3, stride_h=2, stride_w=2,
        pad_h=1, pad_w=1, groups=groups,
    )  # fmt: skip
    op = Op(name="conv", kind="conv", gemm=gemm, weight="w", bias=bias)
    weights = rng.random((groups, 40, 54)) < 0.05
    return Workload(op, weights, (Bitmap.of(rng.random((1, 6 * groups, 7, 5)) < 0.4),)), op


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("bias", [None, "b"])
def test_macs_are_conserved(groups: int, bias: str | None) -> None:
    """Effectual MACs are the exact count, and with padding and skipped ones they are the dense ones."""
    work, op = conv(groups, bias)
    cost = eie("array.rows=2", "array.cols=2", "eie.index_bits=2", "eie.line_bits=12").accelerator().cost(work)
    assert cost.effectual == effectual_macs(op, work.weight_nonzero, work.operands)
    assert cost.effectual + cost.skipped + cost.gated == op.macs
    assert cost.gated > 0
    assert 0 <= sum(cost.waits.values()) <= cost.cycles
    assert min(cost.waits.values()) >= 0


def test_bias_is_a_last_column() -> None:
    """A bias takes a broadcast and an entry a row more in each product."""
    (plain, _), (biased, _) = conv(1), conv(1, "b")
    accelerator = eie("array.rows=4", "array.cols=2").accelerator()
    without, with_bias = accelerator.cost(plain), accelerator.cost(biased)
    assert with_bias.effectual == without.effectual
    assert without.cycles + 12 * 5 >= with_bias.cycles > without.cycles  # 12 products, 40 rows on 8 PEs
    assert with_bias.sram_accesses["metadata"] - without.sram_accesses["metadata"] == 12 * 8 * 2


def test_dense_costs_what_dense_costs() -> None:
    """Without zeros all PEs work all the time, but for the latencies of each product."""
    op = Op(name="fc", kind="linear", gemm=Gemm.matmul(3, 128, 50), weight="w")
    cost = eie().accelerator().cost(Workload(op))
    assert cost.cycles == op.macs // 64 + 3 * FILL_CYCLES
    assert (cost.effectual, cost.gated, cost.skipped) == (op.macs, 0, 0)
    assert cost.bound_by == "MACs"


def test_simulation_takes_the_products_and_refuses_attention() -> None:
    """With ideal memory an op takes its products' cycles; a product of two activations goes to the fallback unit."""
    fc = Op(name="fc", kind="linear", gemm=Gemm.matmul(2, 70, 30), weight="w")
    attention = Op(name="qk", kind="matmul", gemm=Gemm.matmul(8, 8, 16))
    report = simulate(OpGraph.of("two", [fc, attention], []), "eie", settings=["memory.ideal=true"])
    assert report.ops[0].cycles == eie().accelerator().cost(Workload(fc)).cycles
    assert report.ops[1].unit == "fallback"
    assert any("must be compressed before the run" in note for note in report.notes)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("eie.queue_depth=0", "eie: eie.queue_depth must be greater than or equal to 1, not 0"),
        ("eie.line_bits=60", "eie.line_bits must be a multiple of an entry's 8 bits, not 60"),
        ("eie.index_bits=half", "eie: eie.index_bits must be a whole number, not 'half'"),
        ("eie.depth=8", r"eie.depth is an unknown key.*known keys there: queue_depth"),
    ],
)
def test_bad_config_is_told_in_a_sentence(setting: str, sentence: str) -> None:
    """A wrong value names its key and rule."""
    with pytest.raises(InputError, match=sentence):
        eie(setting)
