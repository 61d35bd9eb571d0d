"""Patterns as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.patterns import NM, Block, Dense, Group, Pattern, Unstructured, parse_pattern
from traces.errors import InputError

SIZES = st.integers(1, 64)
SPARSITIES = st.floats(0, 1, exclude_max=True)
PATTERNS = st.one_of(
    st.builds(Dense),
    st.builds(lambda n, more: NM(n, n + more), SIZES, st.integers(0, 64)),
    st.builds(Unstructured, SPARSITIES),
    st.builds(Group, SIZES, SPARSITIES),
    st.builds(Block, SIZES, SIZES, SPARSITIES),
)


@given(PATTERNS)
def test_text_reads_back_the_same(pattern):
    """Every pattern survives the way to text and back, exactly."""
    assert isinstance(pattern, Pattern)
    assert parse_pattern(str(pattern)) == pattern
    assert parse_pattern(pattern) is pattern


@pytest.mark.parametrize(
    ("text", "pattern", "density"),
    [
        ("dense", Dense(), 1.0),
        ("2:4", NM(2, 4), 0.5),
        (" 1 : 8 ", NM(1, 8), 0.125),
        ("unstructured:0.75", Unstructured(0.75), 0.25),
        ("Group:4:0.5", Group(4, 0.5), 0.5),
        ("block:4x8:.25", Block(4, 8, 0.25), 0.75),
    ],
)
def test_forms(text, pattern, density):
    """Each form is read as its pattern, and sparsity is the share removed."""
    assert parse_pattern(text) == pattern
    assert pattern.density == density


@pytest.mark.parametrize(
    "text", ["sparse", "", "dense:0.5", "unstructured", "group:4", "block:4:0.5", "csr:3", "2:4:8", "block:4x4"]
)
def test_an_unknown_form_lists_the_known_ones(text):
    """The message names every form."""
    known = "dense, 2:4, unstructured:0.9, group:4:0.7, block:4x4:0.5"
    with pytest.raises(InputError) as caught:
        parse_pattern(text)
    assert str(caught.value) == f"a pattern must be one of the forms {known}, not {text!r}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("4:2", "1 <= N <= M, such as 2:4, not '4:2'"),
        ("0:4", "1 <= N <= M, such as 2:4, not '0:4'"),
        ("-1:4", "1 <= N <= M, such as 2:4, not '-1:4'"),
        ("2:x", "two whole numbers joined by a colon, such as 2:4, not '2:x'"),
        ("unstructured:1.0", "sparsity must be a number from 0 up to, but not including, 1, not 1.0"),
        ("unstructured:nan", "not including, 1, not nan"),
        ("unstructured:most", "sparsity in pattern 'unstructured:most' must be a number, not 'most'"),
        ("group:0:0.5", "size of a group must be a whole number of at least 1, not 0"),
        ("group:2.5:0.5", "size in pattern 'group:2.5:0.5' must be a whole number, not '2.5'"),
        ("block:-4x4:0.5", "rows of a block must be a whole number of at least 1, not -4"),
        ("block:4x:0.5", "size in pattern 'block:4x:0.5' must be a whole number, not ''"),
        (124, 'a pattern must be text, not 124; in YAML it needs quotes, "2:4"'),
        (None, "a pattern must be text, not None"),
    ],
)
def test_bad_numbers_are_named(text, said):
    """Each number that is missing or out of range is told in one sentence."""
    with pytest.raises(InputError) as caught:
        parse_pattern(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
