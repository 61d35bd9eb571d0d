"""SAT's array takes what a circuit of its description takes, and each optimisation helps where it should."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.simulation import simulate
from codesign.sparsification import sparsify
from codesign.training import training_step
from codesign.validation.sat import SWITCHES, anchors, shapes, speedup, worth
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.stce import DATAFLOWS, Dataflow, Job, Stce, job_timing
from hw_models.pipeline import compiled, simpy_engine
from hw_models.systolic.folds import OS, WS, tile_cycles
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.topology import read_topology
from traces.workload import Workload

arrays = st.builds(
    Stce,
    rows=st.integers(1, 6),
    cols=st.integers(1, 6),
    adder_latency=st.integers(1, 7),
    interleave=st.booleans(),
    sore_lanes=st.integers(1, 8),
    sums=st.integers(1, 200),
)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Draw a small job, dense or N:M, with or without SORE."""
    k = draw(st.integers(1, 30))
    kept = draw(st.integers(1, k))
    sizes = {key: draw(st.integers(1, 25)) for key in ("rows", "cols")}
    return Job(**sizes, k=k, kept=kept, groups=draw(st.integers(1, 3)), online=kept < k and draw(st.booleans()))


def linear(m: int, n: int, k: int) -> Op:
    """Return a linear op with a parameter."""
    return Op(name="fc", kind="linear", gemm=Gemm.matmul(m, n, k), weight="w")


@given(arrays, jobs(), st.sampled_from(DATAFLOWS))
@settings(deadline=None, max_examples=150)
def test_simpy_agrees(stce: Stce, job: Job, dataflow: Dataflow) -> None:
    """Both executors start and end every fold of every run in the same cycle."""
    for folds, _ in stce.runs(job, dataflow):
        pipeline = folds.pipeline()
        ours, reference = compiled.run(pipeline), simpy_engine.run(pipeline)
        for stage in pipeline.stages:
            np.testing.assert_array_equal(ours.end_cycles[stage.name], reference.end_cycles[stage.name])


