"""The event-driven convolution engine against brute force over the loop nest."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.accelerators import load_accelerator
from hw_models.accelerators.delta_conv import (
    DeltaConv,
    by_frame,
    event_pipeline,
    frame_positions,
    touched_outputs,
)
from hw_models.pipeline import compiled, simpy_engine
from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload


def engine(*settings):
    """Return the preset's engine with settings."""
    return DeltaConv(load_accelerator("delta-conv", settings))


@st.composite
def convolutions(draw):
    """Draw a small convolution over 2 or 3 frames: strides, padding, dilation, groups, batches."""
    size, kernel = st.integers(3, 6), st.integers(1, 3)
    axes = {}
    for axis in "hw":
        k, dilation, pad, stride = (
            draw(kernel),
            draw(st.integers(1, 2)),
            draw(st.integers(0, 2)),
            draw(st.integers(1, 3)),
        )
        length = draw(size)
        span = dilation * (k - 1) + 1
        pad = max(pad, (span - length + 1) // 2)
        out = (length + 2 * pad - span) // stride + 1
        axes |= {
            f"in_{axis}": length, f"kernel_{axis}": k, f"stride_{axis}": stride, f"pad_{axis}": pad,
            f"dilation_{axis}": dilation, f"out_{axis}": out,
        }  # fmt: skip
    steps, images, groups = draw(st.integers(2, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    channels, filters = draw(st.integers(1, 2)), draw(st.integers(1, 9))
    gemm = Gemm(channels=channels, filters=filters, batch=steps * images, groups=groups, **axes)
    return Op(name="conv", kind="conv", gemm=gemm, weight="w", timesteps=steps, encoding="delta")


def random_changes(op, seed, density):
    """Return which inputs of all frames changed, the first frame dense."""
    gemm = op.gemm
    shape = (gemm.batch, gemm.groups * gemm.channels, gemm.in_h, gemm.in_w)
    changed = np.random.default_rng(seed).random(shape) < density
    changed[: gemm.batch // op.timesteps] = True
    return changed


def updates(gemm, changed):
    """Yield (image, output y, output x, group, channel, input y, input x) for each update of all its filters."""
    ranges = map(range, (gemm.batch, gemm.out_h, gemm.out_w, gemm.kernel_h, gemm.kernel_w, gemm.groups, gemm.channels))
    for image, oy, ox, ky, kx, group, channel in product(*ranges):
        y = oy * gemm.stride_h + ky * gemm.dilation_h - gemm.pad_h
        x = ox * gemm.stride_w + kx * gemm.dilation_w - gemm.pad_w
        if 0 <= y < gemm.in_h and 0 <= x < gemm.in_w and changed[image, group * gemm.channels + channel, y, x]:
            yield image, oy, ox, group, group * gemm.channels + channel, y, x


@settings(max_examples=40, deadline=None)
@given(op=convolutions(), seed=st.integers(0, 999), density=st.floats(0, 1), pes=st.integers(1, 20))
def test_events_and_cycles_are_those_of_brute_force(op, seed, density, pes):
    """Updates, touched outputs and busy cycles are counted by walking the loop nest; SimPy agrees event by event."""
    gemm, changed = op.gemm, random_changes(op, seed, density)
    walked = list(updates(gemm, changed))
    accelerator = engine("array.rows=1", f"array.cols={pes}")
    cost = accelerator.cost(Workload(op, operands=(Bitmap.of(changed),)))
    assert cost.effectual == len(walked) * gemm.n
    assert cost.effectual + cost.skipped + cost.gated == op.macs
    touched = {(image, oy, ox, group) for image, oy, ox, group, *_ in walked}
    assert touched_outputs(op, changed.reshape(op.timesteps, -1)) == len(touched) * gemm.n
    of_event = {}
    for image, _, _, _, channel, y, x in walked:
        of_event[image, channel, y, x] = of_event.get((image, channel, y, x), 0) + 1
    lanes = min(pes, gemm.n)
    busy = sum(-(-count // (pes // lanes)) * -(-gemm.n // pes) for count in of_event.values())
    assert cost.cycles == busy + cost.waits["event"]
    frames = changed.reshape(op.timesteps, -1)
    pipeline = event_pipeline(frames, frame_positions(op), gemm.n, accelerator.config)
    fast, slow = compiled.run(pipeline), simpy_engine.run(pipeline)
    assert fast.total_cycles == cost.cycles
    for stage in pipeline.stages:
        assert np.array_equal(fast.end_cycles[stage.name], slow.end_cycles[stage.name])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), density=st.floats(0, 1), queue=st.integers(1, 4), port=st.sampled_from([8, 16, 64]))
def test_cycles_are_those_of_a_walk_over_events(seed, density, queue, port):
    """Scan, queue and update end where a list of finish times says."""
    changed = np.random.default_rng(seed).random((3, 30)) < density
    positions = np.random.default_rng(seed + 1).integers(0, 5, 30)
    config = engine(
        f"events.queue_events={queue}", f"memory.sram.port_bits={port}", "array.rows=1", "array.cols=4"
    ).config
    scans, done, frame_begin = [], [], 0
    for frame in changed:
        word = 0
        for element in [*np.flatnonzero(frame), None]:
            reached = -(-30 // (port // 8)) if element is None else element // (port // 8) + 1
            begin = max(scans[-1] if scans else 0, frame_begin, done[-queue] if len(done) >= queue else 0)
            scans.append(begin + reached - word)
            word = reached
            service = 0 if element is None else -(-positions[element] // 2)  # 2 filters on 4 PEs: 2 positions at once
            done.append(max(scans[-1], done[-1] if done else 0) + service)
        frame_begin = done[-1]
    assert compiled.run(event_pipeline(changed, positions, 2, config)).total_cycles == done[-1]


def linear(steps=4, rows=3, k=5, n=6, groups=1):
    """Return a linear layer over time."""
    gemm = replace(Gemm.matmul(rows, n, k, groups), batch=steps)
    return Op(name="fc", kind="linear", gemm=gemm, weight="w", timesteps=steps, encoding="delta")


@pytest.mark.parametrize("groups", [1, 2])
def test_linear_layers_update_the_outputs_of_their_row(groups):
    """Each change is n updates; frames are cut out of groups whose rows are time-major."""
    op = linear(groups=groups)
    changed = np.random.default_rng(0).random((groups, 12, 5)) < 0.3
    weights = np.random.default_rng(1).random((groups, 6, 5)) < 0.5
    work = Workload(op, weights, (Bitmap.of(changed),))
    frames = by_frame(work)
    assert frames.shape == (4, groups * 15)
    assert np.array_equal(frames[1].reshape(groups, 3, 5), changed[:, 3:6])
    cost = engine("array.rows=1", "array.cols=6").cost(work)
    assert cost.effectual == np.einsum("gmk,gnk->", changed.astype(int), weights.astype(int))
    assert cost.effectual + cost.gated == changed.sum() * 6
    assert cost.effectual + cost.gated + cost.skipped == op.macs
    assert cost.cycles - cost.waits["event"] == changed.sum()
    assert touched_outputs(op, frames) == changed.any(axis=2).sum() * 6


def test_all_changes_are_what_uncaptured_inputs_cost():
    """Without bitmaps every input counts as changed; fewer changes are never slower."""
    gemm = Gemm(
        channels=2, filters=7, batch=2, in_h=4, in_w=4, out_h=4, out_w=4, kernel_h=3, kernel_w=3, pad_h=1, pad_w=1
    )  # fmt: skip
    op = Op(name="c", kind="conv", weight="w", timesteps=2, encoding="delta", gemm=gemm)
    changed, before = np.ones((2, 2, 4, 4), dtype=bool), np.inf
    for element in np.random.default_rng(0).permutation(changed.size):
        cost = engine().cost(Workload(op, operands=(Bitmap.of(changed),)))
        assert cost.cycles <= before
        before = cost.cycles
        if changed.all():
            assert cost == engine().cost(Workload(op))
        changed.flat[element] = False


def test_state_and_weights_are_charged_by_how_frames_come():
    """Streamed frames reload weights and carry their state through DRAM; a sequence at hand keeps what fits."""
    op, changed = linear(), np.random.default_rng(0).random((1, 12, 5)) < 0.3
    work = Workload(op, operands=(Bitmap.of(changed),))
    touched, events = int(changed.any(axis=2).sum()) * 6, int(changed.sum())
    stream, kept = engine().cost(work), engine("events.stream=false").cost(work)
    assert kept.dram_bytes == {"input": 60, "weight": 30, "output": touched, "metadata": 0}
    assert stream.dram_bytes == {"input": 120 + events, "weight": 120, "output": touched * 9, "metadata": 0}
    small = ("events.stream=false", "memory.sram.input_bytes=14", "memory.sram.output_bytes=71")
    assert engine(*small).cost(work).dram_bytes["output"] == touched * 9
    assert engine(*small).cost(work).dram_bytes["input"] >= 120 + events
    # Every update reads and writes an accumulator, every touched output is read once more and written.
    assert kept.sram_bytes["output"] == 2 * 4 * events * 6 + (4 + 1) * touched
    assert kept.energy_pj["metadata"] > 0
    assert stream.cycles == kept.cycles


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (
            replace(linear(), encoding="", timesteps=1),
            "no timesteps; give a sequence and --activations delta:THRESHOLD",
        ),
        (replace(linear(), encoding="spikes"), "no timesteps"),
        (replace(linear(), kind="recurrent"), "edgedrnn"),
        (replace(linear(), kind="matmul", weight=None), "both operands change"),
        (linear(), None),
    ],
)
def test_what_is_refused(op, reason):
    """Ops without changes, recurrences and products of activations go to the fallback unit."""
    found = engine().refuses(op)
    assert (found is None) == (reason is None)
    assert reason is None or reason in found


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("events.queue_events=0", "events.queue_events must be greater than or equal to 1, not 0"),
        ("events.stream=maybe", "events.stream must be true or false, not 'maybe'"),
        ("events.queue=4", "events.queue is an unknown key; known keys there: queue_events, stream"),
    ],
)
def test_bad_settings_are_told(setting, message):
    """A wrong value or key is named with its path."""
    with pytest.raises(InputError, match=message):
        engine(setting)
