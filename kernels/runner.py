"""Runner: a whole chain of layers in these kernels, its 1x1 convolutions sparse.

Everything that can be done once is done when it is made: weights packed, tiles planned, kernels compiled, memory for
activations taken. A run is then one call of compiled code for each layer and strip. Layers read from one of two
stretches of memory and write to the other, so that the caches hold what was written last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels import arrays
from kernels.arrays import ArrayLike, KernelError
from kernels.chain import Convolution, Layer, checked
from kernels.matvec.product import gemv
from kernels.packed import Packed, pack
from kernels.products import product
from kernels.windows import convolution, depthwise, pooling
from kernels.windows.geometry import Geometry

Floats: TypeAlias = NDArray[np.float32]
Step: TypeAlias = Callable[[], object]
Size: TypeAlias = tuple[int, int]


class Runner:
    """A chain of layers, ready for images of one size.

    Attributes
    ----------
    shape
        (channels, height, width) of an image.
    packed
        The packed weights of the 1x1 convolutions, in order.
    """

    def __init__(
        self, layers: Sequence[Layer], shape: tuple[int, int, int], pattern: str = "unstructured", threads: int = 1
    ) -> None:
        """Make a chain ready.

        Parameters
        ----------
        layers
            From `kernels.chain`: convolutions (3x3, depthwise 3x3 or 5x5, 1x1) and at the end a `Linear`.
        shape
            (channels, height, width) of an image.
        pattern
            How the 1x1 convolutions are packed (`kernels.pack`); ``dense`` for dense kernels.
        threads
            Cores to use.

        Raises
        ------
        KernelError
            If a layer has no kernel here, or does not fit the one before it.
        """
        self.shape = shape
        self.packed: list[Packed] = []
        self._pattern, self._threads = pattern, threads
        self._steps: list[Step] = []
        if len(shape) != 3:
            raise KernelError(f"shape must be (channels, height, width), not {shape!r}")
        for what, value in zip(("channels", "height", "width"), shape, strict=True):
            arrays.whole(f"{what} of the shape", value, 1)
        convolutions, last = checked(layers)
        self._image = arrays.empty(shape[0], shape[1] * shape[2])
        sizes = [shape[1:]]
        for layer in convolutions:
            sizes.append(_size(layer, sizes[-1]))
        largest = max(
            len(layer.bias) * arrays.row_stride(len(layer.bias), size[0] * size[1])
            for layer, size in zip(convolutions, sizes[1:], strict=True)
        )
        memory = [arrays.empty(1, largest)[0] for _ in range(2)]
        planes = self._image
        for place, (layer, size) in enumerate(zip(convolutions, sizes, strict=False)):
            planes = self._add(place, layer, planes, size, memory[place % 2])
        if last.weight.shape[1] != len(planes):
            raise KernelError(f"the Linear layer must have {len(planes)} inputs, not {last.weight.shape[1]}")
        means, self._result = np.zeros(len(planes), np.float32), np.zeros(len(last.bias), np.float32)
        self._steps.append(partial(pooling.plane_means, len(planes), planes.shape[1], *arrays.flat(planes), means))
        self._steps.append(
            partial(gemv, pack(last.weight, "dense"), means, last.bias, out=self._result, threads=threads)
        )

    def _add(self, place: int, layer: Convolution, planes: Floats, size: Size, memory: Floats) -> Floats:
        """Add the step of one convolution of planes; return the planes that it writes."""
        channels, kernel = layer.weight.shape[1] * layer.groups, layer.weight.shape[2]
        if channels != len(planes):
            raise KernelError(f"layer {place} must have {len(planes)} input channels, not {channels}")
        rows, columns = _size(layer, size)
        y = _carved(memory, len(layer.bias), rows * columns)
        bounds = arrays.bounds(layer.low, layer.high)
        if layer.groups == 1 and kernel == 1 and layer.stride == 1:
            self.packed.append(pack(layer.weight, self._pattern))
            ready = product(self.packed[-1], planes.shape[1], self._threads)
            self._steps.append(ready.bind(planes, layer.bias, layer.low, layer.high, y))
            return y
        geometry = Geometry(kernel, layer.stride, layer.padding, *size)
        if layer.groups > 1:
            run = depthwise.on_planes(np.ascontiguousarray(layer.weight[:, 0]), layer.bias, geometry, self._threads)
        else:
            run = convolution.on_planes(layer.weight, layer.bias, geometry, self._threads)
        self._steps.append(partial(run, *arrays.flat(planes), *bounds, *arrays.flat(y)))
        return y

    def __call__(self, image: ArrayLike) -> Floats:
        """Return the outputs (classes,) of an image (channels, height, width), or of a batch, (batch, classes).

        Raises
        ------
        KernelError
            If the image is not float32 of the shape that the runner was made for.
        """
        batch = getattr(image, "ndim", 3) == 4
        images = arrays.checked("image", image, (None, *self.shape) if batch else self.shape)
        results = [self._one(one) for one in (images if batch else images[None])]
        return np.stack(results) if batch else results[0]

    def _one(self, image: Floats) -> Floats:
        self._image[:] = image.reshape(self._image.shape)
        for step in self._steps:
            step()
        return self._result.copy()

    def __repr__(self) -> str:
        channels, height, width = self.shape
        sparse = sum(packed.nonzeros for packed in self.packed)
        return f"Runner({channels}x{height}x{width}, {len(self._steps)} layers, {sparse:,} weights in 1x1 convolutions)"


def _size(layer: Convolution, size: Size) -> Size:
    """Return the height and width of what a layer writes."""
    geometry = Geometry(layer.weight.shape[2], layer.stride, layer.padding, *size)
    return geometry.rows, geometry.columns


def _carved(memory: Floats, rows: int, columns: int) -> Floats:
    """Return a matrix as `kernels.empty` makes it, in memory that is there."""
    stride = arrays.row_stride(rows, columns)
    return memory[: rows * stride].reshape(rows, stride)[:, :columns]
