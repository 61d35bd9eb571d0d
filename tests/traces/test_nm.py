"""N:M arithmetic and parsing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.errors import InputError
from traces.nm import nm_kept, parse_nm


@given(st.integers(0, 60), st.integers(1, 12), st.integers(0, 12))
def test_kept_is_the_sum_over_the_groups(length, n, more):
    """N:M keeps min(N, size) of each group, the short one at the end included."""
    m = n + more
    sizes = [min(m, length - start) for start in range(0, length, m)]
    assert nm_kept(length, n, m) == sum(min(n, size) for size in sizes)


@pytest.mark.parametrize(("text", "pair"), [("2:4", (2, 4)), (" 1 : 16 ", (1, 16)), ("4:4", (4, 4))])
def test_parse_reads_both_numbers(text, pair):
    """Spaces do not matter, and N may be M."""
    assert parse_nm(text) == pair


@pytest.mark.parametrize("text", ["4:2", "0:4", "-1:4", "0:0", "2", "2:4:8", "a:b", "2.5:4", "", 124])
def test_parse_refuses_what_is_no_pattern(text):
    """Anything but whole numbers with 1 <= N <= M is refused in one sentence."""
    with pytest.raises(InputError, match=r"^an N:M pattern must be two whole numbers [^\n]*, not "):
        parse_nm(text)
