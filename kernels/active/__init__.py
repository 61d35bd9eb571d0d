"""Convolutions with dense weights whose activations are sparse: they pay for non-zeros only.

    packed = pack_active(weight, stride=1, padding=1)     # once
    y = conv_active(packed, x, bias, low=0.0)             # after a ReLU, x has many zeros
    delta_conv_update(packed, frame - last, state)        # of a video little changes between frames
    spike_conv(packed, spikes, potential)                 # weights of spikes are added, nothing is multiplied

`scan` finds the non-zeros, `packed` orders the weights, `sweep` is the compiled kernel, `layout` tells how images lie
in memory.
"""

from kernels.active.conv import conv_active, delta_conv_update, spike_conv
from kernels.active.layout import by_pixels, empty_images
from kernels.active.packed import ActiveWeight, pack_active

__all__ = [
    "ActiveWeight",
    "by_pixels",
    "conv_active",
    "delta_conv_update",
    "empty_images",
    "pack_active",
    "spike_conv",
]
