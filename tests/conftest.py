"""Shared by all tests: a Numba cache that cannot be stale, and the golden tables of other people's simulators."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT.parent / "shared" / "golden"

# Numba notices a change of a compiled function's file, but not of a function that it calls from another file.
_sources = sorted(path for package in ("codesign", "hw_models", "kernels") for path in (ROOT / package).rglob("*.py"))
_digest = hashlib.sha256(b"".join(path.read_bytes() for path in _sources if b"numba" in path.read_bytes()))
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba-cache" / _digest.hexdigest()[:16]))

# A suite that is green stays green: examples are the same in every run, and no slow machine fails a deadline.
# To look for new ones: HYPOTHESIS_PROFILE=explore.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def golden() -> Path:
    """Return the folder of golden tables; skip where it is absent."""
    if not GOLDEN.is_dir():
        pytest.skip("the golden tables (../shared/golden) are not here")
    return GOLDEN
