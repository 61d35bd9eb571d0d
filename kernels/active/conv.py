"""Convolutions that pay for non-zero activations only: of ReLU outputs, of changes between frames, of spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.active.layout import empty_images, read, written
from kernels.active.packed import ActiveWeight
from kernels.active.scan import nonzero_words
from kernels.active.sweep import Extent, compiled
from kernels.arrays import ArrayLike, KernelError, as_numpy, bounds, checked, vector
from kernels.threads import check_threads

INFINITY = float("inf")
SPARSE = 0.2
"""With a smaller share of non-zeros, longer words in a step are worth more than a panel that fits the L1 cache."""


def conv_active(
    packed: ActiveWeight,
    x: ArrayLike,
    bias: ArrayLike = None,
    low: float = -INFINITY,
    high: float = INFINITY,
    out: ArrayLike = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Return ``clamp(conv2d(x, W) + bias, low, high)``, at the cost of the non-zeros of x.

    Parameters
    ----------
    packed
        The weights W (M, C, rows, columns) and the geometry, from `pack_active`.
    x
        float32 (batch, C, height, width), NumPy array or torch tensor, used where it lies if it lies by pixels
        (channels_last) or by channels. A zero costs nothing, and hides what it would be multiplied with.
    bias
        float32 (M,), or None for zeros.
    low, high
        Bounds of the output: 0 and infinity for a ReLU.
    out
        float32 (batch, M, out_height, out_width) to write, lying by pixels; None makes one.
    threads
        Cores to use.

    Returns
    -------
    ndarray
        Lying by pixels, as `empty_images`; ``numpy.ascontiguousarray`` gives one that lies by channels.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    x = checked("x", x, (None, _inputs(packed), None, None))
    shape = (len(x), packed.shape[0], *packed.output_size(*x.shape[2:]))
    y = empty_images(*shape) if out is None else as_numpy("out", out)
    bias = vector("bias", bias, shape[1])
    memory = written("out", y, shape, x, bias)
    _sweep(packed, x, bias, bounds(low, high), memory, threads)
    return y


def delta_conv_update(packed: ActiveWeight, delta: ArrayLike, state: ArrayLike, threads: int = 1) -> None:
    """Add the convolution of a change of the input to the state: what stayed as it was costs nothing.

    Parameters
    ----------
    packed
        The weights W (M, C, rows, columns) and the geometry, from `pack_active`.
    delta
        float32 (C, height, width), or a batch of them; zeros where nothing changed.
    state
        float32 (M, out_height, out_width), or a batch of them, updated in place. It lies by pixels (`by_pixels`).
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    inputs = _inputs(packed)
    delta = as_numpy("delta", delta)
    delta = checked("delta", delta, (inputs, None, None) if delta.ndim == 3 else (None, inputs, None, None))
    _update(packed, "state", delta, state, threads)


def spike_conv(packed: ActiveWeight, spikes: ArrayLike, potential: ArrayLike, threads: int = 1) -> None:
    """Add the convolution of spikes to the potential of neurons: weights are added, nothing is multiplied.

    Parameters
    ----------
    packed
        The weights W (M, C, rows, columns) and the geometry, from `pack_active`.
    spikes
        uint8 or bool (C, height, width), or a batch of them; what is not 0 is one spike.
    potential
        float32 (M, out_height, out_width), or a batch of them, updated in place. It lies by pixels (`by_pixels`).
    threads
        Cores to use.

    Raises
    ------
    KernelError
        If an array has another shape, type or layout.
    """
    inputs = _inputs(packed)
    spikes = as_numpy("spikes", spikes)
    if spikes.dtype not in (np.uint8, np.bool_):
        raise KernelError(f"spikes must be of uint8 or bool, not {spikes.dtype}; convert them first")
    if spikes.ndim not in (3, 4) or spikes.shape[-3] != inputs or spikes.size == 0:
        raise KernelError(f"spikes must be of shape ({inputs}, any, any), or a batch of these, not {spikes.shape}")
    _update(packed, "potential", spikes.view(np.uint8), potential, threads)


def _inputs(packed: object) -> int:
    if not isinstance(packed, ActiveWeight):
        kind = type(packed).__name__
        raise KernelError(f"weights must be packed by kernels.active.pack_active, not {kind}; pack them first")
    return packed.shape[1]


def _update(packed: ActiveWeight, what: str, x: NDArray[Any], y: ArrayLike, threads: int) -> None:
    """Add a convolution to a state; both are single images or both are batches."""
    shape = (*x.shape[:-3], packed.shape[0], *packed.output_size(*x.shape[-2:]))
    memory = written(what, y, shape, x)
    _sweep(packed, x if x.ndim == 4 else x[None], None, None, memory, threads)


def _sweep(
    packed: ActiveWeight,
    x: NDArray[Any],
    bias: NDArray[np.float32] | None,
    limits: tuple[np.float32, np.float32] | None,
    y: NDArray[np.float32],
    threads: int,
) -> None:
    """Scan and sweep phase by phase; without a bias the sums go on from what y holds."""
    threads = check_threads(threads)
    batch, inputs, height, width = x.shape
    images = read(x)
    words, total = nonzero_words(images, batch, inputs, height * width)
    few = total < SPARSE * x.size
    size = Extent(
        batch,
        *(inputs, height, width),
        *(packed.shape[0], *packed.output_size(height, width)),
        *(packed.shape[2], packed.stride, packed.padding),
        *(images.pixel, images.channel),
    )
    spikes = images.memory.dtype == np.uint8
    values = y if spikes else images.memory
    low, high = limits or (np.float32(-np.inf), np.float32(np.inf))
    bounded = bool(low > -np.inf or high < np.inf)
    for phase in packed.phases:
        kernel = compiled(phase.taps, packed.vectors, packed.lanes, int(spikes), int(threads > 1))
        weights = phase.values, phase.first, 64 if few else phase.block
        starts = bias is not None and phase is packed.phases[0]
        ends = bounded and phase is packed.phases[-1]
        kernel(values, words, *weights, y if bias is None else bias, low, high, y, size, starts, ends, threads)
