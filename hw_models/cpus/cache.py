"""Cache: set-associative levels with LRU and a stride prefetcher, fed with the lines that a kernel touches, in order.

A line that misses is filled into every level above the one that has it. The prefetcher watches the misses of the L1
(and the first use of what it brought): it follows a few streams of a constant stride and fetches ahead of them. What it
brings is assumed to come in time; it costs bandwidth, not latency. Writes allocate and their misses wait for nothing.

`Hierarchy` keeps its state between calls, so that a layer can be fed in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from hw_models.cpus.config import Cache, Tlb

Lines = NDArray[np.int64]

#: An access is ``line * 2 + written``; ``-1 - line`` asks for a line that nobody waits for.
WRITTEN = 1
_STREAM_FIELDS = 5  # last line, stride, length, furthest fetched, when last used


@dataclass(frozen=True, slots=True)
class Fills:
    """Where the lines of the L1 came from, by level: index 0 is the L2 (or DRAM if there is only an L1), the last DRAM.

    Attributes
    ----------
    accesses
        Lines touched.
    demand
        Fills that a load waited for.
    written
        Fills for a store.
    fetched
        Fills that the prefetcher asked for.
    pages
        Pages that the TLB did not have.
    """

    accesses: float
    demand: NDArray[np.float64]
    written: NDArray[np.float64]
    fetched: NDArray[np.float64]
    pages: float = 0.0

    def __add__(self, other: Fills) -> Fills:
        return Fills(
            self.accesses + other.accesses,
            self.demand + other.demand,
            self.written + other.written,
            self.fetched + other.fetched,
            self.pages + other.pages,
        )

    def __sub__(self, other: Fills) -> Fills:
        return self + other.times(-1)

    def times(self, factor: float) -> Fills:
        """Return all counts multiplied."""
        counts = (self.demand * factor, self.written * factor, self.fetched * factor)
        return Fills(self.accesses * factor, *counts, self.pages * factor)

    @property
    def total(self) -> NDArray[np.float64]:
        """All fills by level."""
        return self.demand + self.written + self.fetched


class Hierarchy:
    """The caches of one core, empty at first."""

    def __init__(self, caches: list[Cache], tlb: Tlb) -> None:
        self.line_bytes, self.levels = caches[0].line_bytes, len(caches)
        self._sets = np.array([c.bytes // (c.ways * c.line_bytes) for c in caches], np.int64)
        self._ways = np.array([c.ways for c in caches], np.int64)
        self._from = np.concatenate(([0], np.cumsum(self._sets * self._ways))).astype(np.int64)
        self._tags = np.full(self._from[-1], -1, np.int64)
        prefetch = caches[0].prefetch
        streams = prefetch.streams if prefetch else 0
        self._streams = np.zeros((streams, _STREAM_FIELDS), np.int64)
        self._streams[:, 0] = -(1 << 40)
        rules = (prefetch.max_stride_lines, prefetch.trigger, prefetch.distance_lines) if prefetch else (0, 0, 0)
        self._rules = np.array(rules, np.int64)
        self._clock = np.zeros(1, np.int64)
        self._pages = np.full(tlb.entries, -1, np.int64)
        self._page_lines = tlb.page_bytes // self.line_bytes

    def run(self, accesses: Lines) -> Fills:
        """Touch lines in order and return what was filled."""
        counts = np.zeros((3, len(self._sets)), np.int64)
        _touch(
            accesses, self._sets, self._ways, self._from, self._tags, self._streams, self._rules, self._clock, counts
        )
        demand, written, fetched = counts.astype(np.float64)
        pages = _look_up(accesses, self._page_lines, self._pages)
        return Fills(float(np.count_nonzero(accesses >= 0)), demand, written, fetched, float(pages))


@numba.njit(cache=True)
def _find(line: int, level: int, sets: Lines, ways: Lines, first: Lines, tags: Lines) -> bool:
    """Return whether a level has a line, and make it the set's most recent if so."""
    base = first[level] + (line % sets[level]) * ways[level]
    for way in range(ways[level]):
        if tags[base + way] == line:
            for back in range(way, 0, -1):
                tags[base + back] = tags[base + back - 1]
            tags[base] = line
            return True
    return False


