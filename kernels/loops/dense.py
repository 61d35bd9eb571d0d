"""Dense tile: R output channels by some columns, held in registers over the whole reduction.

Inputs are (K, columns), outputs (rows, columns), weights packed by tiles of R rows: R biases, then for each of the K
inputs its R weights. For each input, the vectors of a strip of columns are loaded once and each weight is splat once,
for R times as many multiply-adds.
"""

from __future__ import annotations

from kernels.loops.columns import clamp, offsets
from kernels.loops.nest import Block, Kernel, Repeat
from kernels.loops.op import Op, add_index, advance, copy, fma, load_splat, load_vector, store_vector
from kernels.loops.weights import splat_weight


def dense_tile(rows: int, columns: int, shuffle: bool = False, unroll: int = 1, lanes: int = 4) -> Kernel:
    """Return the dense kernel: strips of columns, in each all tiles of rows.

    Parameters
    ----------
    rows
        Output channels of a tile. It takes rows * vectors + vectors + 1 vector registers.
    columns
        Width of a strip, at least ``lanes``. Where it is no multiple of them, the last vector overlaps the one before.
    shuffle
        Load a vector of weights at once and splat its lanes, instead of one load for each splat. Up to a vector
        behind the last weight is then read.
    unroll
        Inputs of one turn of the inner loop; a tile's inputs are padded with zero weights to a multiple of it.
    lanes
        float32 lanes of a vector.

    Returns
    -------
    Kernel
        Parameters: ``x`` and ``y``, the first columns; ``x_end``, the end of x's first row for this kernel;
        ``x_stride`` and ``y_stride``; ``weights``, ``weights_end``; ``reduction``, the bytes of a tile's weights
        without its biases; ``limits``, where the lower and upper bound of the outputs are. The number of rows is a
        multiple of the tile's. Loops: ``strips``, ``tiles``, ``inputs``.
    """
    at = offsets(columns, lanes)
    sums = [[f"sum{r}_{v}" for v in range(len(at))] for r in range(rows)]
    start = [load_splat(sums[r][v], "weight", 4 * r) for r in range(rows) for v in range(len(at))]
    start += [advance("weight", 4 * rows), add_index("tile_end", "weight", "reduction"), copy("input", "x")]
    step: list[Op] = []
    for u in range(unroll):
        step += [load_vector(f"x{v}", "input", offset) for v, offset in enumerate(at)]
        for r in range(rows):
            step += splat_weight("weight", 0, u * rows + r, lanes if shuffle else None)
            step += [fma(sums[r][v], "w", f"x{v}") for v in range(len(at))]
        step.append(add_index("input", "input", "x_stride"))
    step.append(advance("weight", 4 * rows * unroll))
    end = clamp([one for row in sums for one in row])
    for row in sums:
        end += [store_vector("out", one, offset) for one, offset in zip(row, at, strict=True)]
        end.append(add_index("out", "out", "y_stride"))
    tile = (Block(tuple(start)), Repeat("inputs", "weight", "tile_end", (Block(tuple(step)),)), Block(tuple(end)))
    strip = (
        Block((copy("weight", "weights"), copy("out", "y"))),
        Repeat("tiles", "weight", "weights_end", tile),
        Block((advance("x", 4 * columns), advance("y", 4 * columns))),
    )
    parameters = ("x", "x_end", "x_stride", "y", "y_stride", "weights", "weights_end", "reduction", "limits")
    details = ["_shuffle" if shuffle else "", f"_unroll{unroll}" if unroll > 1 else ""]
    name = f"dense_{rows}x{columns}" + "".join(details)
    return Kernel(name, parameters, (Repeat("strips", "x", "x_end", strip),), lanes)
