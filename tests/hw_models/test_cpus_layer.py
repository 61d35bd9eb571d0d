"""A layer's time follows its real addresses and row lengths."""

import numpy as np
import pytest

from hw_models.cpus import load_cpu
from hw_models.cpus.addresses import touch
from hw_models.cpus.cache import Hierarchy
from hw_models.cpus.layer import Core
from hw_models.cpus.network import dense_time
from hw_models.cpus.programs import depthwise, elementwise, in_panels, matrix_vector, packed, product
from kernels.loops import Kind
from kernels.loops.layer import DensePlan, Layer, SparsePlan
from kernels.loops.machine import accesses
from kernels.loops.program import Program
from traces.errors import InputError


def weights(outputs: int, inputs: int, density: float) -> np.ndarray:
    """Return random weights with about that share of them kept."""
    random = np.random.default_rng(7)
    kept = random.random((outputs, inputs)) < density
    return (random.standard_normal((outputs, inputs)) * kept).astype(np.float32)


def lines_of(program: Program) -> set[int]:
    """Return the lines that a program touches, by the machine that runs all of it."""
    memory = program.image.copy()
    found: set[int] = set()
    for call in program.calls:
        ops = list(call.kernel.ops())
        sizes = np.array([op.size(call.kernel.lanes) for op in ops])
        for part in accesses(call.kernel, call.arguments, memory):
            found |= set((part.address // 64).tolist())
            found |= set(((part.address + sizes[part.op] - 1) // 64).tolist())
    return found


PROGRAMS = {
    "sparse": product(weights(24, 40, 0.3), 52, SparsePlan(4)),
    "groups": product(weights(24, 40, 0.3), 52, SparsePlan(2, rows=4), padded=False),
    "dense": product(weights(24, 40, 1), 52, DensePlan(8, 2, shuffle=True)),
    "depthwise": depthwise(5, 9, 13, 1, 4),
    "matrix-vector": matrix_vector(12, 70, 4),
    "element-wise": elementwise(1000, 2, 1, 4),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_short_run_touches_the_lines_of_the_whole_one(name: str) -> None:
    """With caches that hold all, every line is filled once, whether arithmetic is run or not."""
    program = PROGRAMS[name]
    cpu = load_cpu(
        "cortex-a76",
        [
            "caches=[{bytes: 1048576, ways: 16, latency_cycles: 4, fill_bytes_per_cycle: 32,"
            " misses_in_flight: 20, sources: [assumed]}]",
            "tlb.sources=[wikichip]",
        ],
    )
    caches, memory = Hierarchy(cpu.caches, cpu.tlb), program.image.copy()
    fills = sum(float(touch(call, memory, caches, budget=10**9).fills.total.sum()) for call in program.calls)
    # A vector that begins in one line and ends in the next is one access here, so a last line may be missed.
    assert fills == pytest.approx(len(lines_of(program)), rel=0.03)


def test_turns_of_the_inner_loop_are_the_row_lengths() -> None:
    """Loops are seen to turn as often as rows have entries, strip after strip."""
    weight = weights(24, 40, 0.3)
    (call, *_) = (program := product(weight, 52, SparsePlan(4))).calls
    touched = touch(call, program.image.copy(), Core(load_cpu("cortex-a76")).caches(), budget=10**9)
    rows = sorted(np.count_nonzero(weight, axis=1).tolist())
    seen = touched.turns["only entries"].reshape(call.iterations["strips"], -1)
    assert all(sorted(strip.tolist()) == rows for strip in seen)


@pytest.mark.parametrize(("outputs", "inputs", "pixels"), [(64, 32, 12544), (128, 256, 784), (512, 512, 196)])
def test_extrapolation_is_within_four_per_cent_of_running_all(outputs: int, inputs: int, pixels: int) -> None:
    """Layers of MobileNet-v1, rows contiguous so that lines cut strips in different ways."""
    program = product(weights(outputs, inputs, 0.25), pixels, SparsePlan(8), padded=False)
    for name in ("cortex-a53", "cortex-a77"):
        core = Core(load_cpu(name))
        some, whole = core.time(program), core.time(program, budget=10**9)
        assert some.cycles == pytest.approx(whole.cycles, rel=0.04)


def test_packed_and_panelled_programs_compute_the_same() -> None:
    """Cutting rows into panels changes nothing; packing reads each packed strip's rows one behind the other."""
    weight, random = weights(24, 12, 1), np.random.default_rng(1)
    plan = DensePlan(8, 2)
    layer = Layer(weight, np.zeros(24, np.float32), random.standard_normal((12, 16)).astype(np.float32))
    program = layer.program(plan, False)
    panels = in_panels(program, plan, 24, 8 * 12 * 4)
    assert len(panels.calls) == 3 * len(program.calls)
    np.testing.assert_array_equal(panels.run(), program.run())
    strips = packed(program, 12)
    image = program.image.copy()
    start = program.calls[0].arguments["x"]
    x = layer.x.reshape(12, 2, 8).transpose(1, 0, 2).copy()
    image[start : start + x.nbytes] = x.view(np.uint8).reshape(-1)
    np.testing.assert_array_equal(Program(strips.calls, image, program.output, program.shape).run(), program.run())


def test_more_zeros_and_more_memory_are_never_slower() -> None:
    """Cycles fall with density, and with a larger L1."""
    core = Core(load_cpu("cortex-a77"))
    times = [core.time(product(weights(64, 128, density), 784, SparsePlan(8))).cycles for density in (0.5, 0.25, 0.1)]
    assert times == sorted(times, reverse=True)
    small = Core(
        load_cpu(
            "cortex-a77",
            [
                "caches=[{bytes: 8192, ways: 4, latency_cycles: 4, fill_bytes_per_cycle: 32,"
                " misses_in_flight: 20, sources: [trm]}, {bytes: 524288, ways: 8, latency_cycles: 9,"
                " fill_bytes_per_cycle: 24,"
                " misses_in_flight: 46, sources: [graviton]}]"
            ],
        )
    )
    program = product(weights(64, 128, 0.25), 784, SparsePlan(8))
    assert small.time(program).cycles > core.time(program).cycles


def test_irregular_rows_cost_mispredicted_exits() -> None:
    """Rows of one length are predicted after the first; rows of changing length are not."""
    regular = np.zeros((64, 64), np.float32)
    for row in regular:
        row[:8] = 1
    irregular = regular.copy()
    irregular[::2, 8:12] = 1
    core = Core(load_cpu("cortex-a76"))
    plan = SparsePlan(4)
    missed = [core.time(product(one, 64, plan)).parts["mispredicts"] for one in (regular, irregular)]
    assert missed[0] < missed[1] / 4 or missed[1] == pytest.approx(missed[0], abs=200)


def test_what_binds_is_named() -> None:
    """A dense tile is bound by its multiply-adds, a long dot product by DRAM."""
    core = Core(load_cpu("cortex-a76"))
    assert dense_time(core, weights(64, 64, 1), 784, DensePlan(8, 2, shuffle=True)).bound_by == "fma"
    assert core.time(matrix_vector(1000, 1024, 4)).bound_by == "dram"


def test_an_unknown_target_is_refused() -> None:
    """The sentence names the targets."""
    with pytest.raises(InputError, match="the target must be one of neon, neon-plain"):
        Core(load_cpu("cortex-a76"), "neno")


@pytest.mark.parametrize("engine", ["wasm-wasmtime-arm", "wasm-v8-arm"])
def test_an_engine_is_no_faster_than_hand_written_code(engine: str) -> None:
    """Its extra instructions cost something in the sparse loop."""
    kernel = product(weights(16, 16, 0.5), 64, SparsePlan(4)).calls[0].kernel
    assert Kind.FMA in {op.kind for op in kernel.ops()}
    for name in ("cortex-a53", "cortex-a76"):
        hand, wasm = (Core(load_cpu(name), target).paces(kernel)["only entries"].cycles for target in ("neon", engine))
        assert wasm > hand
