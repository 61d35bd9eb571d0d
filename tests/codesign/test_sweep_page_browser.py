"""The page in a real browser: it loads clean, and table, plots and panel follow what a reader does.

The tests drive a headless Chromium that is there already; without one, or without playwright, they are skipped.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_store import OPS, study, write_store

from codesign.sweep.page import page
from codesign.sweep.results import Results, read_results

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install playwright")

HOSTILE = "<img src=x onerror='window.ran = 1'></script><script>window.ran = 1</script>"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
ROWS = "#table tbody tr[data-row]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start a headless Chromium: the machine's, or playwright's own."""
    with playwright.sync_playwright() as driver:
        names = ("chromium", "chromium-browser", "google-chrome", driver.chromium.executable_path)
        path = next(filter(None, map(shutil.which, names)), None)
        if path is None:
            pytest.skip("no Chromium is installed; `playwright install chromium` gets one")
        started = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a sweep of 300 made-up points."""
    return read_results(write_store(tmp_path_factory.mktemp("sweep"), 300))


def show(browser: Any, results: Results, timelines: Any = None, **options: Any) -> tuple[Any, list[str]]:
    """Open the page of a sweep on a laptop's screen; return it, and what it complains of and asks the network for."""
    path = results.directory / "report.html"
    path.write_text(page(results, timelines or {}))
    tab = browser.new_page(viewport={"width": 1366, "height": 768}, **options)
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: heard.append(request.url) if request.url != path.as_uri() else None)
    tab.goto(path.as_uri())
    tab.wait_for_selector(ROWS)
    settle(tab)
    return tab, heard


@pytest.fixture
def tab(browser: Any, results: Results) -> Iterator[Any]:
    """Open the page, which must not complain whatever a test does with it."""
    opened, heard = show(browser, results)
    yield opened
    opened.wait_for_timeout(50)
    opened.close()
    assert heard == []


def cells(tab: Any, name: str) -> list[str]:
    """Return the cells of a column of the rows in sight."""
    heads = [head.split(" ")[0] for head in tab.locator("#table th").all_inner_texts()]
    return list(tab.locator(f"{ROWS} td:nth-child({heads.index(name) + 1})").all_inner_texts())


def shown(tab: Any) -> int:
    """Return how many points the page says are shown."""
    return int(tab.locator("#shown").inner_text().split(" of ")[0].replace(",", ""))


