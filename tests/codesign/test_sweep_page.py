"""The page as a file: whole in itself, with its data as they are, and nothing of a study that a browser would run."""

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from sweep_store import OPS, study, write_store

from codesign.sweep import page as module
from codesign.sweep.page import page
from codesign.sweep.results import read_results

HOSTILE = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 1'>{{data}}<!--"


def data_of(text: str, name: str = "data") -> dict[str, Any]:
    """Return the JSON of a page."""
    found = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the page of 120 made-up points."""
    return page(read_results(write_store(tmp_path_factory.mktemp("sweep"), 120)), {})


def test_nothing_is_loaded(text: str) -> None:
    """No address is in the page but the name of SVG's namespace, and its policy loads nothing."""
    assert set(re.findall(r"\w+://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe)|\bsrc=|@import|url\(", text)
    assert "default-src 'none'" in text


def test_only_our_script_runs(text: str) -> None:
    """The policy names the digest of the page's own script, to the byte."""
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text


def test_columns(tmp_path: Path) -> None:
    """Every point is in the page with every value, levels by their code."""
    results = read_results(write_store(tmp_path, 120))
    columns = {column["name"]: column for column in data_of(page(results, {}))["columns"]}
    for name in ("status", "dataflow", "array.rows", "clock_hz"):
        levels = columns[name]["levels"]
        assert [levels[code] for code in columns[name]["values"]] == results.columns[name]
    assert columns["cycles"]["values"] == results.columns["cycles"]
    for shown, stored in zip(columns["energy_pj"]["values"], results.columns["energy_pj"], strict=True):
        assert (shown is None and stored is None) or shown == pytest.approx(stored, rel=1e-6)


def test_layers_of_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If layers are too many for a page, those of the front are in it all the same, and then the best others."""
    results = read_results(write_store(tmp_path, 120))
    assert len(data_of(page(results, {}), "layers")["rows"]) == results.count("done")
    monkeypatch.setattr(module, "MOST_LAYERS", 2 * len(OPS) * (len(results.front) + 3))
    layers = data_of(page(results, {}), "layers")
    assert len(layers["rows"]) == len(results.front) + 3
    assert set(results.front.tolist()) < set(layers["rows"])
    monkeypatch.setattr(module, "MOST_LAYERS", 0)
    assert sorted(data_of(page(results, {}), "layers")["rows"]) == sorted(results.front.tolist())


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """Names of a study end neither its title nor its data, and come back out as they went in."""
    text = page(read_results(write_store(tmp_path, 5, description=study(HOSTILE, description=HOSTILE))), {})
    assert text.count("<script") == text.count("</script>") == 3
    assert "<img" not in text
    assert data_of(text)["study"]["name"] == HOSTILE
    assert data_of(text)["study"]["description"] == HOSTILE


def test_no_point_done(tmp_path: Path) -> None:
    """A sweep that found nothing has a page that says so."""
    import duckdb

    write_store(tmp_path, 8)
    with duckdb.connect(str(tmp_path / "results.duckdb")) as store:
        store.execute("UPDATE points SET status = 'infeasible'; DELETE FROM evaluated")
    data = data_of(page(read_results(tmp_path), {}))
    assert data["front"] == []
    assert ["Hypervolume", "none", "of the box from best to worst"] in data["study"]["figures"]


def test_assets_are_package_data() -> None:
    """Every file of the page is one that a wheel holds: next to the module, and of a kind that is declared."""
    names = {path.name for path in (files("codesign.sweep") / "assets").iterdir()}
    assert {"page.html", "page.css", *(f"{name}.js" for name in module._SCRIPTS)} == names
