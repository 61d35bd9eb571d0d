"""SCALE-Sim v3: cycles, SRAM accesses and mapping efficiency of every golden row, exactly."""

import csv
from pathlib import Path

import pytest

from codesign.simulation import simulate
from codesign.sparsification import sparsify
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op

# The published figures of three rows (ResNet-50 layer 1, a GEMM with all edges odd, an N:M GEMM), so that one exact
# check runs without the tables: name, m, n, k, dataflow, array, N:M, SCALE-Sim's cycles, I, W, O accesses.
ROWS = [
    ("IB2c_1", 3136, 64, 256, "ws", 32, None, 51679, 1605632, 16384, 1605632),
    ("s24r", 50, 37, 101, "is", 16, "2:4", 1327, 2550, 7548, 7400),
    ("s116", 40, 40, 130, "os", 16, "1:16", 350, 1080, 1080, 1600),
]


def run(name: str, m: int, n: int, k: int, dataflow: str, rows: int, cols: int, nm: str | None):
    """Simulate one GEMM with ideal memory."""
    op = Op(name=name, kind="linear", gemm=Gemm.matmul(m, n, k), weight=name, declared=nm)
    settings = ["memory.ideal=true", f"array.rows={rows}", f"array.cols={cols}"]
    (record,) = simulate(OpGraph.of("gemm", [op], []), "systolic-32x32-nm", dataflow=dataflow, settings=settings).ops
    return record


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_three_published_rows(row: tuple) -> None:
    """SCALE-Sim reports the index of the last cycle, so its count is one more; accesses agree as they are."""
    name, m, n, k, dataflow, size, nm, cycles, *accesses = row
    record = run(name, m, n, k, dataflow, size, size, nm)
    assert record.cycles == cycles + 1
    assert [record.sram_accesses[operand] for operand in ("input", "weight", "output")] == accesses


@pytest.mark.parametrize(("table", "count"), [("dense.csv", 150), ("nm_layerwise.csv", 27)])
def test_all_golden_rows(golden: Path, table: str, count: int) -> None:
    """All rows agree, after three conversions of SCALE-Sim's own ways of counting, none of them ours.

    Its cycles are an index of the last one. Its os table adds rows + columns a fold to the O writes (of the outputs
    alone, M*N). With N:M weights its ws table multiplies the I reads by M/N.
    """
    rows = list(csv.DictReader((golden / "scalesim" / table).open()))
    assert len(rows) == count
    for row in rows:
        m, n, k, r, c = (int(row[key]) for key in ("M", "N", "K", "array_rows", "array_cols"))
        record = run(row["layer"], m, n, k, row["dataflow"], r, c, row["nm_ratio"] or None)
        assert record.cycles == int(row["compute_cycles"]) + 1, row
        assert record.mapping_efficiency * 100 == pytest.approx(float(row["mapping_eff_pct"]), rel=1e-12), row
        assert record.sram_accesses["weight"] == int(row["sram_filter_reads"]), row
        reads, writes = float(row["sram_ifmap_reads"]), int(row["sram_ofmap_writes"])
        if row["nm_ratio"] and row["dataflow"] == "ws":
            kept, of = map(int, row["nm_ratio"].split(":"))
            reads *= kept / of
        if row["dataflow"] == "os":
            writes = m * n
        assert record.sram_accesses["input"] == pytest.approx(reads, rel=1e-12), row
        assert record.sram_accesses["output"] == writes, row


def test_conv_topologies_have_scalesims_gemm_view(golden: Path, tmp_path: Path) -> None:
    """Layers given as convolutions come out with the M, N and K of the golden table."""
    from traces.topology import read_topology

    rows = [r for r in csv.DictReader((golden / "scalesim" / "dense.csv").open()) if r["ifmap_h"]]
    keys = ("layer", "ifmap_h", "ifmap_w", "filter_h", "filter_w", "channels", "num_filters", "stride")
    path = tmp_path / "conv.csv"
    header = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
    path.write_text(header + "".join(",".join(row[key] for key in keys) + ",\n" for row in rows))
    for op, row in zip(read_topology(path), rows, strict=True):
        assert op.gemm is not None
        assert (op.gemm.m, op.gemm.n, op.gemm.k) == (int(row["M"]), int(row["N"]), int(row["K"]))


def test_sparsity_declared_by_sparsify_counts_like_the_column() -> None:
    """A pattern given by sparsify and one in a topology column cost the same where runs are whole."""
    op = Op(name="a", kind="linear", gemm=Gemm.matmul(64, 48, 128), weight="a")
    graph = sparsify(OpGraph.of("gemm", [op], []), "2:4", rules={"*": "2:4"})
    settings = ["memory.ideal=true", "array.rows=16", "array.cols=16"]
    report = simulate(graph, "systolic-32x32-nm", dataflow="ws", settings=settings)
    assert report.total_cycles == run("a", 64, 48, 128, "ws", 16, 16, "2:4").cycles == 1320
