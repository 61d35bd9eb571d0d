"""The ``compare`` part of ``codesign validate``: published times of phones, beside those of the modelled cores."""

import pytest

from codesign.validation import Anchor
from codesign.validation.compare import anchors


@pytest.mark.slow
def test_published_times_hold() -> None:
    """All anchors lie in their bands, and sparse wins on the A73 and A77 where it is published to."""
    found = list(anchors(None))
    compared = [one for one in found if isinstance(one, Anchor)]
    assert all(one.holds for one in compared), [one for one in compared if not one.holds]
    signs = [one for one in compared if "faster" in one.name]
    assert sum("a73" in one.name or "a77" in one.name for one in signs) == 4
