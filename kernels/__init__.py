"""What a CPU really does with sparse weights: packed formats whose size is stated exactly, and fast kernels.

A weight matrix is (M outputs, K inputs) float32. `pack` checks it and stores it once; products then check only
what they are given.

>>> import numpy as np
>>> from kernels import pack, spmm
>>> packed = pack(np.array([[0, 3, 0, -1], [5, 0, 0, 2]], np.float32), "2:4")
>>> packed
Packed(2x4, 2:4, 4 non-zeros, 17 bytes)
>>> spmm(packed, np.ones((4, 3), np.float32), low=0).tolist()
[[2.0, 2.0, 2.0], [7.0, 7.0, 7.0]]

The package registry also has a project named ``kernels`` (compute kernels for the GPU, which some model
libraries look for). This is another thing: the two cannot be installed side by side.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from kernels import formats
from kernels.arrays import KernelError, empty
from kernels.packed import Packed, pack

if TYPE_CHECKING:
    from kernels.active import conv_active, delta_conv_update, pack_active, spike_conv
    from kernels.matvec import delta_update, gemv, gemv_columns, gemv_rows, spike_update
    from kernels.products import conv1x1, dense, product, spmm
    from kernels.runner import Runner
    from kernels.windows.convolution import conv3x3
    from kernels.windows.depthwise import depthwise
    from kernels.windows.pooling import average_pool, max_pool

_LAZY = {
    "Runner": "kernels.runner",
    "average_pool": "kernels.windows.pooling",
    "conv1x1": "kernels.products",
    "conv3x3": "kernels.windows.convolution",
    "conv_active": "kernels.active",
    "delta_conv_update": "kernels.active",
    "delta_update": "kernels.matvec",
    "dense": "kernels.products",
    "depthwise": "kernels.windows.depthwise",
    "gemv": "kernels.matvec",
    "gemv_columns": "kernels.matvec",
    "gemv_rows": "kernels.matvec",
    "max_pool": "kernels.windows.pooling",
    "pack_active": "kernels.active",
    "product": "kernels.products",
    "spike_conv": "kernels.active",
    "spike_update": "kernels.matvec",
    "spmm": "kernels.products",
}

__all__ = [
    "KernelError",
    "Packed",
    "Runner",
    "average_pool",
    "conv1x1",
    "conv3x3",
    "conv_active",
    "delta_conv_update",
    "delta_update",
    "dense",
    "depthwise",
    "empty",
    "formats",
    "gemv",
    "gemv_columns",
    "gemv_rows",
    "max_pool",
    "pack",
    "pack_active",
    "product",
    "spike_conv",
    "spike_update",
    "spmm",
]


def __getattr__(name: str) -> object:
    """Import what needs Numba when it is first asked for. No module has the name of a function it holds."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'kernels' has no attribute {name!r}")
