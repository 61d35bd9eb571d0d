"""The output-stationary mesh against STONNE's runs, its formula, and a cycle-by-cycle reference."""

from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.validation.anchor import Anchor
from codesign.validation.os_mesh import anchors, mesh, product
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.os_mesh import OsMeshConfig, pipeline, service_cycles, tile_cycles
from hw_models.pipeline import compiled, simpy_engine
from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

STONNE_CYCLES = {  # m, n, k, rows, cols, ports, bus lines
    (16, 16, 16, 16, 16, 32, 256): 51,
    (100, 50, 70, 16, 16, 32, 256): 2794,
    (64, 64, 64, 16, 16, 16, 256): 2608,
    (64, 64, 64, 4, 4, 8, 16): 19200,
    (1, 512, 512, 16, 16, 32, 256): 16992,
}


def reference(r, c, k, rows, cols, distribution, reduction, halving):
    """Return the cycles of a tile, simulated element by element and cycle by cycle."""
    group = (rows + cols) // distribution
    ports = [deque() for _ in range(distribution)]
    lefts = [[deque() for _ in range(c)] for _ in range(r)]  # cycles from which an element can be used
    tops = [[deque() for _ in range(c)] for _ in range(r)]
    done = [[0] * c for _ in range(r)]
    waiting, buffered, written, cycle = [0] * reduction, 0, 0, 0
    reaching_bus = {}
    while written < r * c:
        cycle += 1
        buffered += sum(1 for line in waiting if line)
        waiting = [max(0, line - 1) for line in waiting]
        for line in reaching_bus.get(cycle, ()):
            waiting[line] += 1
        now = -(-buffered // 2) if halving else buffered
        buffered, written = buffered - now, written + now
        if cycle <= k:
            for line in [*range(c), *range(cols, cols + r)]:
                ports[line // group].append(line)
        for port in ports:
            if port:
                line = port.popleft()
                edge = tops[0][line] if line < cols else lefts[line - cols][0]
                edge.append(cycle + (group > 1))
        for y in range(r):
            for x in range(c):
                left, top = lefts[y][x], tops[y][x]
                if left and top and max(left[0], top[0]) <= cycle:
                    left.popleft()
                    top.popleft()
                    done[y][x] += 1
                    if x + 1 < c:
                        lefts[y][x + 1].append(cycle + 1)
                    if y + 1 < r:
                        tops[y + 1][x].append(cycle + 1)
                    if done[y][x] == k:
                        reaching_bus.setdefault(cycle + 2, []).append((y * cols + x) % reduction)
    return 1 + cycle


@st.composite
def tiles(draw, full=False):
    """Draw a tile on a mesh, with all ports or fewer."""
    rows, cols = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    divisors = [ports for ports in range(1, rows + cols + 1) if (rows + cols) % ports == 0]
    distribution = rows + cols if full else draw(st.sampled_from(divisors))
    reduction = rows * cols if full else draw(st.integers(1, rows * cols))
    r, c, k = draw(st.integers(1, rows)), draw(st.integers(1, cols)), draw(st.integers(1, 20))
    return r, c, k, rows, cols, distribution, reduction, draw(st.booleans())


def test_anchors_are_exact(golden: Path):
    """Every run of STONNE's TPU is met to the cycle, also that with fewer ports, and its SRAM accesses are."""
    found = [anchor for anchor in anchors(golden) if isinstance(anchor, Anchor)]
    assert len(found) == 14
    assert [anchor.name for anchor in found if not anchor.holds] == []


def test_absent_tables_are_told():
    """Without the tables there is one sentence instead of anchors."""
    (missing,) = anchors(None)
    assert "golden/stonne" in missing.reason


@pytest.mark.parametrize(("run", "cycles"), STONNE_CYCLES.items())
def test_stonne_runs_are_exact(run, cycles):
    """STONNE's cycles, written here: whole and partial tiles, one row, fewer ports."""
    assert mesh(*run[3:]).cost(product(*run[:3])).cycles == cycles


@settings(max_examples=100, deadline=None)
@given(tiles(full=True))
def test_formula_with_a_port_for_each_line(tile):
    """A tile costs k + r + c + 3 cycles; one less if its outputs never queue."""
    r, c, k, *_, halving = tile
    queues = halving and r > 1 and c > 1
    assert sum(tile_cycles(*tile)) == k + r + c + 2 + queues


@settings(max_examples=150, deadline=None)
@given(tiles())
def test_equals_the_reference(tile):
    """The closed form gives what element-by-element simulation gives, whatever the bandwidths."""
    assert sum(tile_cycles(*tile)) == reference(*tile)


@settings(max_examples=60, deadline=None)
@given(tiles())
def test_more_bandwidth_is_never_slower(tile):
    """A port for each line, or a bus line for each output, never costs a cycle."""
    r, c, k, rows, cols, distribution, reduction, halving = tile
    cycles = sum(tile_cycles(*tile))
    assert sum(tile_cycles(r, c, k, rows, cols, rows + cols, reduction, halving)) <= cycles
    assert sum(tile_cycles(r, c, k, rows, cols, distribution, rows * cols, halving)) <= cycles


def accelerator(*changes):
    """Return the preset with changes."""
    config = load_accelerator("os-mesh", changes)
    assert isinstance(config, OsMeshConfig)
    return config.accelerator()


def test_executors_agree():
    """SimPy and the compiled executor end every stage of every tile in the same cycle, at the sum of all."""
    service = service_cycles(20, 9, 5, accelerator("array.rows=8", "array.cols=4").config)
    slow, fast = (execute.run(pipeline(service)) for execute in (simpy_engine, compiled))
    for stage, ends in fast.end_cycles.items():
        np.testing.assert_array_equal(slow.end_cycles[stage], ends)
    assert fast.total_cycles == service.sum()


def test_macs_are_conserved_and_zeros_gate_only():
    """Zeros change which MACs are effectual, and energy, but not a cycle."""
    rng = np.random.default_rng(2)
    op = Op(name="fc", kind="linear", gemm=Gemm.matmul(30, 20, 40), weight="w")
    sparse = Workload(op, rng.random((1, 20, 40)) < 0.3, (Bitmap.of(rng.random((30, 40)) < 0.6),))
    cost, dense = accelerator().cost(sparse), accelerator().cost(Workload(op))
    assert cost.effectual + cost.gated == op.macs == dense.effectual
    assert cost.cycles == dense.cycles
    ungated = accelerator("os_mesh.zero_gating=false").cost(sparse)
    assert cost.energy_pj["gated_mac"] < ungated.energy_pj["gated_mac"]


def test_groups_and_time_steps_come_one_after_the_other():
    """Groups are products of their own, and a recurrent op runs step by step."""
    machine = accelerator()
    alone = machine.cost(product(6, 20, 8)).cycles
    grouped = Op(name="g", kind="matmul", gemm=Gemm.matmul(6, 20, 8, groups=3), weight="w")
    stepped = Op(name="r", kind="recurrent", gemm=Gemm.matmul(18, 20, 8), weight="w", timesteps=3)
    assert [machine.cost(Workload(op)).cycles for op in (grouped, stepped)] == [3 * alone, 3 * alone]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("os_mesh.distribution_bandwidth=12", r"must divide array.rows \+ array.cols = 32, not 12"),
        ("os_mesh.reduction_bandwidth=300", r"must be at most array.rows \* array.cols = 256, not 300"),
        ("os_mesh.write_buffer=none", "os_mesh.write_buffer must be 'halving' or 'all', not 'none'"),
    ],
)
def test_bad_values_are_told(change, sentence):
    """A wrong size or word is one sentence that names the key and the rule."""
    with pytest.raises(InputError, match=sentence):
        load_accelerator("os-mesh", [change])
