"""Timeline: a report as Chrome trace events, for ui.perfetto.dev or chrome://tracing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codesign.report.record import OpRecord
from hw_models.network.network import EXECUTE, LOAD_I, LOAD_W, STORE

if TYPE_CHECKING:
    from codesign.report.report import Report

Event = dict[str, Any]

_STAGES = (LOAD_W, LOAD_I, EXECUTE, STORE)
_OPS = "op"


def timeline(report: Report, *, max_events: int = 200_000) -> dict[str, Any]:
    """Return the tracks of a run: the ops, stalls included, and what each stage serves for them.

    One microsecond of the timeline is one cycle: whole numbers, so events that touch do not overlap by rounding.
    ``otherData`` has the clock.

    Parameters
    ----------
    report
        The report.
    max_events
        Above it, the tiles of an op are drawn as one event a stage, from the first one's start to the last one's
        end, with the cycles of service in ``args``.

    Returns
    -------
    dict
        The JSON object form of the trace event format: complete events (``ph`` "X") sorted by ``ts``, after
        the metadata events that name the tracks.
    """
    ops = [op for op in report.ops if op.fused_into is None]
    per_tile = report.schedule.pipeline.tokens <= max_events
    tracks = [stage for stage in _STAGES if stage in report.network.first]
    events = list(_op_events(ops))
    for number, stage in enumerate(tracks, 1):
        events += _tiles(report, ops, stage, number) if per_tile else _merged(report, ops, stage, number)
    events.sort(key=lambda event: (event["ts"], event["tid"]))
    return {
        "traceEvents": [*_names(report, [_OPS, *tracks]), *events],
        "displayTimeUnit": "ms",
        "otherData": {
            "model": report.model,
            "accelerator": report.config.name,
            "time": "1 us = 1 cycle",
            "clock_hz": report.config.clock_hz,
            "total_cycles": report.total_cycles,
            "events": "one a tile" if per_tile else "one an op and stage",
        },
    }


def _names(report: Report, tracks: Sequence[str]) -> Iterator[Event]:
    process = f"{report.model} on {report.config.name} (1 us = 1 cycle)"
    yield {"ph": "M", "name": "process_name", "pid": 1, "tid": 0, "args": {"name": process}}
    for number, track in enumerate(tracks):
        yield {"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": track}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": 1, "tid": number, "args": {"sort_index": number}}


def _event(name: str, track: int, start: int, cycles: int, args: Mapping[str, object]) -> Event:
    at = {"start_cycle": start, "cycles": cycles}
    return {"ph": "X", "name": name, "pid": 1, "tid": track, "ts": start, "dur": cycles, "args": {**at, **args}}


def _op_events(ops: Sequence[OpRecord]) -> Iterator[Event]:
    for op in ops:
        args = {"kind": op.kind, "mapping": op.mapping, "stall_cycles": op.stalls_by_cause}
        yield _event(op.name, 0, op.start_cycle, op.cycles, args)


def _tiles(report: Report, ops: Sequence[OpRecord], stage: str, track: int) -> Iterator[Event]:
    """Yield one event a tile; those that take no time are left out."""
    first = report.network.first[stage].tolist()
    starts, ends = report.schedule.start(stage).tolist(), report.schedule.end_cycles[stage].tolist()
    for i, op in enumerate(ops):
        for token in range(first[i], first[i + 1]):
            if ends[token] > starts[token]:
                yield _event(op.name, track, starts[token], ends[token] - starts[token], {"tile": token - first[i]})


def _merged(report: Report, ops: Sequence[OpRecord], stage: str, track: int) -> Iterator[Event]:
    """Yield one event an op."""
    first = report.network.first[stage].tolist()
    starts, ends = report.schedule.start(stage), report.schedule.end_cycles[stage]
    for i, op in enumerate(ops):
        begin, stop = first[i], first[i + 1]
        if stop > begin and ends[stop - 1] > starts[begin]:
            start, cycles = int(starts[begin]), int(ends[stop - 1] - starts[begin])
            served = int((ends[begin:stop] - starts[begin:stop]).sum())
            yield _event(op.name, track, start, cycles, {"tiles": stop - begin, "served_cycles": served})