@numba.njit(cache=True)
def _fill(line: int, sets: Lines, ways: Lines, first: Lines, tags: Lines) -> int:
    """Bring a line that the L1 lacks into it; return the level below that had it, counted from the L2."""
    levels = len(sets)
    source = levels - 1
    for level in range(1, levels):
        if _find(line, level, sets, ways, first, tags):
            source = level - 1
            break
    for level in range(source + 1):
        base = first[level] + (line % sets[level]) * ways[level]
        for back in range(ways[level] - 1, 0, -1):
            tags[base + back] = tags[base + back - 1]
        tags[base] = line
    return source


@numba.njit(cache=True)
def _look_up(accesses: Lines, page_lines: int, pages: Lines) -> int:
    """Return how many accesses are to a page that the TLB lacks; ``pages`` are its entries, the latest first."""
    misses = 0
    for access in accesses:
        page = (access >> 1) // page_lines
        if pages[0] == page or access < 0:
            continue
        place = len(pages) - 1
        for at in range(len(pages)):
            if pages[at] == page:
                place = at
                break
        misses += pages[place] != page
        for back in range(place, 0, -1):
            pages[back] = pages[back - 1]
        pages[0] = page
    return misses


@numba.njit(cache=True)
def _touch(
    accesses: Lines,
    sets: Lines,
    ways: Lines,
    first: Lines,
    tags: Lines,
    streams: Lines,
    rules: Lines,
    clock: Lines,
    counts: Lines,
) -> None:
    """Touch lines in order; ``counts`` are demand, written and fetched fills by source."""
    for access in accesses:
        if access < 0:
            asked = -1 - access
            if not _find(asked, 0, sets, ways, first, tags):
                counts[2, _fill(asked, sets, ways, first, tags)] += 1
            continue
        line, written = access >> 1, access & 1
        if not _find(line, 0, sets, ways, first, tags):
            counts[written, _fill(line, sets, ways, first, tags)] += 1
            watch = True
        else:
            watch = False
            for s in range(streams.shape[0]):
                if streams[s, 2] >= rules[1] and line == streams[s, 0] + streams[s, 1]:
                    watch = True
        if watch and streams.shape[0]:
            clock[0] += 1
            _follow(line, sets, ways, first, tags, streams, rules, clock[0], counts)


@numba.njit(cache=True)
def _follow(
    line: int,
    sets: Lines,
    ways: Lines,
    first: Lines,
    tags: Lines,
    streams: Lines,
    rules: Lines,
    now: int,
    counts: Lines,
) -> None:
    """Find the stream that a line continues, or begin one, and fetch ahead of it."""
    found, oldest = -1, 0
    for s in range(streams.shape[0]):
        if 0 < abs(line - streams[s, 0]) <= rules[0]:
            found = s
            break
        if streams[s, 4] < streams[oldest, 4]:
            oldest = s
    if found < 0:
        streams[oldest] = (line, 0, 1, line, now)
        return
    stride = line - streams[found, 0]
    same = stride == streams[found, 1]
    length = streams[found, 2] + 1 if same else 2
    furthest = streams[found, 3] if same else line
    if length >= rules[1]:
        # Confidence grows with the stream: its first fetch is one stride ahead, the next two, up to the distance.
        for step in range(1, min(rules[2], length - rules[1] + 1) + 1):
            ahead = line + step * stride
            if (ahead - furthest) * stride <= 0 or ahead < 0:
                continue
            furthest = ahead
            if not _find(ahead, 0, sets, ways, first, tags):
                counts[2, _fill(ahead, sets, ways, first, tags)] += 1
    streams[found] = (line, stride, length, furthest, now)
