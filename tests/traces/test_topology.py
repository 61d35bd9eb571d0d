"""Topology tables: what is read, and the sentence about everything that is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.errors import InputError
from traces.topology import read_topology

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
GEMM = "Layer, M, N, K,"


@pytest.fixture
def table(tmp_path):
    """Write lines to a file and read it."""

    def write(*lines: str, encoding: str = "utf-8", newline: str = "\n"):
        path = tmp_path / "net.csv"
        path.write_bytes(newline.join(lines).encode(encoding))
        return read_topology(path)

    return write


def windows(size: int, kernel: int, stride: int) -> int:
    """Count the windows that start within the image, the last of them the first to reach its end."""
    starts, last = 0, -1
    while last < size - 1:
        last = starts * stride + kernel - 1
        starts += 1
    return starts


@st.composite
def conv_rows(draw):
    """One valid convolution row and the sizes in it."""
    in_h, in_w = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    kernel_h, kernel_w = draw(st.integers(1, in_h)), draw(st.integers(1, in_w))
    stride = draw(st.integers(1, 4))
    sizes = [in_h, in_w, kernel_h, kernel_w, draw(st.integers(1, 99)), draw(st.integers(1, 99)), stride]
    stride_w = draw(st.none() | st.integers(1, 4))
    sparsity = draw(st.none() | st.sampled_from(["1:2", "2:4", "4:8"]))
    name = draw(st.text("abcxyz_-/. 0123456789", min_size=1).filter(str.strip))
    space = draw(st.sampled_from(["", " ", "  "]))
    extra = [x for x in (stride_w, sparsity) if x is not None]
    row = f",{space}".join([name, *map(str, [*sizes, *extra])]) + draw(st.sampled_from(["", ",", ", "]))
    return row, name.strip(), sizes, stride if stride_w is None else stride_w, sparsity


@given(st.lists(conv_rows(), min_size=1, max_size=6))
def test_valid_convolutions_keep_their_sizes(tmp_path_factory, rows):
    """Every valid row becomes one op of those sizes, in order, chained, with one window more per stride."""
    path = tmp_path_factory.mktemp("topology") / "net.csv"
    path.write_text("\r\n".join([CONV, *(row for row, *_ in rows)]), newline="")
    graph = read_topology(path)
    assert graph.name == "net"
    assert len(graph) == len(rows)
    assert list(graph.dag.edges) == list(zip(list(graph.dag), list(graph.dag)[1:], strict=False))
    for op, (_, name, (in_h, in_w, kernel_h, kernel_w, channels, filters, stride), stride_w, declared) in zip(
        graph, rows, strict=True
    ):
        assert op.name.partition("#")[0] == name
        assert (op.kind, op.weight, op.declared) == ("conv", op.name, declared)
        gemm = op.gemm
        assert (gemm.m, gemm.n, gemm.k) == (
            windows(in_h, kernel_h, stride) * windows(in_w, kernel_w, stride_w),
            filters,
            kernel_h * kernel_w * channels,
        )
        assert (gemm.in_h, gemm.in_w, gemm.stride_h, gemm.stride_w) == (in_h, in_w, stride, stride_w)


@given(st.permutations(["M", "N", "K"]), st.tuples(*[st.integers(1, 10**6)] * 3))
def test_products_are_read_by_the_headers_names(tmp_path_factory, order, sizes):
    """M, N and K are told by the header, whatever their order."""
    path = tmp_path_factory.mktemp("topology") / "net.csv"
    path.write_text(f"Layer,{','.join(order)},\nfc,{','.join(map(str, sizes))},\n")
    (op,) = read_topology(path)
    by_name = dict(zip(order, sizes, strict=True))
    assert op.kind == "linear"
    assert (op.gemm.m, op.gemm.n, op.gemm.k) == (by_name["M"], by_name["N"], by_name["K"])


def test_resnet50s_first_layer_counts_its_partial_window(table):
    """SCALE-Sim's ResNet-50 table gives conv1 110 x 110 outputs, 12,100 in all."""
    (op,) = table(CONV + ",,Eh,Ew,e2", ",,,,", "Conv1,224,224,7,7,3,64,2,,,110,110,12100")
    assert (op.gemm.out_h, op.gemm.out_w, op.gemm.m) == (110, 110, 12100)


def test_dp_in_the_name_is_depthwise(table):
    """A DP layer convolves each of its channels on its own: MACs as one layer a channel would have."""
    depthwise, split = table(CONV, "DP1, 14, 14, 3, 3, 32, 1, 1,", "one, 14, 14, 3, 3, 1, 1, 1,")
    assert depthwise.kind == "depthwise"
    assert (depthwise.gemm.groups, depthwise.gemm.channels, depthwise.gemm.filters) == (32, 1, 1)
    assert depthwise.macs == 32 * split.macs


