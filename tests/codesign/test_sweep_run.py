"""Sweeps: figures are those of `simulate`, whoever evaluates them, and nothing is evaluated twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep_studies import small, table, write

import hw_models
from codesign import load_model, run_sweep, simulate, sparsify
from codesign.sweep import run as run_module
from codesign.sweep.evaluate import Evaluator, Outcome
from codesign.sweep.point import Task
from codesign.sweep.pool import Here, Pool
from codesign.sweep.results import read_results
from traces.errors import InputError


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the key of each task that is evaluated in this process."""
    keys: list[str] = []
    evaluate = Evaluator.__call__

    def counting(self: Evaluator, task: Task) -> Outcome:
        keys.append(task.key)
        return evaluate(self, task)

    monkeypatch.setattr(Evaluator, "__call__", counting)
    return keys


def test_figures_are_those_of_simulate(tmp_path: Path) -> None:
    """Every row of a sweep has the cycles, energy, traffic and layers of a simulation with its settings."""
    study = small(tmp_path)
    run_sweep(write(tmp_path, study), out=tmp_path / "out", workers=1)
    results = read_results(tmp_path / "out")
    graph = load_model(str(tmp_path / "gemms.csv"))
    assert len(results) == 24
    layers = results.layers(range(24))
    for at in range(24):
        row = results.row(at)
        values = [f"{name}={row[name]}" for name in ("array.rows", "array.cols")]
        report = simulate(sparsify(graph, row["weights"]), "systolic-32x32-nm", settings=values)
        assert (row["status"], row["cycles"], row["energy_pj"]) == ("done", report.total_cycles, report.total_energy_pj)
        assert row["time_s"] == report.seconds
        assert row["pes"] == report.config.pes
        assert row["dram_bytes"] == sum(sum(op.dram_bytes.values()) for op in report.ops)
        assert layers[at] == ([op.cycles for op in report.ops], [op.total_energy_pj for op in report.ops])
    assert results.ops == {("gemms", "systolic-32x32-nm"): ["a", "b"]}


def test_captured_zeros_are_those_of_simulate(tmp_path: Path) -> None:
    """A model that can be run is run, pruned, once; its real zeros reach the workers."""
    (tmp_path / "models.py").write_text(
        "import torch\nfrom torch import nn\n\n\ndef make():\n    model = nn.Sequential(nn.Conv2d(4, 8, 3, bias=False),"
        " nn.ReLU(), nn.Conv2d(8, 16, 3))\n    return model, torch.randn(1, 4, 12, 12)\n"
    )
    study = small(tmp_path, models=["models.py:make"], weights=["dense", "1:4"], seed=3)
    study["accelerators"] = [{"base": "systolic-32x32-nm"}, {"base": "sigma"}, {"base": "eyeriss-v2"}]
    summary = run_sweep(write(tmp_path, study), out=tmp_path / "out", workers=1)
    graph = load_model(f"{tmp_path}/models.py:make", seed=3)
    assert summary.counts["done"] == 6
    for at in range(6):
        row = summary.results.row(at)
        report = simulate(sparsify(graph, row["weights"]), row["target"])
        assert (row["cycles"], row["energy_pj"]) == (report.total_cycles, report.total_energy_pj)
        assert row["effectual_macs"] == sum(op.effectual_macs for op in report.ops) < row["macs"]


def test_workers_change_nothing(tmp_path: Path) -> None:
    """One process, two, and other batches of work give the same table."""
    path = write(tmp_path, small(tmp_path))
    run_sweep(path, out=tmp_path / "one", workers=1)
    run_sweep(path, out=tmp_path / "two", workers=2)
    assert table(tmp_path / "one") == table(tmp_path / "two")


def test_nothing_is_computed_twice(tmp_path: Path, counted: list[str]) -> None:
    """A sweep that is done computes nothing; one that overlaps with it only what is new."""
    path = write(tmp_path, small(tmp_path))
    run_sweep(path, out=tmp_path / "out", workers=1)
    assert len(counted) == len(set(counted)) == 24
    before = table(tmp_path / "out")
    run_sweep(path, out=tmp_path / "out", workers=1)
    assert len(counted) == 24
    assert table(tmp_path / "out") == before
    wider = write(tmp_path, small(tmp_path, weights=["2:4", "1:4", "dense"], objectives=["time_s", "pes"]))
    with pytest.raises(InputError, match="another study, optimizer or budget; give --resume"):
        run_sweep(wider, out=tmp_path / "out", workers=1)
    run_sweep(wider, out=tmp_path / "out", workers=1, resume=True)
    assert len(counted) == len(set(counted)) == 36
    run_sweep(wider, out=tmp_path / "fresh", workers=1)
    assert table(tmp_path / "out") == table(tmp_path / "fresh")


