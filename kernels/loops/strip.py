"""Strip: a sparse matrix times a strip of columns, for unstructured, grouped and N:M weights.

Inputs are (K, columns), outputs (rows, columns). The sums of one output row, or of R rows that share their indices,
are held in registers while the row's entries pass: each is an index, already scaled to the bytes from the strip's
first column to that of its input row, and R weights. Entries lie one behind the other in the order of their use.

Rows have heads: the length of their entries and the distance of their output in bytes, and R biases. In a *blocked*
kernel the reduction is cut, so that the inputs of a block stay in the L1 cache while all rows pass over them; between
blocks the sums wait in the output. Heads are then those of the first block, of the middle blocks and of the last.
"""

from __future__ import annotations

from itertools import pairwise

from kernels.loops.columns import clamp, offsets
from kernels.loops.nest import Block, Kernel, Node, Repeat
from kernels.loops.op import Op, add_index, advance, copy, fma, load_index, load_splat, load_vector, store_vector
from kernels.loops.weights import splat_weight


def sparse_strip(
    columns: int,
    rows: int = 1,
    *,
    blocked: bool = False,
    length: int | None = None,
    unroll: int = 1,
    shuffle: bool = False,
    pieces: bool = False,
    lanes: int = 4,
) -> Kernel:
    """Return the sparse kernel.

    Parameters
    ----------
    columns
        Width of a strip, or of a piece of it, at least ``lanes``. Where it is no multiple of them, the last vector
        overlaps the one before.
    rows
        Output rows that share their indices, consecutive: 1 for unstructured and N:M, the height of a block.
    blocked
        Whether the reduction is cut into two blocks or more.
    length
        The entries of every row, for N:M; by default each row has its own, perhaps none.
    unroll
        Entries of one turn of the inner loop; all rows are padded to a multiple of it.
    shuffle
        Load a vector of an entry's weights at once and splat its lanes, for more rows than one. Up to a vector behind
        the last entry is then read.
    pieces
        Whether a strip has several pieces, which a row passes over one after the other: whole cache lines are then
        used although a piece is narrower, and the exit of the inner loop repeats.
    lanes
        float32 lanes of a vector.

    Returns
    -------
    Kernel
        Parameters: ``x`` and ``y``, the first columns; ``x_end``, the end of x's first row for this kernel;
        ``y_stride`` with more rows than one; ``span``, the bytes of a strip's columns, if it has pieces; ``entries``;
        ``heads`` and the ends of heads, ``only_end`` or ``first_end``, ``middle_end``, ``last_end``; ``limits``, where
        the lower and upper bound of the outputs are.
        Loops: ``strips``; ``only rows`` (or first, middle, last) and in each its ``pieces``, if any, and ``entries``.
    """
    shape = _Shape(columns, rows, length, unroll, shuffle, pieces, lanes)
    parts = ("first", "middle", "last") if blocked else ("only",)
    loops: list[Node] = [
        Repeat(f"{part} rows", "head", f"{part}_end", shape.row(part), may_skip=part == "middle") for part in parts
    ]
    if pieces:
        moves = (add_index("x", "x", "span"), add_index("y", "y", "span"))
    else:
        moves = (advance("x", 4 * columns), advance("y", 4 * columns))
    strip = (Block((copy("entry", "entries"), copy("head", "heads"))), *loops, Block(moves))
    optional = (*["y_stride"] * (rows > 1), *["span"] * pieces)
    ends = tuple(f"{part}_end" for part in parts)
    parameters = ("x", "x_end", "y", *optional, "entries", "heads", *ends, "limits")
    details = {
        "_blocked": blocked,
        f"_length{length}": length,
        f"_unroll{unroll}": unroll > 1,
        "_shuffle": shuffle,
        "_pieces": pieces,
    }
    name = f"strip_{rows}x{columns}" + "".join(name for name, given in details.items() if given)
    return Kernel(name, parameters, (Repeat("strips", "x", "x_end", strip),), lanes)


class _Shape:
    """The loops over the entries of rows, for one shape of strip."""

    def __init__(
        self, columns: int, rows: int, length: int | None, unroll: int, shuffle: bool, pieces: bool, lanes: int
    ) -> None:
        self.columns, self.rows, self.length, self.unroll, self.pieces = columns, rows, length, unroll, pieces
        self.at, self.lanes = offsets(columns, lanes), lanes if shuffle else None
        self.x = "piece" if pieces else "x"
        self.sums = [[f"sum{r}_{v}" for v in range(len(self.at))] for r in range(rows)]
        self.outs = ["out", *(f"out{r}" for r in range(1, rows))]

    def row(self, part: str) -> tuple[Node, ...]:
        """Return the body of the loop over one part's rows."""
        outs, width = self.outs, 4 * (1 + self.rows)
        start = [load_index("place", "head", 4), add_index("out", "y", "place")]
        start += [add_index(out, before, "y_stride") for before, out in pairwise(outs)]
        if self.length is None:
            start += [load_index("length", "head"), add_index("row_end", "entry", "length")]
        else:
            start.append(advance("entry", width * self.length, "row_end"))
        head_end = advance("head", head_bytes(self.rows))
        entries = Repeat(
            f"{part} entries", "entry", "row_end", (Block(tuple(self.entry())),), may_skip=self.length is None
        )
        if not self.pieces:
            return Block((*start, *self.begin(part), head_end)), entries, Block(tuple(self.end(part)))
        start += [copy("row", "entry"), copy("piece", "x"), add_index("piece_end", "x", "span")]
        moves = [advance(pointer, 4 * self.columns) for pointer in ("piece", *outs)]
        body = (Block((copy("entry", "row"), *self.begin(part))), entries, Block((*self.end(part), *moves)))
        return Block(tuple(start)), Repeat(f"{part} pieces", "piece", "piece_end", body), Block((head_end,))

    def begin(self, part: str) -> list[Op]:
        """Return the ops that start the sums: with the bias, or with what they were after the block before."""
        fresh = part in ("only", "first")
        return [
            load_splat(one, "head", 8 + 4 * r) if fresh else load_vector(one, out, offset)
            for r, (out, row) in enumerate(zip(self.outs, self.sums, strict=True))
            for one, offset in zip(row, self.at, strict=True)
        ]

    def end(self, part: str) -> list[Op]:
        """Return the ops that store the sums, bounded if they are complete."""
        ops = clamp([one for row in self.sums for one in row]) if part in ("only", "last") else []
        for out, row in zip(self.outs, self.sums, strict=True):
            ops += [store_vector(out, one, offset) for one, offset in zip(row, self.at, strict=True)]
        return ops

    def entry(self) -> list[Op]:
        """Return the ops of one turn of the inner loop."""
        ops, size = [], 4 * (1 + self.rows)
        for u in range(self.unroll):
            ops += [load_index("index", "entry", u * size), add_index("input", self.x, "index")]
            if self.rows == 1:
                ops.append(load_splat("w", "entry", u * size + 4))
                for v, offset in enumerate(self.at):
                    ops += [load_vector("x0", "input", offset), fma(self.sums[0][v], "x0", "w")]
            else:
                ops += [load_vector(f"x{v}", "input", offset) for v, offset in enumerate(self.at)]
                for r, row in enumerate(self.sums):
                    ops += splat_weight("entry", u * size + 4, r, self.lanes)
                    ops += [fma(one, "w", f"x{v}") for v, one in enumerate(row)]
        return [*ops, advance("entry", self.unroll * size)]


def head_bytes(rows: int) -> int:
    """Return the bytes of the head of so many rows that share their indices."""
    return 4 * (2 + rows)
