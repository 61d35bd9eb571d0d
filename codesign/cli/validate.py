"""``codesign validate``: other people's figures, and ours beside them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from codesign.cli.progress import step

if TYPE_CHECKING:
    from codesign.validation import Anchor, Missing

_NEAR = Path("../shared/golden")  # beside a checkout, where the tables usually lie


@click.command(short_help="Our figures beside published and measured ones.")
@click.option("--only", metavar="NAME", help="One topic: systolic, tensor_core, sigma, eie, ...")
@click.option(
    "--golden",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Folder of other tools' tables and bitmaps.  [default: ../shared/golden if it is there]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list and nothing else.")
def validate(only: str | None, golden: Path | None, as_json: bool) -> None:
    """Compare every anchor: source, reference, ours, error. Exits with 1 if one leaves its band."""
    from codesign.validation import Missing, all_anchors

    if golden is None and _NEAR.is_dir():
        golden = _NEAR
    found = []
    with step("computing anchors"):
        found = list(all_anchors(golden, only))
    if as_json:
        click.echo(json.dumps([_row(topic, anchor) for topic, anchor in found], indent=2))
    else:
        _print(found)
    if any(not isinstance(anchor, Missing) and not anchor.holds for _, anchor in found):
        sys.exit(1)


def _row(topic: str, anchor: Anchor | Missing) -> dict[str, object]:
    from codesign.validation import Missing

    if isinstance(anchor, Missing):
        return {"topic": topic, "name": anchor.name, "missing": anchor.reason}
    return {"topic": topic, **asdict(anchor), "error": anchor.error, "holds": anchor.holds}


def _print(found: list[tuple[str, Anchor | Missing]]) -> None:
    from codesign.validation import Missing

    width = max((len(anchor.name) for _, anchor in found), default=4)
    before = note = ""
    for topic, anchor in found:
        if topic != before:
            click.echo(f"\n{topic}" if before else topic)
            before, source = topic, ""
        if isinstance(anchor, Missing):
            click.echo(f"  {anchor.name.ljust(width)}  not compared: {anchor.reason}")
            continue
        if anchor.source != source:
            source = anchor.source
            click.echo(f"  [{source}]")
        band = "exact" if anchor.band == 0 else f"within {100 * anchor.band:g} %"
        verdict = "ok" if anchor.holds else "OUT OF BAND"
        click.echo(
            f"  {anchor.name.ljust(width)}  {_figure(anchor.reference):>13}  {_figure(anchor.ours):>13}"
            f"  {100 * anchor.error:+8.3f} %  {band:<13} {verdict}"
        )
        if anchor.note and anchor.note != note:
            click.echo(f"      {anchor.note}")
        note = anchor.note
    compared = [anchor for _, anchor in found if not isinstance(anchor, Missing)]
    held = sum(anchor.holds for anchor in compared)
    click.echo(f"\n{held} of {len(compared)} anchors in their bands (columns: reference, ours, error, band)")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