def drag(tab: Any, box: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag from one place in a box to another, as shares of its width and height."""
    tab.locator(box).scroll_into_view_if_needed()
    at = tab.locator(box).bounding_box()
    places = [(at["x"] + x * at["width"], at["y"] + y * at["height"]) for x, y in (start, end)]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    tab.mouse.move(*places[1], steps=5)
    tab.mouse.up()


def settle(tab: Any) -> None:
    """Wait for drawing that is put off to the next frame."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_loads_clean_and_fits(scheme: str, browser: Any, results: Results) -> None:
    """In both colour schemes nothing is complained of or asked of the network, and a laptop's screen is wide enough."""
    tab, heard = show(browser, results, color_scheme=scheme)
    assert heard == []
    assert tab.evaluate("document.documentElement.scrollWidth") == 1366
    box = tab.locator("#point").bounding_box()
    assert box["y"] + box["height"] <= 768
    light = sum(tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"))
    assert (light > 600) == (scheme == "light")
    tab.close()


def test_sorts_by_a_column(tab: Any, results: Results) -> None:
    """A click on a head sorts by its numbers, another the other way round, and readers of screens hear it."""
    cycles = sorted(value for value in results.columns["cycles"] if value is not None)
    head = tab.locator("#table th button", has_text="cycles").first
    for wanted, told in ((cycles, "ascending"), (cycles[::-1], "descending")):
        head.click()
        found = [int(text.replace(",", "")) for text in cells(tab, "cycles")]
        assert found == wanted[: len(found)]
        assert head.locator("..").get_attribute("aria-sort") == told


def test_all_rows_can_be_reached(tab: Any, results: Results) -> None:
    """The end of the table has the last of the sorted rows, though only those in sight are in the document."""
    tab.locator("#table th button", has_text="number").click()
    tab.locator("#table").evaluate("(box) => (box.scrollTop = box.scrollHeight)")
    settle(tab)
    done = [n for n, s in zip(results.columns["number"], results.columns["status"], strict=True) if s == "done"]
    assert cells(tab, "number")[-1] == str(done[-1])
    assert tab.locator(ROWS).count() < 60


def test_chosen_point_shows_its_layers(tab: Any, results: Results) -> None:
    """A click on a row shows the cycles of each layer of that point, its values, and its command."""
    line = tab.locator(ROWS).nth(4)
    row = int(line.get_attribute("data-row"))
    line.click()
    assert f"Point {results.columns['number'][row]}" in tab.locator("#point-title").inner_text()
    names = tab.locator("#panel .op").all_inner_texts()
    found = [int(text.replace(",", "")) for text in tab.locator("#panel .cycles").all_inner_texts()]
    assert names == OPS
    assert found == results.layers([row])[row][0]
    tab.locator("#tab-parameters").click()
    assert str(results.columns["weights"][row]) in tab.locator("#panel").inner_text()
    from codesign.sweep.rerun import command

    assert tab.locator("#command").text_content() == command(results, row)


def test_keys_walk_through_the_table(tab: Any) -> None:
    """Arrow keys choose the next row and the last, and bring it into sight."""
    tab.locator("#table").focus()
    order = cells(tab, "number")
    tab.keyboard.press("ArrowDown")
    assert order[1] in tab.locator("#point-title").inner_text()
    tab.keyboard.press("End")
    assert tab.locator(f'{ROWS}[aria-selected="true"]').is_visible()


def test_keys_walk_along_the_front(tab: Any, results: Results) -> None:
    """On the plot, arrow keys go from one point of the front to the next, by cycles."""
    tab.locator("#scatter").focus()
    front = sorted(results.front.tolist(), key=lambda row: results.columns["cycles"][row])
    titles = []
    for _ in front:
        titles.append(tab.locator("#point-title").inner_text().split(",")[0])
        tab.keyboard.press("ArrowRight")
    assert titles == [f"Point {results.columns['number'][row]}" for row in front]


def test_rectangle_picks_points(tab: Any, results: Results) -> None:
    """A rectangle drawn on the plot leaves its points in the table, and Escape brings all others back."""
    before = shown(tab)
    assert before == results.count("done")
    drag(tab, "#scatter", (0.12, 0.3), (0.5, 0.8))
    kept = [int(text.replace(",", "")) for text in cells(tab, "cycles")]
    assert 0 < shown(tab) < before
    assert max(kept) < max(value for value in results.columns["cycles"] if value is not None)
    settle(tab)
    assert tab.locator("#scatter .brush").count() == 1
    tab.keyboard.press("Escape")
    assert shown(tab) == before


def test_click_on_the_plot_chooses(tab: Any) -> None:
    """A click on a point of the plot chooses it: here the one that has the ring, after another was chosen."""
    title = tab.locator("#point-title").inner_text()
    ring = tab.locator("#scatter .ring").bounding_box()
    tab.locator(ROWS).nth(6).click()
    assert tab.locator("#point-title").inner_text() != title
    tab.evaluate("scrollTo(0, 0)")
    at = ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2
    tab.mouse.move(*at)
    assert title.split(",")[0] in tab.locator("#tip").inner_text()
    tab.mouse.click(*at)
    assert tab.locator("#point-title").inner_text() == title


def test_axis_of_parallel_coordinates_picks(tab: Any, results: Results) -> None:
    """What is dragged along an axis keeps the points that cross it there; a click on the axis lets them back."""
    before = shown(tab)
    drag(tab, '[data-axis="array.rows"]', (0.5, 0.02), (0.5, 0.2))
    assert set(cells(tab, "rows")) == {"64"}
    rows = zip(results.columns["array.rows"], results.columns["status"], strict=True)
    kept = [row for row in rows if row == (64, "done")]
    assert shown(tab) == len(kept)
    settle(tab)
    tab.locator('[data-axis="array.rows"]').click()
    assert shown(tab) == before


def test_axes_can_be_changed(tab: Any) -> None:
    """Other measures and linear axes are drawn and named."""
    tab.select_option("#x", "pes")
    tab.select_option("#y", "utilization")
    assert "utilization (%), more is better" in tab.locator("#scatter").inner_html()
    logarithmic = tab.locator("#scatter svg text").all_text_contents()
    tab.locator("#x-log").click()
    assert tab.locator("#scatter svg text").all_text_contents() != logarithmic
    tab.select_option("#colour", "weights")
    assert "unstructured:0.9" in tab.locator("#scatter-legend").inner_text()


def test_filter(tab: Any, results: Results) -> None:
    """Words and conditions must all hold; a column that is none is told, and nothing of it breaks."""
    columns = (results.columns[name] for name in ("weights", "array.rows", "status", "cycles"))
    rows = list(zip(*columns, strict=True))
    tab.fill("#filter", "2:4 array.rows>=32")
    assert shown(tab) == sum(w == "2:4" and r >= 32 and s == "done" for w, r, s, _ in rows)
    tab.fill("#filter", "weights!=2:4 rows=8 cycles<5e6")
    assert shown(tab) == sum(w != "2:4" and r == 8 and s == "done" and c < 5e6 for w, r, s, c in rows)
    tab.fill("#filter", "speed>3")
    assert "no column speed" in tab.locator("#shown").inner_text()
    tab.fill("#filter", "nothing-has-this")
    assert shown(tab) == tab.locator(ROWS).count() == 0
    settle(tab)
    tab.locator("#clear").click()
    tab.select_option("#status", "all")
    assert shown(tab) == len(results)


def test_why_a_point_has_no_layers(tab: Any) -> None:
    """Of a point that failed, the panel tells the reason."""
    tab.select_option("#status", "failed")
    tab.locator(ROWS).first.click()
    assert "out of memory" in tab.locator("#panel").inner_text()


def test_heat_map(tab: Any, results: Results) -> None:
    """The tip of a cell has the best of its points, and a click chooses that point."""
    tab.select_option("#heat-x", "weights")
    tab.select_option("#heat-y", "dataflow")
    tab.locator("#heat").scroll_into_view_if_needed()
    box = tab.locator("#heat").bounding_box()
    at = box["x"] + 110, box["y"] + box["height"] - 50  # the first level of both
    tab.mouse.move(*at)
    weights, dataflow = (next(iter(results.columns[name])) for name in ("weights", "dataflow"))
    columns = (results.columns[name] for name in ("weights", "dataflow", "cycles"))
    best = min(c for w, d, c in zip(*columns, strict=True) if (w, d) == (weights, dataflow) and c is not None)
    assert f"{best:,}" in tab.locator("#tip").inner_text()
    tab.mouse.click(*at)
    assert f"{best:,}" in tab.locator("#point-figures").inner_text()


def test_timeline(browser: Any, results: Results) -> None:
    """The timeline of a point is drawn to its end, and a point without one tells how to get it."""
    events = [[0, 0, 0, 60], [0, 1, 60, 40], [1, 0, 0, 30]]
    made = {"tracks": ["op", "load_weight"], "ops": ["conv1", "<b>last</b>"], "cycles": 100, "events": events}
    tab, heard = show(browser, results, {int(results.front[0]): made})
    tab.locator("#tab-timeline").click()
    boxes = [rect.bounding_box() for rect in tab.locator("#panel rect").all()]
    assert boxes[0]["width"] == pytest.approx(1.5 * boxes[1]["width"], rel=0.01)
    tab.locator("#panel rect").nth(1).hover()
    assert tab.locator("#tip").inner_text() == "<b>last</b>, op\ncycles 60 to 100 (40)"
    tab.locator(ROWS).nth(3).click()
    assert "timeline.json" in tab.locator("#panel").inner_text()
    assert heard == []
    tab.close()


def test_hostile_names_do_not_run(browser: Any, tmp_path: Path) -> None:
    """Names of studies and ops that look like scripts are shown as they are, and nothing of them runs."""
    import duckdb

    write_store(tmp_path, 30, description=study(HOSTILE, description=HOSTILE))
    with duckdb.connect(str(tmp_path / "results.duckdb")) as store:
        store.execute("UPDATE points SET weights = ?, model = ? || number % 2", [HOSTILE, HOSTILE])
        names = [HOSTILE] * len(OPS)
        store.execute("DELETE FROM ops; INSERT INTO ops SELECT DISTINCT model, 'mid', ? FROM points", [names])
    tab, heard = show(browser, read_results(tmp_path))
    assert tab.locator("h1").inner_text() == HOSTILE
    for name in ("layers", "timeline", "parameters"):
        tab.locator(f"#tab-{name}").click()
    tab.locator("#scatter").hover()
    tab.select_option("#colour", "model")
    settle(tab)
    assert tab.evaluate("window.ran") is None
    assert heard == []
    tab.close()


@pytest.mark.slow
def test_many_points(browser: Any, tmp_path: Path) -> None:
    """With 20,000 points the table answers, and only a screenful of it is in the document."""
    tab, heard = show(browser, read_results(write_store(tmp_path, 20_000)))
    tab.locator("#table th button", has_text="cycles").first.click()
    found = [int(text.replace(",", "")) for text in cells(tab, "cycles")]
    assert found == sorted(found)
    tab.fill("#filter", "dataflow=ws")
    settle(tab)
    assert set(cells(tab, "dataflow")) == {"ws"}
    assert tab.locator(ROWS).count() < 60
    assert heard == []
    tab.close()


def test_one_point(browser: Any, tmp_path: Path) -> None:
    """A sweep of one point has a page, without a heat map."""
    tab, heard = show(browser, read_results(write_store(tmp_path, 1)))
    assert not tab.locator("#two-parameters").is_visible()
    assert heard == []
    tab.close()


def test_cpus_have_no_timeline(browser: Any, tmp_path: Path) -> None:
    """Of a point on a CPU the panel says that there is no timeline, and its command compares."""
    cpus = study(accelerators=[], cpus=["mid"], objectives=["cycles", "time_s"], constraints={})
    tab, heard = show(browser, read_results(write_store(tmp_path, 20, description=cpus)))
    tab.locator("#tab-timeline").click()
    assert "CPUs have no timeline" in tab.locator("#panel").inner_text()
    assert tab.locator("#command").text_content().startswith("codesign compare ")
    assert heard == []
    tab.close()
