"""Prosperity: product sparsity against its definition, and against its authors' figures."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spiking_cases import accelerator, drawn, linear

from codesign.validation.anchor import Anchor
from codesign.validation.spiking import anchors
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.prosperity import ProsperitySection, pipeline, product_sparsity
from hw_models.accelerators.spikes import SpikeMatrix
from hw_models.pipeline import compiled, simpy_engine
from traces.errors import InputError


def by_definition(rows: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Return the rests of a tile, the rows equal to their prefix and the rows searched, as the paper defines them."""
    sets = [frozenset(np.flatnonzero(row)) for row in rows]
    rests, exact, searched = rows.copy(), 0, 0
    for i, mine in enumerate(sets):
        if len(mine) < 2:
            continue
        searched += 1
        allowed = [j for j, other in enumerate(sets) if other and other <= mine and (other != mine or j < i)]
        if allowed:
            prefix = max(allowed, key=lambda j: (len(sets[j]), -j))
            rests[i] = rows[i] ^ rows[prefix]
            exact += sets[prefix] == mine
    return rests, exact, searched


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    positions=st.integers(1, 9),
    steps=st.integers(1, 4),
    k=st.integers(1, 80),
    density=st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]),
    tile=st.sampled_from([(4, 8), (8, 16), (256, 16), (16, 32), (16, 64)]),
)
def test_tiles_are_those_of_the_definition(seed, positions, steps, k, density, tile):
    """Rests, equal rows and searches of every tile match the plain definition, for any shape and tile."""
    spikes = np.random.default_rng(seed).random((positions, steps, k)) < density
    found = product_sparsity(SpikeMatrix.of(spikes), *tile)
    rows = spikes.reshape(-1, k)
    wanted, at = np.zeros_like(rows), 0
    for top in range(0, len(rows), tile[0]):
        for left in range(0, k, tile[1]):
            part = (slice(top, top + tile[0]), slice(left, left + tile[1]))
            rests, exact, searched = by_definition(rows[part])
            wanted[part] = rests
            assert (found.rest[at], found.exact[at], found.searched[at]) == (rests.sum(), exact, searched)
            at += 1
    assert at == len(found.rest)
    assert np.array_equal(found.rest_by_column, wanted.sum(axis=0))


def test_a_tile_by_hand():
    """Six rows: one alone, its superset, the superset again, an equal single, an empty one, one with a rest of two."""
    rows = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], np.bool_)
    found = product_sparsity(SpikeMatrix.of(rows[:, None]), 256, 16)
    assert (found.rest.tolist(), found.exact.tolist(), found.searched.tolist()) == ([1 + 1 + 0 + 1 + 0 + 2], [1], [3])
    assert (found.rest_by_column.tolist(), found.active, found.prefixed) == ([2, 1, 1, 1], 5, 3)
    cost = accelerator("prosperity").cost(linear(rows[:, None], np.ones((129, 4), np.bool_)))
    assert cost.cycles == 2 * (5 + 1)  # two folds of 128 outputs


def test_figures_of_the_authors(golden):
    """Densities and cycles of LeNet-5 are exact, and so are the baselines by their formulas."""
    found = list(anchors(golden))
    assert len(found) == 16
    assert [anchor.name for anchor in found if not isinstance(anchor, Anchor) or not anchor.holds] == []
    assert sum(row["compute_cycles"] for row in json.loads((golden / "prosperity/lenet5.json").read_text())) == 38_651


def test_detection_can_be_what_takes_long():
    """Of rows that all differ by one spike, more are searched than added: the op takes the longer of the two."""
    rows = np.tril(np.ones((16, 16), np.bool_))
    found = product_sparsity(SpikeMatrix.of(rows[:, None]), 256, 16)
    assert (found.rest.sum(), found.exact.sum(), found.searched.sum()) == (16, 0, 15)
    cost = accelerator("prosperity").cost(linear(rows[:, None], np.ones((8, 16), np.bool_)))
    assert (cost.cycles, cost.waits) == (15 + 2, {"detection": 1})


@pytest.mark.parametrize("overlap", ["whole", "tiles"])
def test_simpy_serves_every_token_at_the_same_time(overlap):
    """Both executors agree event by event; waiting tile by tile is never faster than not at all."""
    work = drawn(3, positions=9, steps=4, k=70, n=200)
    section = ProsperitySection(tile_rows=8, tile_cols=16, overlap=overlap, chip_mw=1.0)
    spikes = SpikeMatrix.of(work.inputs(0).reshape(4, 9, 70).swapaxes(0, 1))
    found = product_sparsity(spikes, 8, 16)
    parts = pipeline(found, spikes.rows, 2, section)
    fast, slow = compiled.run(parts), simpy_engine.run(parts)
    assert {name: ends.tolist() for name, ends in fast.end_cycles.items()} == {
        name: ends.tolist() for name, ends in slow.end_cycles.items()
    }
    stages = {stage.name: int(stage.service_cycles.sum()) for stage in parts.stages}
    assert stages == {
        "add": 2 * int((found.rest + found.exact).sum()),
        "detect": 2 * (int(found.searched.sum()) + -(-spikes.rows // 8)),
    }
    assert fast.total_cycles == max(stages.values()) if overlap == "whole" else fast.total_cycles > max(stages.values())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.floats(0, 1))
def test_reuse_never_adds_more_than_the_spikes(seed, density):
    """A prefix saves at least one spike and a copy costs one cycle, so the adders never take longer than MINT's."""
    spikes = np.random.default_rng(seed).random((40, 8, 50)) < density
    found = product_sparsity(SpikeMatrix.of(spikes), 256, 16)
    assert (found.rest + found.exact).sum() <= spikes.sum()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("prosperity.tile_cols=24", r"prosperity.tile_cols must be .*64"),
        ("prosperity.tile_rows=0", "prosperity.tile_rows must be greater than or equal to 1"),
        ("prosperity.overlap=half", "prosperity.overlap must be 'whole' or 'tiles'"),
        ("prosperity.tile_columns=16", "prosperity.tile_columns is an unknown key"),
    ],
)
def test_wrong_settings_are_told(setting, message):
    """The sentence names key and rule."""
    with pytest.raises(InputError, match=message):
        load_accelerator("prosperity", [setting])
