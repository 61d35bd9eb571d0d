"""Kills: whatever ends a sweep, whenever, the same command goes on and comes to the same table, bit for bit."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_models import resnet50_csv
from sweep_studies import small, table, write

from codesign import run_sweep
from codesign.sweep.run import Progress

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of 32 points on 54 layers, a few seconds of work, and an undisturbed run of it beside it."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "resnet50.csv").write_text(resnet50_csv())
    path = write(
        folder,
        {
            "name": "kills",
            "models": ["resnet50.csv"],
            "weights": ["dense", "2:4"],
            "accelerators": [
                {
                    "base": "systolic-32x32-nm",
                    "set": {"array.rows": [8, 32], "array.cols": {"from": 8, "to": 64, "step": 8}},
                    "dataflow": "ws",
                }
            ],
        },
    )
    run_sweep(path, out=folder / "undisturbed", workers=1)
    return path


def begin(study: Path, out: Path, *args: str, **options: Any) -> subprocess.Popen[str]:
    """Start a sweep in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "codesign", "sweep", str(study), "--out", str(out), "--workers", "2", *args],
        cwd=study.parent,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def finish(study: Path, out: Path) -> None:
    """Go on with a sweep to its end, and compare it with the undisturbed one."""
    run_sweep(study, out=out, workers=1)
    assert table(out) == table(study.parent / "undisturbed")


def workers_of(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until something holds; return whether it came to that."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def written(out: Path) -> int:
    """Return how many bytes the store has on disk."""
    return sum(path.stat().st_size for path in out.glob("results.duckdb*")) if out.exists() else 0


def kill_often(study: Path, out: Path, kills: int) -> None:
    """Kill a sweep again and again, some time after it has begun to write, then let it end and compare."""
    moments, hit = random.Random(kills), 0
    while hit < kills:
        process = begin(study, out)
        before = written(out)
        assert until(lambda process=process, before=before: process.poll() is not None or written(out) != before)
        time.sleep(moments.random() * 0.5)
        if process.poll() is not None:  # it came to its end: begin anew
            for path in sorted(out.rglob("*.*")):
                path.unlink()
            continue
        children = workers_of(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        hit += 1
        assert until(lambda children=children: not any(map(running, children)), 20), "workers outlive the sweep"
    finish(study, out)


def at_work(process: subprocess.Popen[str], out: Path) -> bool:
    """Wait until the first points of a sweep are written."""
    assert until(lambda: len(workers_of(process.pid)) >= 2)
    before = written(out)
    return until(lambda: written(out) != before)


def running(pid: int) -> bool:
    """Return whether a process is there and not just waiting to be told of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_killed_sweeps_resume(study: Path, tmp_path: Path) -> None:
    """After two kills -9 the table is that of an undisturbed run, and no worker is left behind."""
    kill_often(study, tmp_path / "out", 2)


@pytest.mark.slow
def test_often_killed_sweeps_resume(study: Path, tmp_path: Path) -> None:
    """The same with twenty kills."""
    kill_often(study, tmp_path / "out", 20)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(study: Path, tmp_path: Path) -> None:
    """A worker process that dies costs no point, and the sweep goes on by itself."""
    out = tmp_path / "out"
    process = begin(study, out)
    assert at_work(process, out)
    victims = [pid for pid in workers_of(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in victims[:1]:
        os.kill(pid, signal.SIGKILL)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert table(out) == table(study.parent / "undisturbed")


def test_interrupted_sweeps_say_how_to_go_on(study: Path, tmp_path: Path) -> None:
    """Ctrl-C ends the sweep and its workers with one sentence and code 130; the same command goes on."""
    out = tmp_path / "out"
    process = begin(study, out)
    assert at_work(process, out)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of the group
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, (stdout, stderr)
    assert stdout == ""
    (line,) = stderr.splitlines()
    assert line.startswith("codesign: interrupted")
    assert "the same command goes on" in line
    finish(study, out)


def test_full_disks_are_survived(study: Path, tmp_path: Path) -> None:
    """When the store can grow no more, one sentence says so; with room again the sweep goes on from there."""
    out = tmp_path / "out"

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000))

    process = begin(study, out, preexec_fn=small_files)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2, stderr
    (line,) = stderr.splitlines()
    assert "cannot be written" in line
    assert "free some space" in line
    finish(study, out)


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    """A second sweep in the folder ends with one sentence; the first goes on."""
    path, out = write(tmp_path, small(tmp_path)), tmp_path / "out"
    told: list[str] = []

    def sweep_too(_progress: Progress) -> None:
        if not told:
            second = begin(path, out)
            told.extend(second.communicate(timeout=60)[1].splitlines())
            assert second.returncode == 2

    assert run_sweep(path, out=out, workers=1, progress=sweep_too).counts["done"] == 24
    (line,) = told
    assert "in use by another sweep" in line
