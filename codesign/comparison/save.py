"""Save: a comparison as JSON, CSV, text and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codesign.folder import Folder

if TYPE_CHECKING:
    from codesign.comparison.result import Comparison

FOLDER = Folder(
    "comparison",
    ("comparison.json", "layers.csv", "table.txt", "speedup.png"),
    frozenset(("schema_version", "weights", "cpus")),
)


def save(comparison: Comparison, directory: Path | str) -> Path:
    """Write a comparison as JSON, CSV, text and picture; return the directory.

    Raises
    ------
    InputError
        If the directory cannot be written, or holds anything but an earlier comparison.
    """

    def fill(folder: Path) -> None:
        (folder / "comparison.json").write_text(comparison.to_json() + "\n", encoding="utf-8")
        (folder / "layers.csv").write_text(comparison.to_csv(), encoding="utf-8")
        (folder / "table.txt").write_text(comparison.table(layers=True) + "\n", encoding="utf-8")
        comparison.plot()[0].savefig(folder / "speedup.png", dpi=120)

    return FOLDER.write(directory, fill)