def test_keys_tell_configurations_apart(tmp_path: Path) -> None:
    """What changes a figure changes the key: setting, dataflow, pattern, model, seed; a target's name does not."""
    study = small(tmp_path, objectives=["time_s"], cpus=["cortex-a53"])
    study["accelerators"] = [
        {"base": "systolic-32x32-nm", "name": "a", "set": {"array.rows": [8, 16]}, "dataflow": ["ws", "os", "auto"]},
        {"base": "systolic-32x32-nm", "name": "b", "set": {"array.rows": [8, 32]}, "dataflow": ["ws", "os", "auto"]},
    ]
    keys = [row[1] for row in _table_of(tmp_path, study, "one")]
    assert len(keys) == 2 * (6 + 6 + 1)
    assert len(set(keys)) == 2 * (9 + 1)
    (tmp_path / "gemms.csv").write_text("Layer, M, N, K,\na, 64, 48, 128,\nb, 64, 32, 49,\n")
    changed = [row[1] for row in _table_of(tmp_path, study, "two", keep=True)]
    seeded = [row[1] for row in _table_of(tmp_path, study | {"seed": 1}, "three", keep=True)]
    assert not set(keys) & set(changed)
    assert not set(changed) & set(seeded)


def test_points_are_those_of_the_files_now(tmp_path: Path, counted: list[str]) -> None:
    """When a file that the study names changes, no point of before passes for one of now, and none is lost."""
    study = small(tmp_path)
    preset = Path(hw_models.__file__).parent / "presets" / "systolic-32x32-nm.yaml"
    (tmp_path / "mine.yaml").write_text(preset.read_text())
    study["accelerators"][0]["base"] = "mine.yaml"
    path, out = write(tmp_path, study), tmp_path / "out"
    run_sweep(path, out=out, workers=1)
    for name, before, after in (("gemms.csv", "128", "256"), ("mine.yaml", "lanes: ", "lanes: 1")):
        text = (tmp_path / name).read_text()
        assert before in text
        (tmp_path / name).write_text(text.replace(before, after, 1))
        with pytest.raises(InputError, match="has changed since; give --resume"):
            run_sweep(path, out=out, workers=1)
        run_sweep(path, out=out, workers=1, resume=True)
        run_sweep(path, out=tmp_path / f"fresh-{name}", workers=1)
        assert table(out) == table(tmp_path / f"fresh-{name}")
    evaluated = len(counted)
    (tmp_path / "mine.yaml").write_text(preset.read_text())  # as it was once, with the same model
    run_sweep(path, out=out, workers=1, resume=True)
    assert len(counted) == evaluated


