"""The pace of loops is what ports, latencies and widths allow, and lies where other tools put it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.cpus import cpu_names, load_cpu
from hw_models.cpus.instruction import Instruction
from hw_models.cpus.issue import pace
from hw_models.cpus.layer import Core
from kernels.loops import Kernel, dense_tile, sparse_strip

#: Cycles a 4-lane multiply-add that llvm-mca and OSACA predict, least and most, or one tool's figure.
TOOLS = {
    "neoverse-n1": {"dense": (0.50, 0.56), "16": (0.50, 1.52), "32": (0.50, 1.27), "16x4": (0.50, 0.63)},
    "cortex-a53": {"16": (7.5, 7.5), "32": (4.75, 4.75), "16x4": (2.7, 2.7)},
    "cortex-a55": {"16": (4.8, 6.3), "32": (3.1, 4.9)},
}
LOOPS: dict[str, tuple[Kernel, int]] = {
    "dense": (dense_tile(8, 8, shuffle=True), 16),
    "16": (sparse_strip(16), 4),
    "32": (sparse_strip(32), 8),
    "16x4": (sparse_strip(16, 4), 16),
}

names = st.sampled_from([name for name in cpu_names() if name.startswith(("cortex", "neoverse"))])
registers = st.sampled_from(["a", "b", "c", "d", "e"])
instructions = st.builds(
    Instruction,
    st.sampled_from(["fma", "add", "load_vector", "load_scalar", "integer", "store_vector"]),
    st.tuples(registers, registers),
    registers,
)


def cycles(core: Core, loop: str) -> float:
    """Return the cycles a multiply-add of a loop."""
    kernel, fmas = LOOPS[loop]
    return core.paces(kernel)[list(kernel.loops())[-1].name].cycles / fmas


@settings(max_examples=40, deadline=None)
@given(names, st.lists(instructions, min_size=1, max_size=12))
def test_no_loop_is_faster_than_its_ports_and_width(name: str, stream: list[Instruction]) -> None:
    """A turn takes at least what the dispatch and each group of ports need for it."""
    found = pace(load_cpu(name), stream)
    assert found.cycles >= max(found.floors.values()) - 0.05


@settings(max_examples=25, deadline=None)
@given(st.lists(instructions, min_size=1, max_size=12))
def test_a_larger_window_costs_at_most_what_greed_costs(stream: list[Instruction]) -> None:
    """More entries let more overlap; oldest-first is greedy, so a few per cent may be lost."""
    small, large = (pace(load_cpu("cortex-a76", [f"core.window={size}"]), stream).cycles for size in (8, 256))
    assert large <= 1.1 * small + 0.05


def test_a_chain_of_sums_runs_at_the_latency_to_the_next_addend() -> None:
    """FMAs that add to one register take the accumulation latency each; a chain of additions the full one."""
    cpu = load_cpu("neoverse-n1")
    assert pace(cpu, [Instruction("fma", ("a", "b"), "s", adds_to="s")]).cycles == 2
    assert pace(cpu, [Instruction("fma", ("s", "b"), "s")]).cycles == 4
    assert pace(cpu, [Instruction("add", ("s", "b"), "s")]).cycles == 2
    independent = [Instruction("fma", ("a", "b"), f"s{i}", adds_to=f"s{i}") for i in range(8)]
    assert pace(cpu, independent) == pace(cpu, independent)
    assert (pace(cpu, independent).cycles, pace(cpu, independent).bound_by) == (4, "neon")


def test_an_a53_loads_128_bits_in_two_cycles_with_no_fma_beside_it() -> None:
    """One load and one FMA take three cycles; one FMA and a pointer update take one (ncnn's notes on the A53)."""
    cpu = load_cpu("cortex-a53")
    fmas = [Instruction("fma", ("a", "b"), f"s{i}", adds_to=f"s{i}") for i in range(8)]
    loads = [Instruction("load_vector", ("p",), f"x{i}") for i in range(8)]
    steps = [Instruction("integer", (f"p{i}",), f"p{i}") for i in range(8)]
    assert pace(cpu, fmas).cycles == 8
    beside = [one for pair in zip(loads, fmas, strict=True) for one in pair]
    assert pace(load_cpu("cortex-a53", ["core.load_gap_cycles=0"]), beside).cycles == 24
    assert pace(cpu, beside).cycles > 24
    assert pace(cpu, [one for pair in zip(fmas, steps, strict=True) for one in pair]).cycles == 8


def test_an_a53_issues_no_vector_load_when_a_multiply_add_takes_its_sum() -> None:
    """A 64-bit load every three FMAs costs its one cycle; every four it waits for the fourth cycle of none."""
    cpu = load_cpu("cortex-a53")

    def turn(count: int) -> list[Instruction]:
        fmas = [Instruction("fma", ("a", "b"), f"s{i}", adds_to=f"s{i}") for i in range(count)]
        return [Instruction("load_splat", ("p",), "x"), *fmas]

    assert pace(cpu, turn(3)).cycles == 4
    assert pace(cpu, turn(5)).cycles > 6


def test_split_loads_hide_beside_multiply_adds() -> None:
    """The A53's 8 x 12 tile takes a cycle for each of 24 multiply-adds and one for every three of them."""
    core = Core(load_cpu("cortex-a53"))
    assert core.paces(dense_tile(8, 12, shuffle=True, unroll=4))["inputs"].cycles / 4 == pytest.approx(32, rel=0.1)
    whole = Core(load_cpu("cortex-a53", ["core.split_loads=false"]))
    assert cycles(core, "dense") < cycles(whole, "dense")


@pytest.mark.parametrize("name", TOOLS)
def test_paces_lie_in_the_bracket_of_other_tools(name: str) -> None:
    """What scheduled and what plain code takes encloses, or is enclosed by, what the other tools predict.

    Left out: the dense tile of the A53 (1.69 here, 1.84 in llvm-mca and 1.82 published) and of the A55 and its 16x4
    blocks, where LLVM's model of the time ran two 128-bit FMAs a cycle; the core has one, as LLVM has it today.
    """
    scheduled, plain = Core(load_cpu(name)), Core(load_cpu(name), "neon-plain")
    for loop, (least, most) in TOOLS[name].items():
        low, high = sorted((cycles(scheduled, loop), cycles(plain, loop)))
        assert low <= most + 0.005, loop
        assert high >= least - 0.005, loop


def test_the_dense_tile_of_an_a53_with_whole_loads_is_near_that_of_llvm() -> None:
    """1.84 cycles a multiply-add with 128-bit loads (llvm-mca); loads in halves are faster, as they are meant to be."""
    whole = cycles(Core(load_cpu("cortex-a53", ["core.split_loads=false"])), "dense")
    assert whole == pytest.approx(1.84, rel=0.12)
    assert cycles(Core(load_cpu("cortex-a53")), "dense") < whole
