"""Topology tables: the layer shapes of a network in SCALE-Sim's CSV forms, read into an `OpGraph`."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from itertools import chain, count, pairwise
from pathlib import Path

from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.nm import parse_nm
from traces.op import Op

_CONV = (
    "Layer name",
    "IFMAP height",
    "IFMAP width",
    "Filter height",
    "Filter width",
    "Channels",
    "Num filter",
    "Strides",
)
_GEMM = ("Layer", "M", "N", "K")
_LARGEST = 10**9  # of one size; products of a few sizes must stay within 64 bits later on


def read_topology(path: Path | str) -> OpGraph:
    """Read a table of layers, one a row, and chain them in the order of their rows.

    The header (required) tells two forms apart. A trailing comma is usual, blank lines are skipped, and tabs
    may stand for commas.

    ``Layer name, IFMAP height, IFMAP width, Filter height, Filter width, Channels, Num filter, Strides``
        Convolutions, told by position. The input counts as already padded, so ``out = ceil((in - kernel +
        stride) / stride)``: a last window may be partial. Optional columns: the stride along the width
        (ninth; else one stride serves both directions) and the sparsity. What follows a ``#`` there, and
        further columns of the author's own, are ignored. A name that contains ``DP`` marks a depthwise
        layer: every channel is convolved on its own with ``Num filter`` filters.
    ``Layer, M, N, K``
        Matrix products (M, K) x (K, N), told by name, with an optional sparsity column.

    A sparsity such as ``2:4`` keeps 2 of every 4 consecutive weights along the reduction; an empty one and
    ``4:4`` are dense. It stands in a column whose header contains "spars", or in any column after the sizes.

    Parameters
    ----------
    path
        The CSV file, UTF-8. Its stem names the graph.

    Returns
    -------
    OpGraph
        Ops of kind ``conv``, ``depthwise`` or ``linear``. A repeated layer name gets the suffix ``#2``,
        ``#3`` and so on. There are no weights, only their keys and declared patterns.

    Raises
    ------
    InputError
        If the file cannot be read or a row is not valid; the sentence names file, line and column.

    Notes
    -----
    Source of the format and of the output size: SCALE-Sim v2, ``topology_utils.py``; of the sparsity
    column: Raj et al., "SCALE-Sim v3", ISPASS 2025.
    """
    path = Path(path)
    rows = _rows(_text(path))
    if not rows:
        raise InputError(f"{path} must hold a header and at least one layer, but it is empty")
    (top, titles), *layers = rows
    header = [title.lower() for title in titles]
    is_gemm = {"m", "n", "k"} <= set(header[1:])
    if not is_gemm and (len(header) < len(_CONV) or "filter" not in " ".join(header)):
        raise InputError(
            f"{path} line {top} must be the header '{', '.join(_CONV)}' or '{', '.join(_GEMM)}', not"
            f" '{', '.join(titles)[:60]}'"
        )
    if not layers:
        raise InputError(f"{path} must have at least one layer below its header")
    ops: dict[str, Op] = {}
    for number, cells in layers:
        row = _Row(f"{path} line {number}", header, cells)
        kind, gemm, first_optional = row.matmul() if is_gemm else row.convolution()
        name = _unused(row.name, ops)
        ops[name] = Op(name=name, kind=kind, gemm=gemm, weight=name, declared=row.sparsity(first_optional))
    return OpGraph.of(path.stem, list(ops.values()), list(pairwise(ops)))


@dataclass(frozen=True)
class _Row:
    """One layer of the table: where it stands, and its cells beside the header's (in small letters)."""

    where: str
    header: list[str]
    cells: list[str]

    @property
    def name(self) -> str:
        if not self.cells[0]:
            raise InputError(f"{self.where}: the layer has no name in its first column")
        return self.cells[0]

    def size(self, index: int, column: str) -> int:
        """Return the positive size in a column, called ``column`` in the sentence of a bad one."""
        if index >= len(self.cells):
            raise InputError(f"{self.where}: the row ends before the column '{column}'")
        cell = self.cells[index]
        if not re.fullmatch(r"[0-9]{1,10}", cell) or not 1 <= int(cell) <= _LARGEST:
            raise InputError.must(f"{self.where}: {column}", f"a whole number from 1 to {_LARGEST:,}", cell)
        return int(cell)

    def matmul(self) -> tuple[str, Gemm, int]:
        """Return kind, nest and the first optional column of a row of M, N and K."""
        where = {column: self.header.index(column.lower()) for column in _GEMM[1:]}
        m, n, k = (self.size(index, column) for column, index in where.items())
        return "linear", Gemm.matmul(m, n, k), max(where.values()) + 1

    def convolution(self) -> tuple[str, Gemm, int]:
        """Return kind, nest and the first optional column of a row of a convolution."""
        sizes = [self.size(index, column) for index, column in enumerate(_CONV) if index]
        in_h, in_w, kernel_h, kernel_w, channels, filters, stride_h = sizes
        for column, kernel, image in (("Filter height", kernel_h, in_h), ("Filter width", kernel_w, in_w)):
            if kernel > image:
                raise InputError.must(f"{self.where}: {column}", f"at most the IFMAP's {image}", kernel)
        stride_w, first_optional = stride_h, len(_CONV)
        if self._is_stride_width(first_optional):
            stride_w, first_optional = self.size(first_optional, "Stride width"), first_optional + 1
        depthwise = "DP" in self.name
        gemm = Gemm(
            groups=channels if depthwise else 1,
            channels=1 if depthwise else channels,
            filters=filters,
            in_h=in_h,
            in_w=in_w,
            kernel_h=kernel_h,
            kernel_w=kernel_w,
            stride_h=stride_h,
            stride_w=stride_w,
            out_h=-(-(in_h - kernel_h + stride_h) // stride_h),
            out_w=-(-(in_w - kernel_w + stride_w) // stride_w),
        )
        return "depthwise" if depthwise else "conv", gemm, first_optional

    def _title(self, index: int) -> str:
        return self.header[index] if index < len(self.header) else ""

    def _is_stride_width(self, index: int) -> bool:
        cell, title = self.cells[index] if index < len(self.cells) else "", self._title(index)
        if not cell or cell.startswith("#") or ":" in cell or "spars" in title:
            return False
        if title and "strid" not in title:
            raise InputError.must(f"{self.where}: column {index + 1}", "the stride width or the sparsity", title)
        return True

    def sparsity(self, start: int) -> str | None:
        """Return the N:M of the optional columns; None where the layer is dense."""
        for index, cell in enumerate(self.cells[start:], start):
            if cell.startswith("#"):
                return None
            if cell and (":" in cell or "spars" in self._title(index)):
                try:
                    n, m = parse_nm(cell)
                except InputError as error:
                    raise InputError(f"{self.where}: sparsity: {error}") from None
                return None if n == m else f"{n}:{m}"
        return None


def _unused(name: str, taken: Container[str]) -> str:
    """Return the name, with the first free suffix #2, #3, ... where it is taken."""
    names = chain([name], (f"{name}#{copy}" for copy in count(2)))
    return next(candidate for candidate in names if candidate not in taken)


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return line number and stripped cells of every row with any, cut after the last one filled."""
    separator = "," if "," in text else "\t"
    cells = [[cell.strip() for cell in line.split(separator)] for line in text.splitlines()]
    filled = [row[: max((i for i, cell in enumerate(row, 1) if cell), default=0)] for row in cells]
    return [(number, row) for number, row in enumerate(filled, 1) if row]


def _text(path: Path) -> str:
    """Return the file's text without its byte order mark."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"the topology file {path} does not exist") from None
    except OSError as error:
        raise InputError(f"the topology file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} must be UTF-8 text, but byte {error.start} is not") from None
    if "\0" in text:
        raise InputError(f"{path} must be UTF-8 text, but it holds binary data")
    return text
