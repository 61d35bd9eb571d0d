"""The two executors agree event by event, and obey the rules of a pipeline, on pipelines drawn at random."""

from collections.abc import Callable

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_models.pipeline import (
    DeadlockError,
    Edge,
    Fifo,
    Pipeline,
    Resource,
    Schedule,
    Stage,
    compiled,
    simpy_engine,
)

RUNS = 1000


@st.composite
def rates(draw: Callable, produced: int, consumed: int, capacity: int) -> tuple[list[int], list[int]]:
    """Draw cumulative needs and releases that one FIFO of this capacity can meet."""
    need, release, released = [], [], 0
    for i in range(consumed):
        last = i == consumed - 1
        at_least = max(need[-1] if need else 0, produced if last else 0)
        needs = min(produced, released + capacity)
        needs = needs if last or at_least >= needs else draw(st.integers(at_least, needs))
        released = draw(st.integers(released, needs))
        if produced - released > capacity and last:
            released = max(released, min(needs, produced - capacity))
        need.append(needs)
        release.append(released)
    return need, release


@st.composite
def pipelines(draw: Callable) -> Pipeline:
    """Draw stages, FIFOs with and without rates, shared and ordered resources, and edges; some deadlock."""
    count = draw(st.integers(1, 5))
    same_length = draw(st.booleans())
    length = draw(st.integers(1, 8))
    resources = [Resource("r0", draw(st.integers(1, 2))), Resource("r1")]
    stages = []
    for s in range(count):
        tokens = length if same_length else draw(st.integers(0, 8))
        service = draw(st.lists(st.integers(0, 4), min_size=tokens, max_size=tokens))
        resource = draw(st.sampled_from([None, None, "r0", "r1", "r2"]))
        stages.append(Stage(f"s{s}", np.array(service, dtype=np.int64), resource, draw(st.sampled_from([0, 0, 3]))))
    users = [s for s in stages if s.resource == "r2"]
    turns = [i for i, s in enumerate(users) for _ in range(len(s))]
    resources.append(Resource("r2", order=draw(st.permutations(turns)), users=tuple(s.name for s in users)))
    fifos, edges = [], []
    for link in range(draw(st.integers(0, 6)) if count > 1 else 0):
        a, b = draw(st.permutations(range(count)))[:2]
        if draw(st.integers(0, 9)):
            a, b = min(a, b), max(a, b)
        produced, consumed = len(stages[a]), len(stages[b])
        if draw(st.integers(0, 3)) == 0 and produced and consumed:
            pairs = draw(st.lists(st.tuples(st.integers(0, produced - 1), st.integers(0, consumed - 1)), max_size=3))
            pairs = [(x, max(x, y) if y > x else y) for x, y in pairs]
            edges.append(
                Edge(
                    f"s{a}",
                    f"s{b}",
                    np.array([p for p, _ in pairs], int),
                    np.array([c for _, c in pairs], int),
                )
            )
            continue
        capacity = draw(st.integers(1, 4))
        if produced == consumed and draw(st.booleans()):
            fifos.append(Fifo(f"s{a}", f"s{b}", capacity, name=f"f{link}"))
        elif consumed:
            need, release = draw(rates(produced, consumed, capacity))
            fifos.append(Fifo(f"s{a}", f"s{b}", capacity, np.array(need), np.array(release), name=f"f{link}"))
    try:
        return Pipeline(tuple(stages), tuple(fifos), tuple(resources), tuple(edges))
    except DeadlockError:
        return Pipeline(tuple(stages), (), tuple(resources), tuple(edges))


def outcome(run: Callable[[Pipeline], Schedule], pipeline: Pipeline) -> dict[str, list[int]] | str:
    """Return the end of every token, or that (and where) the pipeline deadlocks."""
    try:
        return {name: ends.tolist() for name, ends in run(pipeline).end_cycles.items()}
    except DeadlockError as error:
        return str(error)


finished: list[bool] = []


@settings(max_examples=RUNS, deadline=None, derandomize=True)
@given(pipelines())
def test_executors_agree(pipeline: Pipeline) -> None:
    """SimPy and the compiled executor give the same end of every token, or the same deadlock."""
    expected = outcome(simpy_engine.run, pipeline)
    assert outcome(compiled.run, pipeline) == expected
    finished.append(isinstance(expected, dict))


def test_drawn_pipelines_are_worth_running() -> None:
    """Of the pipelines drawn above most finish and some deadlock, so both outcomes were compared."""
    assert len(finished) >= RUNS
    assert sum(finished) > 0.6 * len(finished)
    assert sum(finished) < len(finished)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(pipelines())
def test_waits_add_up(pipeline: Pipeline) -> None:
    """Every wait is charged to causes, none negative, and they sum to the gaps between services exactly."""
    try:
        schedule = compiled.run(pipeline)
    except DeadlockError:
        return
    for stage in pipeline.stages:
        waited = schedule.waited(stage.name)
        gaps = schedule.start(stage.name) - np.concatenate(([0], schedule.end_cycles[stage.name][:-1]))[: len(stage)]
        assert all((cycles >= 0).all() for cycles in waited.values())
        assert (sum(waited.values()) == gaps).all()
        if stage.resource is None:
            assert not waited["resource"].any()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(pipelines(), st.integers(0, 4), st.data())