def test_code_that_evaluates_is_in_the_version() -> None:
    """Of all our modules that a worker loads, only those that lay out a study are no part of the code's version."""
    code = (
        "import sys, codesign.sweep.evaluate\nfrom codesign.sweep.point import sources\n"
        "ours = {m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('codesign', 'hw_models', 'traces',"
        " 'kernels')} - {None}\nprint(*sorted(ours - set(map(str, sources()))), sep='\\n')"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    left_out = {Path(line).relative_to(Path(hw_models.__file__).parents[1]).as_posix() for line in told.splitlines()}
    assert left_out == {f"codesign/sweep/{name}.py" for name in ("__init__", "axis", "optimizers", "space", "study")}


def test_points_are_those_of_the_code_now(tmp_path: Path) -> None:
    """A sweep of another version of the code is not mixed with one of this."""
    import duckdb

    path, out = write(tmp_path, small(tmp_path)), tmp_path / "out"
    run_sweep(path, out=out, workers=1)
    before = table(out)
    with duckdb.connect(str(out / "results.duckdb")) as store:
        store.execute("UPDATE about SET value = 'older' WHERE name = 'code_version'")
        store.execute("UPDATE points SET key = key || 'older'; UPDATE evaluated SET key = key || 'older', cycles = 1")
    with pytest.raises(InputError, match="another version of codesign; give --resume"):
        run_sweep(path, out=out, workers=1)
    run_sweep(path, out=out, workers=1, resume=True)
    assert table(out) == before


def test_ops_are_named_whoever_evaluated_them(tmp_path: Path) -> None:
    """Names of ops are there for targets that are alike, and for points that another study has evaluated."""
    study = small(tmp_path)
    study["accelerators"] = [{"base": "systolic-32x32-nm", "name": name} for name in "ab"]
    path = write(tmp_path, study)
    run_sweep(path, out=tmp_path / "out", workers=1)
    assert read_results(tmp_path / "out").ops == {("gemms", "a"): ["a", "b"], ("gemms", "b"): ["a", "b"]}
    run_sweep(path, out=tmp_path / "out", workers=1, budget=3, resume=True)
    assert read_results(tmp_path / "out").ops == {("gemms", "a"): ["a", "b"], ("gemms", "b"): ["a", "b"]}


def test_settings_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    """Values that are good alone and not together make a point infeasible, and end no sweep."""
    study = small(tmp_path)
    study["accelerators"] = [
        {
            "base": "systolic-32x32-nm",
            "set": {
                "precision.weight_bits": [16, 8],
                "precision.accumulator_bits": [8, 32],
                "precision.output_bits": 8,
            },
        },
        {"base": "os-mesh", "set": {"array.rows": [4, 8], "os_mesh.distribution_bandwidth": [1, 2]}},
    ]
    summary = run_sweep(write(tmp_path, study), out=tmp_path / "out", workers=1)
    assert summary.counts["failed"] == 0
    (reason,) = {reason for reason in summary.results.columns["reason"] if reason and "accumulator" in reason}
    assert "at least as wide as the operands" in reason


def test_a_sweep_killed_at_once_is_begun_anew(tmp_path: Path) -> None:
    """A store in which nothing has been made yet is no stranger's."""
    import duckdb

    (tmp_path / "out").mkdir()
    duckdb.connect(str(tmp_path / "out" / "results.duckdb")).close()
    assert run_sweep(write(tmp_path, small(tmp_path)), out=tmp_path / "out", workers=1).counts["done"] == 24


def test_full_disks_are_told_while_models_are_read(tmp_path: Path) -> None:
    """What was traced and cannot be kept is told in a sentence."""
    path = write(tmp_path, small(tmp_path))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "graphs").touch()
    with pytest.raises(InputError, match=r"graphs.*cannot be written"):
        run_sweep(path, out=tmp_path / "out", workers=1)


def _table_of(folder: Path, study: dict[str, Any], out: str, *, keep: bool = False) -> list[tuple[Any, ...]]:
    if not keep:
        small(folder)
    run_sweep(write(folder, study), out=folder / out, workers=1)
    return table(folder / out)


def test_constraints_and_infeasible_points_are_told(tmp_path: Path) -> None:
    """What breaks a constraint is no part of the front, and what does not fit its buffers says which one."""
    study = small(tmp_path, constraints={"pes": {"max": 300}, "cycles": {"max": 3000}})
    study["accelerators"][0]["set"]["memory.sram.weight_bytes"] = [1, 524288]
    summary = run_sweep(write(tmp_path, study), out=tmp_path / "out", workers=1)
    assert summary.counts["failed"] == 0
    told = [str(reason) for reason in summary.results.columns["reason"]]
    assert any("a does not fit" in reason and "memory.sram.weight_bytes" in reason for reason in told)
    assert any(reason == "pes is 512, more than 300" for reason in told)
    assert any(reason.startswith("cycles is at least") for reason in told)
    assert all(row["pes"] <= 300 and row["cycles"] <= 3000 for row in summary.front)
    assert "infeasible" in summary.table()


def test_cpus_are_swept(tmp_path: Path) -> None:
    """A CPU's point has the cycles of `codesign compare` on the same core: dense, and with the pattern's kernels."""
    from codesign import compare

    study = small(tmp_path, weights=["dense", "unstructured:0.9"], cpus=["cortex-a53"], objectives=["time_s"])
    (tmp_path / "gemms.csv").write_text("Layer, M, N, K,\na, 64, 48, 128,\nb, 64, 32, 48,\nc, 64, 16, 32,\n")
    summary = run_sweep(write(tmp_path, study), out=tmp_path / "out", workers=1)
    rows = [summary.results.row(at) for at in range(len(summary.results))]
    dense, sparse = (row for row in rows if row["target"] == "cortex-a53")
    graph = load_model(str(tmp_path / "gemms.csv"))
    compared = compare(graph, weights="unstructured:0.9", cpus=["cortex-a53"], measure=False)["cortex-a53"].totals[0]
    assert dense["energy_pj"] is dense["pes"] is None
    assert dense["cycles"] == pytest.approx(compared.layers_dense_cycles + compared.others_cycles, abs=2)
    assert sparse["cycles"] == pytest.approx(compared.layers_sparse_cycles + compared.others_cycles, abs=2)
    assert sparse["cycles"] < dense["cycles"]