@pytest.mark.parametrize(
    ("header", "row", "declared"),
    [
        (CONV, "a, 8, 8, 3, 3, 16, 4, 1, 2:4,", "2:4"),
        (CONV + " Sparsity,", "a, 8, 8, 3, 3, 16, 4, 1, 1:4,", "1:4"),
        (CONV + " Stride width, Sparsity,", "a, 8, 8, 3, 3, 16, 4, 1, 1, 2:4,", "2:4"),
        (CONV + " Sparsity,", "a, 8, 8, 3, 3, 16, 4, 1, ,", None),
        (CONV + " Sparsity,", "a, 8, 8, 3, 3, 16, 4, 1, 4:4,", None),
        (CONV, "a, 8, 8, 3, 3, 16, 4, 1, #2:4 some day", None),
        (GEMM + " Sparsity", "a, 8, 8, 16, 2:8", "2:8"),
        (GEMM, "a, 8, 8, 16, 8:8,", None),
    ],
)
def test_declared_sparsity(table, header, row, declared):
    """N:M is declared on the op and on the graph; M:M, nothing and a comment are dense."""
    graph = table(header, row)
    assert graph["a"].declared == declared
    assert graph.patterns == ({"a": declared} if declared else {})
    assert not graph.weights


def test_repeated_names_are_numbered(table):
    """A name comes once: repeats get the first free number."""
    graph = table(GEMM, "a,1,1,1,", "a#2,1,1,1,", "a,1,1,1,", "a,1,1,1,")
    assert list(graph.dag) == ["a", "a#2", "a#3", "a#4"]


def test_tabs_blank_lines_carriage_returns_and_byte_order_marks(table):
    """The variants that occur among published tables read the same."""
    plain = table(CONV, "a,8,8,3,3,16,4,1,")
    variants = [
        table("", CONV.replace(",", "\t"), "a\t8\t8\t3\t3\t16\t4\t1\t"),
        table(CONV, ",,,,,,,,", "", "a,8,8,3,3,16,4,1", newline="\r\n", encoding="utf-8-sig"),
    ]
    assert all([*graph] == [*plain] for graph in variants)


SIZE = "a whole number from 1 to 1,000,000,000"


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([""], "must hold a header and at least one layer, but it is empty"),
        ([",,,", " "], "must hold a header and at least one layer, but it is empty"),
        ([CONV], "must have at least one layer below its header"),
        (["Conv1, 8, 8, 3, 3, 16, 4, 1,"], "line 1 must be the header 'Layer name, IFMAP height, "),
        (["Layer, M, N", "a, 1, 1"], "line 1 must be the header"),
        (["M, N, K", "1, 1, 1"], "line 1 must be the header"),
        ([CONV, "", "a, 8, 8, 3,"], "line 3: the row ends before the column 'Filter width'"),
        ([GEMM, "a, 8, 8,"], "line 2: the row ends before the column 'K'"),
        ([GEMM, "a, 8, , 8"], f"line 2: N must be {SIZE}, not ''"),
        ([CONV, "a, 8, B, 3, 3, 16, 4, 1,"], f"line 2: IFMAP width must be {SIZE}, not 'B'"),
        ([CONV, "a, 8, 8, 3.0, 3, 16, 4, 1,"], f"line 2: Filter height must be {SIZE}, not '3.0'"),
        ([CONV, "a, 8, 8, 3, 3, -16, 4, 1,"], f"line 2: Channels must be {SIZE}, not '-16'"),
        ([CONV, "a, 8, 8, 3, 3, 16, 4, 0,"], f"line 2: Strides must be {SIZE}, not '0'"),
        ([CONV, "a, 8, 8, 3, 3, 16, 4, 1, 0,"], f"line 2: Stride width must be {SIZE}, not '0'"),
        ([GEMM, f"a, {10**30}, 8, 8"], f"line 2: M must be {SIZE}, not '1"),
        ([CONV, ", 8, 8, 3, 3, 16, 4, 1,"], "line 2: the layer has no name in its first column"),
        ([CONV, "a, 2, 8, 3, 3, 1, 1, 1,"], "line 2: Filter height must be at most the IFMAP's 2, not 3"),
        ([CONV, "a, 8, 2, 3, 3, 1, 1, 1,"], "line 2: Filter width must be at most the IFMAP's 2, not 3"),
        ([GEMM, "a, 8, 8, 8, 4:2"], "line 2: sparsity: an N:M pattern must be two whole numbers with 1 <= N <= M"),
        ([GEMM, "a, 8, 8, 8, 0:4"], "not '0:4'"),
        ([GEMM, "a, 8, 8, 8, 2:"], "line 2: sparsity: an N:M pattern must be two whole numbers joined by a colon"),
        ([GEMM + "Sparsity", "a, 8, 8, 8, half"], "not 'half'"),
        ([CONV + "Batch", "a, 8, 8, 3, 3, 1, 1, 1, 32"], "column 9 must be the stride width or the sparsity"),
        ([GEMM, "a\0, 8, 8, 8"], "must be UTF-8 text, but it holds binary data"),
    ],
)
def test_bad_tables_are_told_in_a_sentence(table, lines, sentence):
    """Each mistake is told with file, line and column."""
    with pytest.raises(InputError) as told:
        table(*lines)
    assert sentence in str(told.value)
    assert "net.csv" in str(told.value)
    assert "\n" not in str(told.value)


def test_files_that_cannot_be_read(tmp_path):
    """A missing file, a directory and bytes that are no text are told apart."""
    with pytest.raises(InputError, match=r"gone\.csv does not exist"):
        read_topology(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_topology(tmp_path)
    (tmp_path / "garbage.csv").write_bytes(bytes(range(255, 0, -1)))
    with pytest.raises(InputError, match=r"garbage\.csv must be UTF-8 text, but byte 0 is not"):
        read_topology(tmp_path / "garbage.csv")


def test_reading_a_table_imports_no_torch():
    """Tables are read where torch is not wanted."""
    code = "import sys, traces.topology, traces.load, traces.zoo; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
