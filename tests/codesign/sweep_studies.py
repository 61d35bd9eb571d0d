"""Small studies for the tests of sweeps, on models of two and of many layers that need no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

GEMMS = "Layer, M, N, K,\na, 64, 48, 128,\nb, 64, 32, 48,\n"


def small(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return a study of 24 points on a model of two layers, whose table it writes into the folder."""
    (folder / "gemms.csv").write_text(GEMMS)
    return {
        "name": "small",
        "models": ["gemms.csv"],
        "weights": ["dense", "2:4"],
        "accelerators": [
            {
                "base": "systolic-32x32-nm",
                "set": {"array.rows": [4, 8, 16, 32], "array.cols": {"from": 8, "to": 24, "step": 8}},
            }
        ],
        **changes,
    }


def write(folder: Path, study: Mapping[str, Any]) -> Path:
    """Write a study into a folder."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(dict(study), sort_keys=False))
    return path


def table(directory: Path) -> list[tuple[Any, ...]]:
    """Return all that a finished sweep says of its points, layers included, in the order of their numbers."""
    import duckdb

    with duckdb.connect(str(directory / "results.duckdb"), read_only=True) as store:
        return store.execute("SELECT * FROM results ORDER BY number").fetchall()
