"""SIGMA against STONNE's runs and a cycle-by-cycle reference written without regard for speed."""

from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.validation.anchor import Anchor
from codesign.validation.sigma import anchors, engine, product
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.sigma import SigmaConfig, input_parts, pipeline
from hw_models.accelerators.sigma_packing import Engine, iterations
from hw_models.pipeline import compiled, simpy_engine
from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

STONNE_ROWS = (
    "111100111001010111000011",
    "000101101010111010000000",
    "100110111000101000101010",
    "101001010000001100111010",
    "010001000010000001100101",
    "010110000011010010000010",
    "100000010010111010011100",
    "000001010000011000001010",
    "010001011101111111101100",
)
STONNE_CYCLES = {  # multipliers, ports, bus lines: cycles with 40 streamed vectors
    (32, 32, 32): 197,
    (32, 8, 32): 690,
    (32, 32, 4): 197,
    (16, 16, 16): 339,
    (16, 4, 2): 1201,
    (8, 8, 8): 700,
    (8, 2, 8): 2390,
    (64, 64, 64): 101,
    (64, 16, 1): 426,
}


def packed(bitmap, multipliers):
    """Return, by iteration, the lists of k of its pieces of vectors; None stands for the running sum."""
    found, fits = [], False
    for row in bitmap:
        ks = np.flatnonzero(row).tolist()
        if not ks:
            continue
        if fits and sum(map(len, found[-1])) + len(ks) <= multipliers:
            found[-1].append(ks)
            continue
        fits = len(ks) <= multipliers
        found.append([ks[:multipliers]])
        for at in range(multipliers, len(ks), multipliers - 1):
            found.append([[None, *ks[at : at + multipliers - 1]]])
    return found


def bus_lines(multipliers, lines):
    """Return the bus line of every adder (level size, index), wired one by one from the root."""
    pairs, single, size = [], [], 1
    while size < multipliers:
        for adder in range(size):
            if adder in (0, size - 1):
                single.append((size, adder))
            elif adder % 2 == 0:
                pairs.append(((size, adder - 1), (size, adder)))
        size *= 2
    wired = {adder: i % lines for i, pair in enumerate(pairs) for adder in pair}
    return wired | {adder: (2 * len(pairs) + i) % lines for i, adder in enumerate(single)}


