"""Shared by all tests: where the golden tables of other people's simulators lie, if they are there."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"


@pytest.fixture
def golden() -> Path:
    """Return the folder of golden tables; skip where it is absent."""
    if not GOLDEN.is_dir():
        pytest.skip("the golden tables (../shared/golden) are not here")
    return GOLDEN
