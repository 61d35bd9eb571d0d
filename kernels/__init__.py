"""What a CPU really does with sparse weights: packed formats whose size in bits is stated exactly.

A weight matrix is (rows, columns) float32: rows are output channels, columns the reduction. Each format of
`kernels.formats` packs one losslessly and tells what it costs to store.

>>> import numpy as np
>>> from kernels.formats import NM
>>> packed = NM.pack(np.array([[0, 3, 0, -1, 5, 0, 0, 2]], np.float32), n=2, m=4)
>>> packed
NM(1x8, 2:4, 4 non-zeros)
>>> packed.value_bits(8), packed.metadata_bits
(32, 8)

The package registry also has a project named ``kernels`` (compute kernels for the GPU, which some model
libraries look for). This is another thing: the two cannot be installed side by side.
"""

from kernels import formats

__all__ = ["formats"]