def test_never_slower_without_arbitration(pipeline: Pipeline, stage: int, data: st.DataObject) -> None:
    """Where no resource is shared first come, first served, faster service and more capacity never cost time."""
    stages = [Stage(s.name, s.service_cycles, s.resource if s.resource == "r2" else None) for s in pipeline.stages]
    before = Pipeline(tuple(stages), pipeline.fifos, pipeline.resources, pipeline.edges)
    try:
        slow = compiled.run(before).total_cycles
    except DeadlockError:
        return
    s = stages[stage % len(stages)]
    less = [data.draw(st.integers(0, int(c))) for c in s.service_cycles]
    stages[stage % len(stages)] = Stage(s.name, np.array(less, dtype=np.int64), s.resource)
    wider = [Fifo(f.producer, f.consumer, f.capacity + 1, f.need, f.release, f.name) for f in pipeline.fifos]
    after = Pipeline(tuple(stages), tuple(wider), pipeline.resources, pipeline.edges)
    assert compiled.run(after).total_cycles <= slow


def test_ties_go_by_stage_order() -> None:
    """Requests of the same cycle are granted in the order of the stages."""
    stages = tuple(Stage(f"s{i}", [5], "bus") for i in range(3))
    schedule = compiled.run(Pipeline(stages, resources=(Resource("bus"),)))
    assert {name: ends.tolist() for name, ends in schedule.end_cycles.items()} == {
        "s0": [5],
        "s1": [10],
        "s2": [15],
    }


def test_ordered_resource_keeps_its_order() -> None:
    """An ordered resource lets an early request wait for the one whose turn it is."""
    stages = (Stage("late", [7]), Stage("a", [1], "dma"), Stage("b", [1], "dma"))
    pipeline = Pipeline(stages, (Fifo("late", "a", 1),), (Resource("dma", order=[0, 1], users=("a", "b")),))
    for run in (compiled.run, simpy_engine.run):
        assert run(pipeline).end_cycles["b"].tolist() == [9]


def test_latency_frees_the_stage_early() -> None:
    """Latency delays consumers, not the stage: four tokens of 2 cycles with latency 10 arrive every 2 cycles."""
    pipeline = Pipeline((Stage("dram", [2] * 4, None, 10), Stage("use", [1] * 4)), (Fifo("dram", "use", 4),))
    assert compiled.run(pipeline).start("use").tolist() == [12, 14, 16, 18]


def test_users_process_shares_the_simpy_environment() -> None:
    """A user's own process runs beside the stages and sees the same clock."""
    env, seen = simpy.Environment(initial_time=100), []

    def watch():
        yield env.timeout(3)
        seen.append(env.now)

    env.process(watch())
    schedule = simpy_engine.run(Pipeline((Stage("s", [2, 2]),)), env)
    assert seen == [103]
    assert schedule.end_cycles["s"].tolist() == [2, 4]


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Stage("s", [1, -1]), "service_cycles of stage s must be at least 0, not -1"),
        (lambda: Stage("s", [0.5]), "must be a 1-D array of integers"),
        (lambda: Fifo("a", "b", 0), "capacity of FIFO a->b must be at least 1, not 0"),
        (lambda: Pipeline((Stage("a", [1]), Stage("a", [1]))), "two stages are named a"),
        (lambda: Pipeline((Stage("a", [1], "bus"),)), "stage a uses an unknown resource bus"),
        (lambda: Pipeline((Stage("a", [1]),), (Fifo("a", "b", 1),)), "unknown stage b"),
        (
            lambda: Pipeline((Stage("a", [1]), Stage("b", [1, 1])), (Fifo("a", "b", 1),)),
            "pairs 1 tokens with 2",
        ),
        (
            lambda: Pipeline((Stage("a", [1] * 3), Stage("b", [1])), (Fifo("a", "b", 2, [3]),)),
            "FIFO a->b can deadlock: token 0 of b needs 3 tokens at once, but its capacity is 2",
        ),
        (lambda: Pipeline((Stage("a", [1]),), (), (Resource("r", order=[0], users=("a",)),)), "order of resource r"),
    ],
)
def test_bad_parts_are_refused(build: Callable[[], object], sentence: str) -> None:
    """What cannot be built says so in one sentence."""
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        build()


def test_deadlock_names_the_fifo() -> None:
    """Reconvergent paths with too little room are refused with the name of the FIFO that blocks."""
    stages = (Stage("split", [1] * 4), Stage("slow", [1] * 4), Stage("join", [1]))
    fifos = (Fifo("split", "slow", 4), Fifo("split", "join", 4, [4], [4]), Fifo("slow", "join", 4, [4], [4]))
    Pipeline(stages, fifos)
    tight = (fifos[0], Fifo("join", "split", 1, [0, 0, 0, 1], [0, 0, 0, 1]), *fifos[1:])
    for run in (compiled.run, simpy_engine.run):
        with pytest.raises(DeadlockError, match=r"FIFO join->split|FIFO split->join|FIFO slow->join"):
            run(Pipeline(stages, tight))
