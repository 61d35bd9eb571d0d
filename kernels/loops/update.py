"""Update: columns of a weight matrix added to a state, for temporal deltas and for spikes.

The weight is stored by input: column k, the weights of all outputs for input k, lies in one piece. For each input that
changed, state += column * change; for each input that spiked, state += column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernels.loops.nest import Block, Kernel, Repeat
from kernels.loops.op import Kind, Op, add_index, advance, binary, copy, fma, load_index, load_splat, load_vector
from kernels.loops.op import store_vector as store
from kernels.loops.program import Call, Memory, Program

Floats = NDArray[np.float32]


def delta_update(vectors: int, lanes: int = 4) -> Kernel:
    """Return the update by changed inputs.

    Parameters
    ----------
    vectors
        Vectors of the state that one turn of the inner loop updates; the state is padded to a multiple of it.
    lanes
        float32 lanes of a vector.

    Returns
    -------
    Kernel
        Parameters: ``state``, ``state_end``; ``events``, ``events_end``: for each, the bytes from ``weights`` to its
        column (int32) and its change (float32); ``weights``. Loops: ``events``, ``chunks``.
    """
    return _update("delta", vectors, lanes)


def spike_update(vectors: int, lanes: int = 4) -> Kernel:
    """Return the update by spikes: as `delta_update`, but an event is only the bytes to its column."""
    return _update("spike", vectors, lanes)


def _update(kind: str, vectors: int, lanes: int) -> Kernel:
    """Return one of the two."""
    delta = kind == "delta"
    start = [load_index("index", "event"), add_index("column", "weights", "index"), copy("chunk", "state")]
    if delta:
        start.append(load_splat("change", "event", 4))
    start.append(advance("event", 8 if delta else 4))
    step: list[Op] = []
    for v in range(vectors):
        offset = 4 * lanes * v
        step += [load_vector("sum", "chunk", offset), load_vector("w", "column", offset)]
        step.append(fma("sum", "w", "change") if delta else binary(Kind.ADD, "sum", "sum", "w"))
        step.append(store("chunk", "sum", offset))
    step += [advance("column", 4 * lanes * vectors), advance("chunk", 4 * lanes * vectors)]
    chunks = Repeat("chunks", "chunk", "state_end", (Block(tuple(step)),))
    nest = (
        Block((copy("event", "events"),)),
        Repeat("events", "event", "events_end", (Block(tuple(start)), chunks), may_skip=True),
    )
    return Kernel(f"{kind}_{lanes * vectors}", ("state", "state_end", "events", "events_end", "weights"), nest, lanes)


def update_program(
    weight: Floats, state: Floats, inputs: NDArray[np.integer], changes: Floats | None, vectors: int = 4, lanes: int = 4
) -> Program:
    """Return the program of one update: state + weight[:, inputs] @ changes.

    Parameters
    ----------
    weight
        float32 (M, K).
    state
        float32 (M,).
    inputs
        Integers (events,): which inputs changed or spiked.
    changes
        float32 (events,): by how much; None for spikes.
    vectors, lanes
        See `delta_update`.
    """
    width = vectors * lanes
    padded = np.pad(weight.T, ((0, 0), (0, -len(state) % width)))
    size = padded.shape[1]
    memory = Memory()
    place = memory.add(np.pad(state, (0, size - len(state)))[None])
    columns = memory.add(padded)
    events = [(4 * size * inputs).astype(np.int32)]
    if changes is not None:
        events.append(changes.view(np.int32))
    listed = memory.add(np.stack(events, axis=1))
    arguments = {
        "state": place.address,
        "state_end": place.end,
        "events": listed.address,
        "events_end": listed.end,
        "weights": columns.address,
    }
    kernel = spike_update(vectors, lanes) if changes is None else delta_update(vectors, lanes)
    turns = {"events": len(inputs), "chunks": len(inputs) * size // width}
    return Program((Call(kernel, arguments, turns),), memory.image(), place, (1, len(state)))
