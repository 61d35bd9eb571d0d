"""What holds of every spiking accelerator."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spiking_cases import SPIKING, accelerator, drawn, linear

from codesign.simulation import simulate
from hw_models.accelerators import spikes as module
from hw_models.accelerators.spikes import SpikeMatrix, spike_matrix
from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.workload import Workload


def convolution(seed: int, steps: int, batch: int, groups: int, **sizes: int) -> Workload:
    """Return a convolution of random spikes, time-major in the batch."""
    rng = np.random.default_rng(seed)
    given = {"channels": 3, "filters": 5, "in_h": 7, "in_w": 6, "kernel_h": 3, "kernel_w": 2, **sizes}
    out = {}
    for axis in "hw":
        reach = given.get(f"dilation_{axis}", 1) * (given[f"kernel_{axis}"] - 1)
        padded = given[f"in_{axis}"] + 2 * given.get(f"pad_{axis}", 0)
        out[f"out_{axis}"] = (padded - reach - 1) // given.get(f"stride_{axis}", 1) + 1
    gemm = Gemm(**given, **out, batch=steps * batch, groups=groups)
    image = rng.random((steps * batch, groups * gemm.channels, gemm.in_h, gemm.in_w)) < 0.4
    op = Op(name="conv", kind="conv", gemm=gemm, weight="w", timesteps=steps, encoding="spikes")
    return Workload(op, rng.random((groups, gemm.n, gemm.k)) < 0.5, (Bitmap.of(image, binary=True),))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999),
    steps=st.integers(1, 3),
    batch=st.integers(1, 3),
    groups=st.integers(1, 2),
    pad=st.integers(0, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    band=st.sampled_from([1, 300, 1 << 25]),
)
def test_rows_are_positions_then_steps(seed, steps, batch, groups, pad, stride, dilation, band):
    """The packed matrix is the unrolled operand with time fastest, in however small bands it is unrolled."""
    sizes = {"pad_h": pad, "pad_w": 1, "stride_h": stride, "dilation_h": dilation}
    work = convolution(seed, steps, batch, groups, **sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BAND_BYTES", band)
        found = [spike_matrix(work, group) for group in range(groups)]
    for group, spikes in enumerate(found):
        wanted = work.inputs(group).reshape(steps, -1, work.gemm.k).swapaxes(0, 1)
        assert np.array_equal(spikes.words, SpikeMatrix.of(wanted).words)
        assert np.array_equal(spikes.row_spikes, wanted.sum(axis=2).ravel())


@pytest.mark.parametrize("name", SPIKING)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), steps=st.sampled_from([1, 3, 4, 6]), density=st.sampled_from([0.0, 0.2, 1.0]))
def test_macs_are_conserved(name, seed, steps, density):
    """Effectual, skipped and gated MACs add up to the dense ones; effectual ones are real, all of them but reused."""
    for work in (drawn(seed, 5, steps, 40, 20, density), convolution(seed, steps, 2, 2)):
        cost = accelerator(name).cost(work)
        assert cost.effectual + cost.skipped + cost.gated == work.gemm.macs
        assert min(cost.effectual, cost.skipped, cost.gated) >= 0
        if name == "prosperity":
            assert cost.effectual <= work.effectual_macs
        else:
            assert cost.effectual == work.effectual_macs
        assert min(cost.energy_pj.values()) >= 0


@pytest.mark.parametrize("name", [name for name in SPIKING if name != "prosperity"])
def test_fewer_spikes_are_never_slower(name):
    """Taking spikes away never costs a cycle.

    SATO and PTB choose greedily, so single spikes may; halves of many rows do not. Prosperity is left out: the spike
    that is removed may be one that other rows reuse.
    """
    rng = np.random.default_rng(1)
    draw, weights = rng.random((60, 8, 96)), rng.random((40, 96)) < 0.5
    cycles = [accelerator(name).cost(linear(draw < density, weights)).cycles for density in (1.0, 0.5, 0.25, 0.1, 0.0)]
    assert cycles == sorted(cycles, reverse=True)


@pytest.mark.parametrize(
    ("name", "cycles"), [("mint", 24 * 96 * 2), ("spinalflow", 24 * 96 * 2), ("loas", 3 * 2 * 96 * 9)]
)
def test_full_density_costs_what_dense_costs(name, cycles):
    """With every spike and weight there, each position, step (LoAS: window of 4) and column takes its cycle."""
    full = linear(np.ones((3, 8, 96), np.bool_), np.ones((144, 96), np.bool_))
    assert accelerator(name).cost(full).cycles == cycles


def test_plain_values_are_refused():
    """An op without spikes and a recurrence go to the fallback unit, with the reason."""
    op = drawn(0, 2, 2, 8, 4).op
    for name in SPIKING:
        assert accelerator(name).refuses(op) is None
        assert accelerator(name).refuses(replace(op, encoding="")) == "operand I is not a spike train"
        assert accelerator(name).refuses(replace(op, kind="recurrent")) == "its steps wait for each other"


@pytest.mark.parametrize("name", SPIKING)
def test_declared_spikes_must_be_spikes(name):
    """An op that says spikes but was captured with other values is told apart in a sentence."""
    work = drawn(0, 2, 2, 8, 4)
    plain = replace(work, operands=(Bitmap.of(work.operands[0].unpack()),))
    with pytest.raises(InputError, match="operand I of fc must be a spike train, as its encoding says"):
        accelerator(name).cost(plain)


@pytest.mark.parametrize("name", SPIKING)
def test_ordinary_networks_run_on_the_fallback(name):
    """A network without spikes runs, all of it on the fallback unit, and the report says why."""
    op = Op(name="fc", kind="linear", gemm=Gemm.matmul(8, 16, 32), weight="w")
    report = simulate(OpGraph.of("net", [op], []), name)
    assert report.ops[0].unit == "fallback"
    assert any("operand I is not a spike train" in note for note in report.notes)


def test_stated_energy_is_chip_power_and_dram_bits():
    """One second at 500 MHz of 446.5 mW is 0.4465 J; a DRAM bit is 12.45 pJ."""
    prosperity = accelerator("prosperity")
    assert prosperity.stated_energy_pj(500_000_000, 0) == pytest.approx(0.4465e12)
    assert prosperity.stated_energy_pj(0, 1) == pytest.approx(8 * 12.45)
    with pytest.raises(InputError, match="loas must have a stated chip power"):
        accelerator("loas").stated_energy_pj(1, 1)


def test_metadata_is_charged():
    """Prefixes, event addresses and bitmasks are read on chip, and those that are stored are moved from DRAM."""
    work = drawn(0, 4, 4, 64, 16)
    assert accelerator("prosperity").cost(work).sram_bytes["metadata"] == 2 * 16 * 4 * (16 + 8) // 8
    stored = work.operands[0].nonzeros
    assert accelerator("spinalflow").cost(work).dram_bytes["metadata"] == -(-stored * (8 + 2) // 8)
    assert accelerator("loas").cost(work).dram_bytes["metadata"] == (4 * 64 + 16 * 64) // 8