def climb(times, multipliers):
    """Return when a vector's sum leaves its last adder, and which that is, from {multiplier: time of its product}."""
    size = multipliers
    while True:
        size //= 2
        children = {node: [child for child in times if child // 2 == node] for node in {c // 2 for c in times}}
        sums = {node: 1 + max(times[child] for child in below) for node, below in children.items()}
        first, last = min(sums), max(sums)
        for left in range(1, size - 2, 2):  # a link joins adders left and left + 1
            right = left + 1
            if left not in sums or right not in sums or (left != first and right != last):
                continue
            if left == first and (right != last or len(children[left]) < len(children[right])):
                giver, taker = left, right
            else:
                giver, taker = right, left
            sums[taker] = max(sums[taker], 1 + sums.pop(giver))
        times = sums
        if len(times) == 1:
            ((adder, time),) = times.items()
            return time, (size, adder)


def reference(bitmap, columns, sizes):
    """Return the cycles of all iterations, each simulated element by element and cycle by cycle."""
    total, wired = 0, bus_lines(sizes.multipliers, sizes.reduction)
    group = sizes.multipliers // sizes.distribution
    for pieces in packed(bitmap, sizes.multipliers):
        held = [k for piece in pieces for k in piece]
        queues = [deque() for _ in range(sizes.distribution)]
        first = [deque() for _ in range(sizes.distribution)]
        for m, k in enumerate(held):
            if k is not None:
                queues[m // group].append("stationary value")
        products, cycle = {}, 0
        while len(products) < len(held) * columns:
            cycle += 1
            column = cycle - 2
            for port in range(sizes.distribution if 0 <= column < columns else 0):
                behind = held[port * group : (port + 1) * group]
                if None in behind:
                    first[port].append((column, None))
                queues[port].extend((column, k) for k in sorted({k for k in behind if k is not None}))
            for port in range(sizes.distribution):
                source = first[port] or queues[port]
                element = source.popleft() if source else "nothing"
                for m, k in enumerate(held[port * group : (port + 1) * group], port * group):
                    if not isinstance(element, str) and element[1] == k:
                        products[m, element[0]] = cycle + (group > 1)
        arrivals, begin = {}, 0
        for piece in pieces:
            for column in range(columns):
                time, adder = climb(
                    {m: products[m, column] for m in range(begin, begin + len(piece))}, sizes.multipliers
                )
                arrivals.setdefault(time + 1, []).append(wired[adder])
            begin += len(piece)
        waiting, buffered, written, cycle = [0] * sizes.reduction, 0, 0, 0
        while written < len(pieces) * columns:
            cycle += 1
            buffered += sum(1 for line in waiting if line)
            waiting = [max(0, line - 1) for line in waiting]
            for line in arrivals.get(cycle, ()):
                waiting[line] += 1
            now = -(-buffered // 2) if sizes.halving else buffered
            buffered, written = buffered - now, written + now
        total += 1 + cycle
    return total


@st.composite
def runs(draw):
    """Draw a bitmap, streamed vectors and an engine."""
    power = draw(st.integers(1, 5))
    sizes = Engine(2**power, 2 ** draw(st.integers(0, power)), 2 ** draw(st.integers(0, power)), draw(st.booleans()))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 8)), draw(st.integers(1, 24)))
    return rng.random(shape) < draw(st.sampled_from((0.1, 0.4, 1.0))), draw(st.sampled_from((1, 2, 7, 90))), sizes


def timed(bitmap, columns, sizes):
    """Return the iterations of one matrix with dense streamed vectors."""
    return iterations([(bitmap, np.full(bitmap.shape[1], columns))], columns, sizes)


def test_anchors_are_exact(golden: Path):
    """Every run of STONNE is met to the cycle, with full and with fewer ports."""
    found = [anchor for anchor in anchors(golden) if isinstance(anchor, Anchor)]
    assert len(found) == 42
    assert [anchor.name for anchor in found if not anchor.holds] == []


def test_absent_tables_are_told():
    """Without the tables there is one sentence instead of anchors."""
    (missing,) = anchors(None)
    assert "golden/stonne" in missing.reason


@pytest.mark.parametrize(("sizes", "cycles"), STONNE_CYCLES.items())
def test_small_matrix_is_exact(sizes, cycles):
    """STONNE's cycles of a matrix written here, with folding, shared ports and shared bus lines."""
    bitmap = np.array([list(row) for row in STONNE_ROWS]) == "1"
    assert engine(*sizes).cost(product(bitmap, 40)).cycles == cycles


@settings(max_examples=120, deadline=None)
@given(runs())
def test_equals_the_reference(run):
    """Closed forms and extrapolated columns give what element-by-element simulation gives."""
    assert timed(*run).cycles == reference(*run)


@settings(max_examples=60, deadline=None)
@given(runs())
def test_more_bandwidth_is_never_slower(run):
    """Twice the ports, twice the bus lines, or a write buffer without a limit never cost a cycle."""
    bitmap, columns, sizes = run
    cycles = timed(bitmap, columns, sizes).cycles
    ports = sizes._replace(distribution=min(sizes.multipliers, 2 * sizes.distribution))
    lines = sizes._replace(reduction=min(sizes.multipliers, 2 * sizes.reduction))
    for better in (ports, lines, sizes._replace(halving=False)):
        assert timed(bitmap, columns, better).cycles <= cycles


@settings(max_examples=30, deadline=None)
@given(runs())
def test_executors_agree(run):
    """SimPy and the compiled executor end every stage of every iteration in the same cycle, at the sum of all."""
    found = timed(*run)
    slow, fast = (execute.run(pipeline(found.service_cycles)) for execute in (simpy_engine, compiled))
    for stage, ends in fast.end_cycles.items():
        np.testing.assert_array_equal(slow.end_cycles[stage], ends)
    assert fast.total_cycles == found.cycles


def convolution(batch=2, groups=2, captured=True):
    """Return a grouped convolution with zeros in both operands."""
    rng = np.random.default_rng(1)
    gemm = Gemm(
        channels=3, filters=5, in_h=6, in_w=5, out_h=6, out_w=5, kernel_h=3, kernel_w=3, pad_h=1, pad_w=1,
        batch=batch, groups=groups,
    )  # fmt: skip
    image = Bitmap.of(rng.random((batch, groups * 3, 6, 5)) < 0.5)
    weights = rng.random((groups, 5, 27)) < 0.3
    return Workload(Op(name="c", kind="conv", gemm=gemm, weight="w"), weights, (image,) if captured else ())


def accelerator(*changes):
    """Return the preset with changes."""
    config = load_accelerator("sigma", changes)
    assert isinstance(config, SigmaConfig)
    return config.accelerator()


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("stationary", ["weights", "inputs", "auto"])
def test_macs_are_conserved(stationary, captured):
    """Effectual, skipped and gated MACs are the dense ones; only zeros of the stationary operand are skipped."""
    work = convolution(captured=captured)
    cost = accelerator(f"sigma.stationary={stationary}", "array.cols=16").cost(work)
    assert cost.effectual + cost.skipped + cost.gated == work.gemm.macs
    assert cost.effectual == work.effectual_macs
    if stationary == "weights":
        assert cost.skipped == work.gemm.macs - work.gemm.m * np.count_nonzero(work.weights)
    assert cost.cycles >= sum(cost.waits.values())


def test_groups_and_images_are_products_of_their_own():
    """A grouped convolution costs the sum of its unrolled products; a batch with I stationary that of its images."""
    work, sizes = convolution(), Engine(16, 16, 16, True)
    by_weight = sum(timed(work.weights[group], work.gemm.m, sizes).cycles for group in range(2))
    assert accelerator("array.cols=16", "sigma.stationary=weights").cost(work).cycles == by_weight
    images = [work.inputs(group).reshape(2, 30, 27)[image] for group in range(2) for image in range(2)]
    for (_, part), image in zip(input_parts(work), images, strict=True):
        np.testing.assert_array_equal(part, image)
    by_input = sum(timed(image, 5, sizes).cycles for image in images)
    assert accelerator("array.cols=16", "sigma.stationary=inputs").cost(work).cycles == by_input
    assert accelerator("array.cols=16").cost(work).cycles == min(by_weight, by_input)


def test_streamed_zeros_gate_but_save_no_cycle():
    """With W stationary, zeros of I change energy and reads, not cycles."""
    machine = accelerator("sigma.stationary=weights")
    sparse, dense = machine.cost(convolution()), machine.cost(convolution(captured=False))
    assert sparse.cycles == dense.cycles
    assert sparse.energy_pj["mac"] < dense.energy_pj["mac"]
    assert sparse.sram_accesses["input"] < dense.sram_accesses["input"]


def test_reads_and_writes_are_those_of_the_packing():
    """Reads count each needed non-zero once an iteration; sums of folded vectors are read and written again."""
    bitmap = np.array([list(row) for row in STONNE_ROWS]) == "1"
    cost = engine(8, 8, 8).cost(product(bitmap, 40))
    found = packed(bitmap, 8)
    needed = sum(len({k for piece in pieces for k in piece} - {None}) for pieces in found)
    folds = sum(pieces[0][0] is None for pieces in found)
    assert cost.sram_accesses["input"] == 40 * needed
    assert cost.sram_accesses["output"] == 40 * (sum(map(len, found)) + folds)


def test_recurrent_steps_come_one_after_the_other():
    """Three time steps cost three times one, as each needs the last one's output."""
    weights = np.random.default_rng(0).random((1, 12, 20)) < 0.4
    costs = [
        accelerator("array.cols=16").cost(
            Workload(Op(name="r", kind="recurrent", gemm=Gemm.matmul(2 * t, 12, 20), weight="w", timesteps=t), weights)
        )
        for t in (1, 3)
    ]
    alone = accelerator("array.cols=16", "sigma.stationary=weights").cost(
        Workload(Op(name="l", kind="linear", gemm=Gemm.matmul(2, 12, 20), weight="w"), weights)
    )
    assert costs[1].cycles == 3 * alone.cycles
    assert costs[0].cycles <= alone.cycles


def test_nothing_to_multiply_takes_no_cycle():
    """A W of zeros is never loaded, streamed past or summed."""
    cost = accelerator("sigma.stationary=weights").cost(product(np.zeros((4, 6), np.bool_), 5))
    assert (cost.cycles, cost.effectual, cost.gated, cost.skipped) == (0, 0, 0, 120)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("array.cols=100", r"array.rows \* array.cols must be a power of two from 2 to 1048576, .* not 100"),
        ("sigma.distribution_bandwidth=48", "sigma.distribution_bandwidth must be a power of two from 1 to 128"),
        ("sigma.reduction_bandwidth=256", "sigma.reduction_bandwidth must be a power of two from 1 to 128"),
        ("sigma.stationary=outputs", "sigma.stationary must be 'auto', 'weights' or 'inputs', not 'outputs'"),
        ("sigma.ports=3", "sigma.ports is an unknown key.*known keys there: distribution_bandwidth"),
    ],
)
def test_bad_values_are_told(change, sentence):
    """A wrong size or word is one sentence that names the key and the rule."""
    with pytest.raises(InputError, match=sentence):
        load_accelerator("sigma", [change])
