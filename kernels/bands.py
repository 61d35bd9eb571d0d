"""Bands: every packed format as rows that share their columns, the common form from which panels are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.formats import NM, Block, Csr, Group
from kernels.packed import Store


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Some rows of a sparse matrix, in bands of equally many rows with the same columns.

    Attributes
    ----------
    rows
        int32 (bands, height): the matrix rows of each band.
    pointers
        int64 (bands + 1,): band i owns entries ``pointers[i]`` up to ``pointers[i + 1]``.
    columns
        int32 (entries,): ascending within a band.
    values
        float32 (entries, height).
    """

    rows: NDArray[np.int32]
    pointers: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    @property
    def height(self) -> int:
        """Rows of a band."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, first: int, last: int) -> Bands:
        """Return bands ``first`` up to ``last``."""
        start, end = self.pointers[first], self.pointers[last]
        pointers = self.pointers[first : last + 1] - start
        return Bands(self.rows[first:last], pointers, self.columns[start:end], self.values[start:end])

    def split(self, height: int) -> Bands:
        """Return bands of fewer rows, a divisor of this height; each has the columns of the band it is from."""
        pieces = self.height // height
        lengths = np.repeat(np.diff(self.pointers), pieces)
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        entry = np.arange(pointers[-1]) + np.repeat(np.repeat(self.pointers[:-1], pieces) - pointers[:-1], lengths)
        piece = np.repeat(np.tile(np.arange(pieces), len(self)), lengths)
        values = self.values.reshape(-1, pieces, height)[entry, piece]
        return Bands(self.rows.reshape(-1, height), pointers, self.columns[entry], values)

    def singles(self, rows: int) -> Bands:
        """Return the first rows of every band as bands of one row; the other rows are padding."""
        lengths = np.repeat(np.diff(self.pointers), rows)
        order = np.concatenate(
            [np.arange(a, b) for a, b in zip(self.pointers[:-1], self.pointers[1:], strict=True) for _ in range(rows)]
            or [np.zeros(0, np.int64)]
        )
        place = np.repeat(np.tile(np.arange(rows), len(self)), lengths)
        return Bands(
            rows=self.rows[:, :rows].reshape(-1, 1),
            pointers=np.concatenate([[0], np.cumsum(lengths)]),
            columns=self.columns[order],
            values=self.values[order, place][:, None],
        )


def bands(store: Store, height: int) -> list[Bands]:
    """Return a packed matrix as bands: those of full height, then any rows left over, one by one.

    Parameters
    ----------
    store
        The packed matrix.
    height
        Rows of a band where the format leaves the choice (``dense``).
    """
    match store:
        case Csr():
            whole = Bands(
                _rows(store.shape[0], 1), store.pointers.astype(np.int64), store.indices, store.values[:, None]
            )
        case NM():
            whole = _from_nm(store)
        case Group():
            pointers = store.pointers.astype(np.int64)
            whole = Bands(_rows(store.shape[0], store.size), pointers, store.indices, store.values)
        case Block():
            whole = _from_block(store)
        case _:
            whole = _from_dense(store, height)
    left = store.shape[0] % whole.height
    if not left:
        return [whole]
    full = len(whole) - 1
    return [part for part in (whole.cut(0, full), whole.cut(full, full + 1).singles(left)) if len(part)]


def _rows(count: int, height: int) -> NDArray[np.int32]:
    """Return the rows of bands that cover so many rows, the last one padded with rows that do not exist."""
    return np.arange(-(-count // height) * height, dtype=np.int32).reshape(-1, height)


def _from_nm(store: NM) -> Bands:
    rows, columns = store.shape
    slots = np.arange(store.values.shape[1])
    run, group = np.divmod(slots // store.n, -(-store.run // store.m))
    place = (run * store.run + group * store.m)[None, :] + store.indices
    used = place < columns
    pointers = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    return Bands(_rows(rows, 1), pointers, place[used].astype(np.int32), store.values[used][:, None])


def _from_block(store: Block) -> Bands:
    height, width = store.block
    columns = store.indices[:, None] * width + np.arange(width)
    exist = columns < store.shape[1]
    lengths = np.add.reduceat(np.append(exist.sum(axis=1), 0), store.pointers[:-1])
    lengths[np.diff(store.pointers) == 0] = 0
    pointers = np.concatenate([[0], np.cumsum(lengths)])
    values = store.values.transpose(0, 2, 1)[exist]
    return Bands(_rows(store.shape[0], height), pointers, columns[exist].astype(np.int32), values)


def _from_dense(matrix: NDArray[np.float32], height: int) -> Bands:
    rows, columns = matrix.shape
    count = -(-rows // height)
    padded = np.pad(matrix, ((0, count * height - rows), (0, 0)))
    values = padded.reshape(count, height, columns).transpose(0, 2, 1).reshape(-1, height)
    pointers = np.arange(count + 1, dtype=np.int64) * columns
    return Bands(_rows(rows, height), pointers, np.tile(np.arange(columns, dtype=np.int32), count), values)