@given(arrays, jobs())
@settings(deadline=None, max_examples=100)
def test_output_stationary_folds_take_what_their_adders_allow(stce: Stce, job: Job) -> None:
    """Issuing MACs one by one, never to an output whose last sum is still in the adder, takes the fold's cycles."""
    ((folds, _), *_) = stce.runs(job, "os")
    per_fold = stce.rows * stce.outputs
    for fold, stream in enumerate(folds.stream.tolist()):
        of_cols = -(-job.cols // stce.cols)
        begin = fold // of_cols % -(-job.rows // per_fold) * per_fold
        outputs = -(-min(per_fold, job.rows - begin) // stce.rows)  # of the busiest PE
        now, ready = 0, [0] * outputs
        for _ in range(job.kept):
            for output in range(outputs):
                now = max(now, ready[output])
                ready[output] = now + stce.adder_latency
                now += 1
        assert stream == now


@given(arrays, jobs())
@settings(deadline=None, max_examples=100)
def test_weight_stationary_folds_follow_each_other(stce: Stce, job: Job) -> None:
    """Folds in program order, each after its weights were made and shifted in and the array is free again."""
    cycles = 0
    for rows in [stce.row_tile(job)] * (job.rows // stce.row_tile(job)) + [job.rows % stce.row_tile(job)]:
        if not rows:
            continue
        made, shifted, freed = [0], [0], [0]  # when each fold's weights are made, held, and streamed past
        for _ in range(job.groups):
            for col in range(0, job.cols, stce.cols):
                for row in range(0, job.kept, stce.rows):
                    slots = min(stce.rows, job.kept - row) * min(stce.cols, job.cols - col)
                    sore = -(-slots * job.k // (job.kept * stce.sore_lanes)) if job.online else 0
                    # A double buffer: the weights before the last must have been taken over.
                    begin = max(made[-1], shifted[-2] if len(shifted) > 2 else 0)
                    made.append(begin + sore)
                    held = max(shifted[-1], made[-1] if job.online else 0, freed[-2] if len(freed) > 2 else 0)
                    shifted.append(held + stce.rows)
                    hazard = stce.adder_latency if job.kept > stce.rows else 0
                    freed.append(max(freed[-1], shifted[-1]) + max(rows, hazard))
        cycles += freed[-1] + stce.rows * stce.adder_latency + stce.cols - 2
    assert job_timing(stce, job, "ws").cycles == cycles


@given(arrays, jobs(), st.sampled_from(DATAFLOWS))
@settings(deadline=None, max_examples=150)
def test_every_cycle_is_accounted_for(stce: Stce, job: Job, dataflow: Dataflow) -> None:
    """Work and waits add up to the cycles, and no wait is negative."""
    timing = job_timing(stce, job, dataflow)
    assert timing.cycles == timing.work + sum(timing.waits.values())
    assert min(timing.waits.values(), default=0) >= 0


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 8))
def test_a_fold_without_latency_is_scale_sims(k_or_m: int, rows: int, cols: int) -> None:
    """With an adder of one cycle a single fold takes SCALE-Sim's cycles, and under os those of shifting results out."""
    stce = Stce(rows, cols, adder_latency=1, interleave=True, sore_lanes=1, sums=10**6)
    ws = job_timing(stce, Job(rows=k_or_m, cols=cols, k=rows, kept=rows), "ws").cycles
    assert ws == tile_cycles(WS, k_or_m, cols, rows, rows, cols, False)
    os = job_timing(stce, Job(rows=rows, cols=cols, k=k_or_m, kept=k_or_m), "os").cycles
    assert os == tile_cycles(OS, rows, cols, k_or_m, rows, cols, False) + rows


@given(jobs(), st.integers(1, 8), st.sampled_from(DATAFLOWS))
@settings(deadline=None, max_examples=100)
def test_optimisations_never_cost_a_cycle(job: Job, latency: int, dataflow: Dataflow) -> None:
    """Weights that are made already help or do nothing; so does interleaving, up to what is shifted out at the end."""

    def cycles(job: Job, latency: int, interleave: bool = True) -> int:
        return job_timing(Stce(4, 4, latency, interleave, 4, 64), job, dataflow).cycles

    made = Job(job.rows, job.cols, job.k, job.kept, job.groups)
    assert cycles(made, latency) <= cycles(job, latency)
    # Shifting out results that were held back for the interleaving takes a row each at the end.
    assert cycles(made, latency) <= cycles(made, latency, interleave=False) + 4 * (latency - 1)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 64), st.integers(1, 8))
@settings(deadline=None, max_examples=100)
def test_fewer_weights_are_never_slower(m: int, n: int, k: int, keep: int) -> None:
    """With pre-generation, N:8 costs no more cycles and no fewer MACs skipped than (N+1):8, and 8:8 is dense."""
    sat = load_accelerator("sat").accelerator()
    op = linear(m, n, k)
    costs = [
        sat.cost(Workload(op, pattern=f"{kept}:8", declared_density=kept / 8)) for kept in (keep, min(8, keep + 1))
    ]
    dense = sat.cost(Workload(op))
    assert costs[0].cycles <= costs[1].cycles <= dense.cycles
    assert costs[0].skipped >= costs[1].skipped
    assert all(cost.effectual + cost.skipped + cost.gated == op.macs for cost in costs)
    if keep == 8:
        assert costs[0] == dense


def test_slow_sore_makes_nm_slower_than_dense() -> None:
    """Without pre-generation, too few SORE lanes are the bottleneck, zeros do not help, and dense weights are moved."""
    sat = load_accelerator("sat", ["sat.pre_generation=false", "sat.sore_lanes=2"]).accelerator()
    op = linear(64, 1024, 1024)
    dense = sat.cost(Workload(op))
    sparse, sparser = (sat.cost(Workload(op, pattern=f"{n}:8", declared_density=n / 8)) for n in (2, 1))
    assert sparse.bound_by == sparser.bound_by == "SORE"
    assert sparser.cycles > 0.9 * sparse.cycles > dense.cycles
    assert sparse.dram_bytes["weight"] == dense.dram_bytes["weight"]
    assert sparse.dram_bytes["metadata"] == 0


