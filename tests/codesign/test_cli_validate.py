"""``codesign validate``: every anchor with reference, ours and error; exit code 1 when one leaves its band."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from codesign.cli import main
from codesign.validation import TOPICS, Anchor, Missing, run, systolic


def test_every_topic_has_anchors_and_says_what_is_missing(tmp_path: Path) -> None:
    """Without the tables a topic that needs them says so, and nothing fails."""
    done = CliRunner().invoke(main, ["validate", "--only", "systolic", "--golden", str(tmp_path)])
    assert done.exit_code == 0
    assert "not compared: its tables (golden/scalesim) are not here" in done.stdout
    assert "0 of 0 anchors" in done.stdout


@pytest.mark.parametrize(
    "topic", [topic for topic in TOPICS if topic not in ("sat", "tensor_core", "zigzag", "compare")]
)
def test_topics_hold(golden: Path, topic: str) -> None:
    """All anchors of a topic lie in their bands (sat, tensor_core, zigzag and compare have tests of their own)."""
    done = CliRunner().invoke(main, ["validate", "--only", topic, "--golden", str(golden), "--json"])
    assert done.exit_code == 0, done.stdout
    rows = json.loads(done.stdout)
    compared = [row for row in rows if "missing" not in row]
    assert compared
    assert all(row["source"] and abs(row["error"]) <= row["band"] for row in compared)


def test_out_of_band_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """One anchor out of its band fails the command and is named."""

    def anchors(_: Path | None) -> Iterator[Anchor | Missing]:
        yield Anchor(name="good", source="s", reference=100, ours=104, band=0.05)
        yield Anchor(name="bad", source="s", reference=100, ours=94, band=0.05, note="why")
        yield Missing("none", "no data")

    monkeypatch.setattr(systolic, "anchors", anchors)
    done = CliRunner().invoke(main, ["validate", "--only", "systolic"])
    assert done.exit_code == 1
    assert "1 of 2 anchors" in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "OUT OF BAND" in line)
    assert line.split()[0] == "bad"
    assert "-6.000 %" in line


def test_error_of_an_exact_anchor() -> None:
    """An exact anchor holds only if equal, a reference of 0 only if ours is 0."""
    assert Anchor(name="a", source="s", reference=3, ours=3).holds
    assert not Anchor(name="a", source="s", reference=3, ours=3.000001).holds
    assert not Anchor(name="a", source="s", reference=0, ours=1).holds
    assert set(run.TOPICS) == set(TOPICS)
