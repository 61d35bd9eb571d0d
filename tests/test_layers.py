"""The house: imports run one way, modules stay small, faces are thin and importing is light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "traces": set(),
    "kernels": set(),
    "hw_models": {"traces", "kernels"},
    "codesign": {"traces", "kernels", "hw_models"},
}


def modules(package: str) -> list[Path]:
    """Return the Python files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package: str) -> None:
    """Each package imports only the packages below it."""
    for path in modules(package):
        ours = imported(path) & MAY_IMPORT.keys() - {package}
        assert ours <= MAY_IMPORT[package], path


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_modules_stay_small(package: str) -> None:
    """No module has more than 500 lines."""
    for path in modules(package):
        assert len(path.read_text().splitlines()) <= 500, path


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_importing_is_light(package: str) -> None:
    """Importing a package brings no torch, no matplotlib and no simpy."""
    heavy = "sorted({'torch', 'matplotlib', 'simpy', 'scipy', 'pandas'} & sys.modules.keys())"
    code = f"import sys, {package}; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_no_absolute_paths() -> None:
    """Nothing in the repository names a path of somebody's machine."""
    tracked = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    home = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/")
    for name in tracked:
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".toml", ".yaml", ".txt", ""}
            and path.is_file()
            and name != "tests/test_layers.py"
        ):
            assert not home.search(path.read_text()), name