def test_packed_weights_and_indices_are_charged() -> None:
    """2:8 moves a quarter of the weights and 3 bits of index for each, in DRAM and in SRAM; energy follows."""
    cost = (
        load_accelerator("sat").accelerator().cost(Workload(linear(64, 32, 256), pattern="2:8", declared_density=0.25))
    )
    assert cost.dram_bytes["weight"] == 32 * 64 * 2
    assert cost.dram_bytes["metadata"] == 32 * 64 * 3 // 8
    assert cost.energy_pj["metadata"] > 0
    assert cost.skipped == 64 * 32 * 192


def test_real_zeros_are_counted() -> None:
    """Effectual MACs come from the weights in memory; zeros that are not of the mode are issued."""
    weights = np.zeros((1, 2, 16), np.bool_)
    weights[0, 0, [0, 3, 9]] = True
    cost = load_accelerator("sat").accelerator().cost(Workload(linear(5, 2, 16), weights, pattern="2:8"))
    assert (cost.effectual, cost.gated, cost.skipped) == (15, 5 * 2 * 4 - 15, 5 * 2 * 12)


def test_folds_beyond_the_limit_are_run_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cutting a job into more runs costs a fill a run and nothing else."""
    stce = Stce(4, 4, 3, True, 4, 64)
    job = Job(rows=500, cols=9, k=8, kept=8, groups=5)
    whole = [job_timing(stce, job, dataflow) for dataflow in DATAFLOWS]
    monkeypatch.setattr("hw_models.accelerators.stce.MOST_FOLDS", 10)
    job_timing.cache_clear()
    cut = [job_timing(stce, job, dataflow) for dataflow in DATAFLOWS]
    job_timing.cache_clear()
    for one, other in zip(whole, cut, strict=True):
        assert one.work == other.work
        assert one.cycles <= other.cycles < 2 * one.cycles


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("sat.adder_latency_cycles=0", "sat.adder_latency_cycles must be greater than or equal to 1, not 0"),
        ("sat.dataflow=is", "sat.dataflow must be 'ws' or 'os', not 'is'"),
        ("sat.pre_generaton=false", r"sat.pre_generaton is an unknown key \(did you mean pre_generation\?\)"),
        ("sat.interleave_mapping=5", "sat.interleave_mapping must be true or false, not 5"),
    ],
)
def test_bad_configs_are_told(setting: str, sentence: str) -> None:
    """A wrong value or key of the section is named with its rule."""
    with pytest.raises(InputError, match=sentence):
        load_accelerator("sat", [setting])


def test_too_large_an_m_is_told() -> None:
    """An M whose activations a PE cannot pick from is refused by name, not run as something else."""
    graph = OpGraph.of("net", [linear(8, 64, 64)], []).with_weights({}, {"fc": "2:32"})
    with pytest.raises(
        InputError, match=r"the pattern of fc must be N:M with M of at most 16, .* not '2:32'; prune it"
    ):
        simulate(graph, "sat")


def test_a_topology_table_runs(tmp_path: Path) -> None:
    """Declared N:M along a whole reduction is taken as it is declared."""
    table = tmp_path / "net.csv"
    table.write_text("Layer, M, N, K, Sparsity,\nfc, 20, 30, 64, 1:4,\n")
    graph = read_topology(str(table))
    report = simulate(graph, "sat")
    assert sum(op.skipped_macs for op in report.ops) * 4 == 3 * graph.macs


def test_a_step_of_resnet18() -> None:
    """At 8 samples: close to what its MACs allow; no optimisation harms, and os without interleaving is adder-bound."""
    graph = sparsify(shapes("resnet18", 8), "2:8")
    config = load_accelerator("sat")
    assert 1.7 < speedup(graph, config) < 1.9
    lost = worth(graph, config)
    assert set(lost) == set(SWITCHES)
    assert min(lost.values()) >= 0
    report = simulate(
        training_step(graph), "sat",
        settings=["sat.interleave_mapping=false", "sat.offline_scheduling=false", "sat.dataflow=os"],
    )  # fmt: skip
    assert {op.bound_by for op in report.ops if op.name.endswith("0.wgrad")} == {"adder latency"}


@pytest.mark.slow
def test_anchors_hold() -> None:
    """The published average speedup and the ideal one are within their bands."""
    assert all(anchor.holds for anchor in anchors(None))
