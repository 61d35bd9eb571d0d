"""Shared by all tests: a Numba cache that cannot be stale, and the golden tables of other people's simulators."""

import hashlib
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT.parent / "shared" / "golden"

# Numba notices a change of a compiled function's file, but not of a function that it calls from another file.
_sources = sorted(path for package in ("codesign", "hw_models", "kernels") for path in (ROOT / package).rglob("*.py"))
_digest = hashlib.sha256(b"".join(path.read_bytes() for path in _sources if b"numba" in path.read_bytes()))
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba-cache" / _digest.hexdigest()[:16]))


@pytest.fixture
def golden() -> Path:
    """Return the folder of golden tables; skip where it is absent."""
    if not GOLDEN.is_dir():
        pytest.skip("the golden tables (../shared/golden) are not here")
    return GOLDEN
