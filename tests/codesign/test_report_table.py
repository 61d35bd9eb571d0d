"""What a reader sees: table, totals, explanations, HTML."""

import doctest
import re
from html.parser import HTMLParser

import pytest
from report_samples import chain, linear, long_sample, sample

import codesign
import codesign.report.words
from codesign.report.page import page
from codesign.report.totals import Totals, total_rows
from codesign.simulation import simulate


def test_every_unfused_op_is_a_row_with_its_cycles() -> None:
    """By default nothing is left out, and fused ops are counted on the op that they are fused onto."""
    report = sample()
    lines = report.table().splitlines()
    for op in report.ops:
        rows = [line for line in lines if line.startswith(f"{op.name} ")]
        assert len(rows) == (op.fused_into is None)
        assert all(f" {op.cycles:,} " in row for row in rows)
    assert " linear+1 " in next(line for line in lines if line.startswith("<up>"))


def test_rows_and_head_align() -> None:
    """All rows end in the same column."""
    lines = sample().table().splitlines()
    rule = next(i for i, line in enumerate(lines) if line.startswith("---"))
    assert {len(line.rstrip()) for line in lines[rule - 1 : rule + 4]} == {len(lines[rule])}


@pytest.mark.parametrize("width", [96, 100, 118])
def test_table_keeps_to_its_width(width: int) -> None:
    """A long name is shortened in its middle instead."""
    name = "encoder.layers.11.attention.self.query_projection_of_a_very_long_name.linear"
    table = simulate(chain(linear(name, 9000, 3000, 70))).table(width=width)
    rows = table.split("\n\n")[1].splitlines()
    assert max(map(len, rows)) <= width
    assert rows[2].startswith("enc")
    assert "..." in rows[2]


def test_folding_keeps_the_longest_ops_and_accounts_for_the_rest() -> None:
    """With max_rows only the ops with the most cycles are shown, in program order, and the rest is told."""
    report = long_sample()
    lines = report.table(max_rows=10).splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("block.")]
    longest = sorted(report.ops, key=lambda op: op.cycles)[-10:]
    assert min(op.cycles for op in report.ops if op.name in shown) >= min(op.cycles for op in longest)
    assert shown == [op.name for op in report.ops if op.name in shown]
    assert len(shown) == 10
    hidden = sum(op.cycles for op in report.ops if op.name not in shown)
    (told,) = (line for line in lines if line.startswith("... and 150 smaller ops"))
    assert f"with {100 * hidden / report.total_cycles:.1f} % of the cycles" in told


def test_totals_are_sums_of_the_rows() -> None:
    """The totals say what the rows add up to, and the array is busy or waits all the time."""
    report = sample()
    sums, rows = Totals.of(report), dict(total_rows(report))
    assert sums.compute_cycles + sum(sums.stalls_by_cause.values()) == sums.cycles == report.total_cycles
    assert sums.effectual_macs + sums.skipped_macs + sums.gated_macs == sums.dense_macs == 64 * (256 * 128 + 96 * 256)
    assert rows["time"].startswith(f"{report.total_cycles:,} cycles")
    assert max(sums.mac_limit_cycles, sums.dram_limit_cycles) <= report.total_cycles
    busy = float(rows["busy"].split("unit ")[1].split(" %")[0])
    waits = float(rows["waits"].split("work ")[1].split(" %")[0])
    assert busy + waits == pytest.approx(100, abs=0.11)


def test_bound_follows_the_bandwidth() -> None:
    """The same model is DRAM-bound on a slow channel and compute-bound on a fast one."""
    for bandwidth, bound in ((0.5, "DRAM-bound"), (4096, "compute-bound")):
        rows = dict(total_rows(sample(settings=(f"memory.dram.bytes_per_cycle={bandwidth}",))))
        assert rows["busy"].endswith(f": {bound}")


def test_ideal_memory_never_waits() -> None:
    """With ideal memory no stall is told, and no limit of the channel."""
    rows = dict(total_rows(sample(settings=("memory.ideal=true",))))
    assert rows["waits"] == "none"
    assert "bandwidth" not in rows["limit"]


def test_explanation_has_the_mapping_and_every_dataflow() -> None:
    """Each op tells its mapping, what is done on its output, and the cycles of each dataflow it could have."""
    report = sample()
    text = report.explain()
    assert "<up> & out (linear, MxNxK 64x256x128, then relu)" in text
    for op in report.ops:
        assert op.mapping in text
        for dataflow, cycles in op.alternatives.items():
            assert f"{dataflow} {cycles:,} cycles" in text
    assert text.count("(chosen)") == 2
    other = re.search(r"ws ([\d,]+) cycles \(([+-][\d.]+) %\)", text.splitlines()[2])
    if other:
        op = report.ops[0]
        ratio = op.alternatives["ws"] / op.alternatives[op.dataflow]
        assert float(other[2]) == pytest.approx(100 * (ratio - 1), abs=0.051)


class _Cells(HTMLParser):
    """Collects the text of the cells, and checks that tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("img", "meta"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["td"]:
            self.cells[-1] += data


@pytest.mark.parametrize("html", [sample()._repr_html_(), page(sample(), {"<cycles>": b"png"})])
def test_html_is_balanced_and_escaped(html: str) -> None:
    """Names come back unchanged through an HTML parser."""
    parser = _Cells()
    parser.feed(html)
    assert parser.open == []
    assert "<up> & out" in parser.cells


def test_notebook_table_is_small() -> None:
    """A notebook shows the 20 longest ops."""
    assert long_sample()._repr_html_().count("<td>block.") == 20


def test_notes_follow_the_table() -> None:
    """What a reader must know stands below the totals."""
    report = sample()
    assert report.notes
    assert report.table().splitlines()[-1] == f"{'note':<10}{report.notes[-1]}"


@pytest.mark.parametrize("module", [codesign, codesign.report.words])
def test_docstring_examples(module: object) -> None:
    """The examples in the docstrings are true."""
    result = doctest.testmod(module)  # type: ignore[arg-type]  # parametrize has no types
    assert result.attempted > 0
    assert result.failed == 0


def test_functions_are_not_hidden_by_modules() -> None:
    """``codesign.simulate`` is the function, whatever modules are imported."""
    import codesign.simulation
    import codesign.sparsification

    for name in codesign.__all__:
        assert callable(getattr(codesign, name)), name
