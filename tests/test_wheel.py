"""A wheel built from the tree works from another folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_wheel_works_elsewhere(tmp_path: Path) -> None:
    """The wheel holds all that a simulation needs: run from it alone, in an empty folder, with the presets inside."""
    pytest.importorskip("build", reason="needs the `build` package; pip install build")
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        names = archive.namelist()
    assert not any(name.startswith(("tests/", "benchmarks/", "examples/")) for name in names)
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    (elsewhere / "gemm.csv").write_text("Layer, M, N, K,\na, 64, 48, 128,\n")
    # -P and a replaced path: only the unpacked wheel can provide our packages, the environment all others.
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import codesign;"
        f"assert codesign.__file__.startswith({str(site)!r}); from codesign.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "simulate", "gemm.csv", "--on", "edge-16x16", "--json"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert '"total_cycles"' in done.stdout
