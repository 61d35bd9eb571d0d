"""The caches hold what an LRU cache holds, and the prefetcher brings what it should."""

from collections import OrderedDict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.cpus.cache import Hierarchy
from hw_models.cpus.config import Cache, Prefetch, Tlb


def level(size: int, ways: int, prefetch: dict[str, int] | None = None) -> Cache:
    """Return a cache; its timing plays no part."""
    values = {"bytes": size, "ways": ways, "latency_cycles": 1, "fill_bytes_per_cycle": 1, "misses_in_flight": 1}
    return Cache.read(values | {"sources": ["none"], "prefetch": prefetch}, "cache")


TLB = Tlb.read({"entries": 2, "miss_cycles": 1, "sources": ["none"]}, "tlb")


def brute_force(lines: list[int], shapes: list[tuple[int, int]]) -> tuple[list[int], int]:
    """Return the fills by source and the page misses of plain dictionaries kept in order of use."""
    caches = [[OrderedDict[int, None]() for _ in range(sets)] for sets, _ in shapes]
    fills, pages, missed = [0] * len(shapes), OrderedDict[int, None](), 0
    for line in lines:
        has = [line in cache[line % len(cache)] for cache in caches]
        source = has.index(True) if True in has else len(shapes)
        if source:
            fills[source - 1] += 1
        for cache, (sets, ways) in list(zip(caches, shapes, strict=True))[: source + 1]:
            entries = cache[line % sets]
            entries.pop(line, None)
            entries[line] = None
            if len(entries) > ways:
                entries.popitem(last=False)
        page = line // 64
        missed += page not in pages
        pages.pop(page, None)
        pages[page] = None
        if len(pages) > TLB.entries:
            pages.popitem(last=False)
    return fills, missed


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 260), max_size=300))
def test_two_levels_fill_as_brute_force_does(lines: list[int]) -> None:
    """Fills from the L2 and from DRAM, and page misses, are those of ordered dictionaries, fed at once or in parts."""
    caches = [level(1024, 2), level(4096, 4)]
    fills, missed = brute_force(lines, [(8, 2), (16, 4)])
    found = Hierarchy(caches, TLB).run(np.array(lines, np.int64) * 2)
    assert (found.demand.tolist(), found.pages) == (fills, missed)
    parts = Hierarchy(caches, TLB)
    total = parts.run(np.array(lines[:50], np.int64) * 2) + parts.run(np.array(lines[50:], np.int64) * 2)
    assert total.demand.tolist() == fills


def test_a_stream_is_prefetched_and_random_lines_are_not() -> None:
    """Of a long stream only the first lines are waited for; of lines far apart every one."""
    rule = {"streams": 4, "max_stride_lines": 4, "trigger": 3, "distance_lines": 4}
    assert Prefetch.read(rule, "prefetch").trigger == 3
    stream = Hierarchy([level(1024, 2, rule), level(4096, 4)], TLB).run(np.arange(1000) * 2)
    assert stream.demand.sum() == 3
    assert 997 <= stream.fetched.sum() <= 1001
    far = Hierarchy([level(1024, 2, rule), level(4096, 4)], TLB).run(np.arange(100) * 1000 * 2)
    assert (far.demand.sum(), far.fetched.sum()) == (100, 0)


def test_written_lines_are_told_apart() -> None:
    """A fill for a store is no demand fill."""
    found = Hierarchy([level(1024, 2)], TLB).run(np.array([2 * 5 + 1, 2 * 5, 2 * 9]))
    assert (found.written.sum(), found.demand.sum(), found.accesses) == (1, 1, 3)