def test_accuracy_is_maximised(tmp_path: Path) -> None:
    """With accuracy as an objective the front goes from the fastest pattern to the most accurate one."""
    weights = [{"pattern": "dense", "accuracy": 0.76}, {"pattern": "2:4", "accuracy": 0.75}]
    study = small(tmp_path, weights=weights, objectives=["cycles", "accuracy"])
    front = run_sweep(write(tmp_path, study), out=tmp_path / "out", workers=1).front
    assert [row["weights"] for row in front] == ["2:4", "dense"]
    assert front[0]["cycles"] < front[1]["cycles"]


@pytest.mark.parametrize("name", ["random", "nsga2", "tpe"])
def test_optimizers_are_replayed(tmp_path: Path, name: str, counted: list[str]) -> None:
    """An optimiser that is stopped and resumed asks for the same points, and random search stands beside a learner."""
    path = write(tmp_path, small(tmp_path, budget=10, prune=False))
    summary = run_sweep(path, out=tmp_path / "out", workers=1, optimizer=name)
    before, evaluated = table(tmp_path / "out"), len(counted)
    assert sum(chosen == name for chosen in summary.results.columns["chosen_by"]) == 10
    assert evaluated == len(summary.results) <= (10 if name == "random" else 20)
    stopped = 0

    def stop(progress: run_module.Progress) -> None:
        nonlocal stopped
        stopped += 1
        if stopped == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(path, out=tmp_path / "again", workers=1, optimizer=name, progress=stop)
    run_sweep(path, out=tmp_path / "again", workers=1, optimizer=name)
    assert table(tmp_path / "again") == before
    assert len(counted) == 2 * evaluated
    if name != "random":
        assert summary.random_points == 10
        assert "random  " in summary.table()


def test_summary_is_json(tmp_path: Path) -> None:
    """The JSON of a summary has the counts and the front, and its hypervolume is that of the whole grid."""
    summary = run_sweep(write(tmp_path, small(tmp_path)), out=tmp_path / "out", workers=1)
    said = json.loads(summary.to_json())
    assert said["counts"]["done"] + said["counts"]["pruned"] == 24
    assert said["front"][0]["cycles"] == min(row["cycles"] for row in said["front"])
    assert said["random_hypervolume"] <= said["hypervolume"] <= 1


class _Deadly:
    """Evaluates tasks; those with 13 rows end their process, the others only once."""

    def __init__(self, packed: object) -> None:
        pass

    def __call__(self, task: Task) -> Outcome:
        if task.config["array"]["rows"] == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(task.key, "done", cycles=task.config["array"]["rows"])


def test_a_task_that_kills_its_process_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that ends two processes has failed; all tasks beside it are done, and the pool goes on."""
    from codesign.sweep import pool

    monkeypatch.setattr(pool, "_evaluate_all", _die)
    tasks = [Task(str(rows), "accelerator", {"array": {"rows": rows}}, None, "", "dense", 0) for rows in range(8, 24)]
    workers = Pool({}, 2)
    try:
        workers.put(tasks)
        found: list[Outcome] = []
        while len(found) < len(tasks):
            found += workers.get()
    finally:
        workers.close()
    assert sorted(int(one.key) for one in found) == list(range(8, 24))
    (failed,) = (one for one in found if one.status == "failed")
    assert failed.key == "13"
    assert "died twice" in str(failed.reason)


def _die(tasks: list[Task]) -> tuple[list[Outcome], float]:
    return [_Deadly(None)(task) for task in tasks], 0.01


def test_failures_are_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A point that fails does not end the sweep; it is told with its reason, and tried again next time."""
    path = write(tmp_path, small(tmp_path))
    evaluate = Evaluator._accelerator

    def failing(self: Evaluator, task: Task) -> Outcome:
        if task.config["array"]["rows"] == 8:
            raise MemoryError
        return evaluate(self, task)

    monkeypatch.setattr(Evaluator, "_accelerator", failing)
    summary = run_sweep(path, out=tmp_path / "out", workers=1)
    assert summary.counts["failed"] == 6
    assert "out of memory" in summary.table()
    monkeypatch.undo()
    again = run_sweep(path, out=tmp_path / "out", workers=1)
    assert again.counts == {"done": 24, "pruned": 0, "infeasible": 0, "failed": 0}


def test_here_is_in_order() -> None:
    """Without processes, tasks are evaluated one after the other, and none is left out."""
    here = Here({})
    here.put([Task(str(at), "accelerator", {}, None, "absent", "dense", 0) for at in range(5)])
    found = []
    while outcomes := here.get():
        found += outcomes
    assert [one.key for one in found] == list("01234")
    assert {one.status for one in found} == {"failed"}
