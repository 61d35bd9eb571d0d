"""Clusters: a Dask scheduler and workers in processes of their own, on loopback."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_models import resnet50_csv
from sweep_studies import small, table, write

from codesign import run_sweep
from codesign.sweep.run import Progress
from traces.errors import InputError

pytest.importorskip("distributed", reason="needs Dask: pip install 'sparse-codesign[cluster]'")

ROOT = Path(__file__).parents[2]
Cluster = tuple[str, list[subprocess.Popen[bytes]]]


def start(folder: Path, *args: str) -> subprocess.Popen[bytes]:
    """Start a part of Dask in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *args],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return the address of a scheduler, two workers, which no nanny starts again, and the scheduler."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    port = address.rpartition(":")[2]
    processes = [start(tmp_path, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")]
    options = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path))
    processes += [start(tmp_path, "worker", address, *options) for _ in range(2)]
    try:
        from distributed import Client

        with Client(address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=30)
        yield address, [*processes[1:], processes[0]]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_a_cluster_changes_nothing(tmp_path: Path, cluster: Cluster) -> None:
    """A sweep on two Dask workers, one of which is killed in the middle, has the table of one on this machine."""
    address, workers = cluster
    (tmp_path / "resnet50.csv").write_text(resnet50_csv())
    study = small(tmp_path, models=["resnet50.csv"])
    study["accelerators"][0]["set"]["array.rows"] = [16, 32]
    path = write(tmp_path, study)
    run_sweep(path, out=tmp_path / "here", workers=1)
    killed = threading.Event()

    def kill(progress: Progress) -> None:
        if progress.done >= 4 and not killed.is_set():
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.set()

    summary = run_sweep(path, out=tmp_path / "there", cluster=address, progress=kill)
    assert killed.is_set()
    assert summary.counts["done"] == 12
    assert table(tmp_path / "there") == table(tmp_path / "here")


@pytest.mark.parametrize(
    ("gone", "words"),
    [(slice(2, 3), "the scheduler is gone"), pytest.param(slice(2), "no worker for 1 s", marks=pytest.mark.slow)],
    ids=["scheduler", "workers"],
)
def test_a_cluster_that_is_lost_is_told(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, gone: slice, words: str
) -> None:
    """When the scheduler is gone, or all workers are, one sentence says so instead of an endless wait."""
    from codesign.sweep import cluster as module

    monkeypatch.setattr(module, "_PATIENCE_S", 1.0)
    address, processes = cluster
    (tmp_path / "resnet50.csv").write_text(resnet50_csv())
    path = write(tmp_path, small(tmp_path, models=["resnet50.csv"]))

    def kill(_progress: Progress) -> None:
        for process in processes[gone]:
            process.kill()

    with pytest.raises(InputError, match=f"{words}; start it again"):
        run_sweep(path, out=tmp_path / "out", cluster=address, progress=kill)


def test_no_scheduler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nothing answers gives one sentence."""
    from codesign.sweep import cluster

    monkeypatch.setattr(cluster, "_TIMEOUT_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        run_sweep(write(tmp_path, small(tmp_path)), out=tmp_path / "out", cluster="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match="--cluster"):
        run_sweep(write(tmp_path, small(tmp_path)), out=tmp_path / "out", cluster="not an address")
