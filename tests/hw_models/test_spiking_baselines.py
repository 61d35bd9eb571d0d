"""MINT, SATO, PTB, SpinalFlow, LoAS and the dense baseline against slow and obvious Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spiking_cases import accelerator, drawn

from hw_models.accelerators import load_accelerator, loas, mint, ptb, sato, snn_dense, spinalflow
from hw_models.accelerators.spikes import SpikeMatrix, pack
from hw_models.pipeline import compiled, simpy_engine
from traces.errors import InputError

shapes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "positions": st.integers(1, 7),
        "steps": st.integers(1, 11),
        "k": st.integers(1, 150),
        "n": st.integers(1, 140),
        "density": st.sampled_from([0.0, 0.05, 0.3, 1.0]),
        "kept": st.sampled_from([0.1, 1.0]),
    }
)


def by_position(work):
    """Return the spikes as (positions, timesteps, k)."""
    steps = work.op.timesteps
    return work.inputs(0).reshape(steps, -1, work.gemm.k).swapaxes(0, 1)


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_one_spike_a_cycle(shape):
    """MINT and SpinalFlow take a cycle for each spike and 128 outputs."""
    work = drawn(**shape)
    cycles = int(by_position(work).sum()) * -(-work.gemm.n // 128)
    assert accelerator("mint").cost(work).cycles == cycles
    assert accelerator("spinalflow").cost(work).cycles == cycles


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from(["arrival", "sorted"]), st.sampled_from([1, 3, 128]))
def test_sato_gives_each_row_to_the_least_loaded_pe(shape, dispatch, pes):
    """The busiest PE's spikes times the outputs; rows come position by position."""
    work = drawn(**shape)
    rows = by_position(work).sum(axis=2).ravel().tolist()
    load = [0] * pes
    for spikes in sorted(rows, reverse=True) if dispatch == "sorted" else rows:
        load[load.index(min(load))] += spikes
    cost = accelerator("sato", f"sato.dispatch={dispatch}", f"array.cols={pes}").cost(work)
    assert cost.cycles == max(load) * work.gemm.n


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_dense_follows_the_shape_alone(shape):
    """Cycles of the dense baseline do not depend on the spikes."""
    work, (positions, steps) = drawn(**shape), (shape["positions"], shape["steps"])
    neurons = (steps // 12) * positions * shape["n"] // 14
    cycles = -(-shape["n"] // 12) * (shape["k"] * positions * steps // 14) + neurons
    assert accelerator("snn-dense").cost(work).cycles == cycles


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from([2, 4]), st.sampled_from([2, 8]))
def test_ptb_packs_neurons_whose_windows_do_not_overlap(shape, ticks, cols):
    """Slots are filled one by one: densest neuron first, then the densest left that fits."""
    work = drawn(**shape)
    steps, slots = shape["steps"], 0
    ticks_taken = min(ticks, steps)
    for position in by_position(work):
        starts = range(0, steps, ticks_taken)
        active = np.array([position[start : start + ticks_taken].any(axis=0) for start in starts])
        for first in range(0, len(active), cols):
            masks = [sum(int(bit) << i for i, bit in enumerate(bits)) for bits in active[first : first + cols].T]
            left = sorted((mask for mask in masks if mask), key=lambda mask: (-mask.bit_count(), mask))
            while left:
                used, rest = 0, []
                for mask in left:
                    if used & mask:
                        rest.append(mask)
                    else:
                        used |= mask
                left, slots = rest, slots + 1
    cost = accelerator("ptb", f"ptb.window_ticks={ticks}", f"array.cols={cols}").cost(work)
    assert cost.cycles == slots * ticks_taken * -(-shape["n"] // 16)


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_loas_joins_masks(shape):
    """A PE takes a cycle a match, at least one a join of 128 bits; 16 outputs go at the pace of the fullest."""
    work = drawn(**shape)
    cycles = 0
    for position in by_position(work):
        for start in range(0, shape["steps"], 4):
            mask = position[start : start + 4].any(axis=0)
            taken = [
                sum(max(1, int((mask & weights)[chunk : chunk + 128].sum())) for chunk in range(0, shape["k"], 128))
                for weights in work.weights[0]
            ]
            cycles += sum(max(taken[first : first + 16]) for first in range(0, shape["n"], 16))
    assert accelerator("loas").cost(work).cycles == cycles


def test_simpy_serves_every_token_at_the_same_time():
    """Both executors agree event by event on the pipeline of every baseline."""
    work = drawn(5, positions=5, steps=9, k=70, n=40)
    spikes = SpikeMatrix.of(by_position(work))
    found = ptb.slots(spikes.windows(4), spikes.k, 8)
    joined, _, _ = loas.join(spikes.windows(4), pack(work.weights[0]), 2, 16)
    for parts in (
        mint.pipeline(spikes, 2),
        sato.pipeline(spikes, 40, 7, "arrival"),
        snn_dense.pipeline(5, 9, 70, 40, 14, 12),
        spinalflow.pipeline(spikes, 2),
        ptb.pipeline(found, 4, 3),
        loas.pipeline(joined),
    ):
        fast, slow = compiled.run(parts).end_cycles, simpy_engine.run(parts).end_cycles
        assert {name: ends.tolist() for name, ends in fast.items()} == {
            name: ends.tolist() for name, ends in slow.items()
        }


@pytest.mark.parametrize(
    ("preset", "setting", "message"),
    [
        ("ptb", "array.cols=17", "array.cols must be less than or equal to 16"),
        ("ptb", "ptb.window_ticks=0", "ptb.window_ticks must be greater than or equal to 1"),
        ("loas", "loas.join_bits=100", "loas.join_bits must be 64, 128, 256 or 512"),
        ("sato", "sato.dispatch=random", "sato.dispatch must be 'arrival' or 'sorted'"),
        ("mint", "mint.chip_mw=0", "mint.chip_mw must be greater than 0"),
        ("snn-dense", "snn_dense.watts=1", "snn_dense.watts is an unknown key"),
    ],
)
def test_wrong_settings_are_told(preset, setting, message):
    """The sentence names key and rule."""
    with pytest.raises(InputError, match=message):
        load_accelerator(preset, [setting])
