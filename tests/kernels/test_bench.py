"""The benchmark: exact pruning, honest totals, a table that fits, and one sentence for a wrong option."""

import dataclasses
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_speed import crossover, written

from kernels import pack
from kernels.arrays import KernelError
from kernels.baselines import Contender, Dense, Linear, conv1x1, conv3x3, depthwise, draw
from kernels.bench import active, channels, pointwise, run, vectors
from kernels.bench.__main__ import main
from kernels.bench.against import Setting, Sparse, against
from kernels.bench.nets import CONV3X3, DEPTHWISE, NETS, Layer
from kernels.bench.prune import prune, unit
from kernels.bench.row import Row, Work, row, totals
from kernels.bench.table import WIDTH, table
from kernels.limits import Limits
from kernels.measure import Timing
from traces.load import load_model

LIMITS = Limits(16, 100e9, dict.fromkeys(("L1", "L2", "L3", "DRAM"), 1e9), {}, {"L1": 1, "L2": 2, "L3": 3})
SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))


def weights(shape: tuple[int, int]) -> np.ndarray:
    """Return weights without a zero and of distinct magnitudes."""
    order = np.random.default_rng(sum(shape)).permutation(shape[0] * shape[1])
    return (np.where(order % 2, 1, -1) * (order + 1)).astype(np.float32).reshape(shape)


@given(SHAPES, st.floats(0, 0.99))
def test_unstructured_is_exact_and_keeps_the_largest(shape: tuple[int, int], sparsity: float) -> None:
    """The number of zeros is the rounded share, and no weight that is kept is smaller than one that is not."""
    weight = weights(shape)
    pruned = prune(weight, "unstructured", sparsity)
    gone = pruned == 0
    assert gone.sum() == round(sparsity * weight.size)
    assert np.array_equal(pruned[~gone], weight[~gone])
    if gone.any() and not gone.all():
        assert np.abs(weight[gone]).max() < np.abs(weight[~gone]).min()


@given(SHAPES, st.integers(1, 5), st.integers(1, 3), st.floats(0, 0.99))
def test_blocks_live_and_die_together(shape: tuple[int, int], rows: int, columns: int, sparsity: float) -> None:
    """Every block is whole or empty, exactly the rounded share of them is empty, and the format packs the result."""
    pattern = f"group:{rows}" if columns == 1 else f"block:{rows}x{columns}"
    assert unit(pattern) == (rows, columns)
    pruned = prune(weights(shape), pattern, sparsity)
    blocks = [
        pruned[i : i + rows, j : j + columns] for i in range(0, shape[0], rows) for j in range(0, shape[1], columns)
    ]
    assert all(block.all() or not block.any() for block in blocks)
    assert sum(not block.any() for block in blocks) == round(sparsity * len(blocks))
    assert np.array_equal(pack(pruned, pattern).to_dense(), pruned)


@given(SHAPES, st.sampled_from(((1, 2), (2, 4), (1, 8), (3, 3))))
def test_n_of_m(shape: tuple[int, int], nm: tuple[int, int]) -> None:
    """Each M neighbours keep their N largest, and the format packs the result."""
    n, m = nm
    weight = weights(shape)
    pruned = prune(weight, f"{n}:{m}", 0.1)
    for j in range(0, shape[1], m):
        for old, new in zip(weight[:, j : j + m], pruned[:, j : j + m], strict=True):
            assert sorted(np.abs(new[new != 0])) == sorted(np.abs(old))[-n:]
    assert np.array_equal(pack(pruned, f"{n}:{m}").to_dense(), pruned)


@pytest.mark.parametrize("pattern", ["", "group", "group:0", "group:x", "block:4", "4:2", "2:4:8", "random"])
def test_unknown_patterns_are_refused(pattern: str) -> None:
    """A pattern that no format packs is refused in one sentence."""
    with pytest.raises(KernelError, match=r"^a pattern .*must .*, not "):
        unit(pattern)


@pytest.mark.parametrize("net", NETS)
def test_networks_have_their_layers(net: str) -> None:
    """The shapes and how often they occur are those of the traced torch model."""
    traced = [op.gemm for op in load_model(f"zoo:{net}") if op.gemm is not None and op.kind in ("conv", "depthwise")]
    pointwise_ones = Counter((g.filters, g.channels, g.out_h, g.out_w) for g in traced if g.kernel_h == g.groups == 1)
    ours = {(p.outputs, p.inputs, p.height, p.width): layer.count for layer in NETS[net] for p in [layer.problem]}
    assert ours == pointwise_ones
    if net == "mobilenet_v1":
        by_channel = Counter((g.groups, g.in_h, g.kernel_h, g.stride_h) for g in traced if g.groups > 1)
        assert by_channel == {
            (p.inputs, p.height, p.kernel, p.stride): layer.count for layer in DEPTHWISE for p in [layer.problem]
        }
    else:
        windows = Counter((g.filters, g.channels, g.out_h) for g in traced if (g.kernel_h, g.stride_h) == (3, 1))
        assert windows == {(p.outputs, p.inputs, p.height): one.count for one in CONV3X3 for p in [one.problem]}


def made(layer: str, count: int, ours_s: float, dense_s: float, eager_s: float | None = 1.0) -> Row:
    """Return a row of these times; its other figures are made up."""
    speed = dense_s / ours_s
    return Row(layer, count, "conv1x1", "group:4", 0.9, ours_s, "onednn", dense_s, eager_s, speed, 4.0, 2.0, 0.5)


def test_totals_are_weighted_sums() -> None:
    """A total adds each layer as often as the network has it; its speedup is a ratio of sums, no mean of ratios."""
    (total,) = totals([made("a", 1, 1.0, 4.0), made("b", 3, 2.0, 2.0)])
    assert (total.layer, total.count, total.ours_s, total.baseline_s, total.eager_s) == ("total", 4, 7.0, 10.0, 4.0)
    assert total.speedup == pytest.approx(10 / 7)
    assert (total.gflops, total.of_limit) == (pytest.approx(4.0), pytest.approx(0.5))
    assert totals([made("a", 1, 1.0, 4.0, None), made("b", 1, 1.0, 4.0)])[0].eager_s is None
    assert totals([made("a", 1, 1.0, 4.0)]) == []


def test_a_row_by_hand() -> None:
    """A row's figures follow from the medians and the work; cold weights come from memory."""

    def timing(*samples: float) -> Timing:
        return Timing(samples, 1, "thread CPU time")

    dense = Dense({"onednn": timing(2e-3), "eager": timing(9e-3)}, {})
    one = row(("a", 1, "conv1x1", "2:4"), 0.5, timing(1e-3, 2e-3, 0.5e-3), dense, Work(50_000_000, 1e5), LIMITS)
    assert (one.ours_s, one.baseline, one.baseline_s, one.eager_s) == (1e-3, "onednn", 2e-3, 9e-3)
    assert (one.speedup, one.gflops, one.gbytes_per_s) == pytest.approx((2.0, 50.0, 0.1))
    assert one.of_limit == pytest.approx(0.5)


def test_table_fits_the_terminal() -> None:
    """No line is longer than 100 columns, and every layer and pattern is there."""
    rows = [made("1024x1024@112x112", 15, 1.0, 1.0), made("64x32@7x7", 1, 1e-5, 2e-3, None)]
    lines = table(rows).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any(line.startswith("1024x1024@112x112 x15") for line in lines)


def test_a_layer_in_every_variant() -> None:
    """One row for each pattern and sparsity, an N:M pattern once, all against the same dense time."""
    pairs = pointwise.variants(("unstructured", "2:4", "group:4"), (0.5, 0.9))
    assert pairs == [("unstructured", 0.5), ("unstructured", 0.9), ("2:4", 0.5), ("group:4", 0.5), ("group:4", 0.9)]
    rows = list(pointwise.time_layer(Layer(conv1x1(16, 32, 4, 4), 2), "conv1x1", pairs, Setting(LIMITS, 1)))
    assert [(one.pattern, one.sparsity) for one in rows] == pairs
    assert len({one.baseline_s for one in rows}) == 1
    assert all(one.count == 2 and one.ours_s > 0 for one in rows)


def test_sparse_inputs() -> None:
    """One row for each sparsity of the inputs, its multiplications in proportion to what is not zero."""
    rows = list(active.time_layer(Layer(conv3x3(16, 16, 8, 8), 1), (0.5, 0.75), Setting(LIMITS, 1)))
    assert [(one.pattern, one.sparsity) for one in rows] == [("activations", 0.5), ("activations", 0.75)]
    assert rows[0].gflops * rows[0].ours_s == pytest.approx(2 * rows[1].gflops * rows[1].ours_s)


def test_sparse_vectors() -> None:
    """Weights, activations, changes, spikes and gates give a row each at every sparsity, checked against float64."""
    layer, setting = Layer(Linear(24, 40), 1), Setting(LIMITS, 1)
    rows = list(vectors.time_vectors(layer, (0.5, 0.75), setting))
    kinds = ("activations", "changes", "spikes", "gates")
    assert [(one.pattern, one.sparsity) for one in rows] == [(kind, zeros) for zeros in (0.5, 0.75) for kind in kinds]
    rows = list(vectors.time_weights(layer, [("unstructured", 0.5), ("2:4", 0.5)], setting))
    assert [one.pattern for one in rows] == ["unstructured", "2:4"]


def test_depthwise_is_dense() -> None:
    """A depthwise layer gives one row without zeros, whose baseline is somebody else's kernel."""
    (one,) = channels.time_layer(Layer(depthwise(16, 9, stride=2), 3), Setting(LIMITS, 1))
    assert (one.layer, one.count, one.pattern, one.sparsity) == ("16 3x3/2@9x9", 3, "dense", 0.0)
    assert one.baseline != "ours"


def test_copies_outgrow_the_last_cache() -> None:
    """What calls read before they come back to the same copy is at least twice the last cache, if memory allows."""
    limits = dataclasses.replace(LIMITS, holds_bytes={"L3": 10_000})
    layer = Layer(Linear(50, 20), 1)
    for share in (1.0, 0.1, 0.01):
        assert (vectors.copies(layer, Setting(limits, 1), share)) * share * 4000 >= 20_000
    assert vectors.copies(Layer(Linear(40_000, 40_000), 1), Setting(limits, 1)) == 1


def test_wrong_results_are_not_timed() -> None:
    """A sparse kernel whose result is wrong ends the benchmark, with its name and the layer's."""
    layer = Layer(conv1x1(4, 4, 2, 2), 1)
    operands = draw(layer.problem)
    wrong = Contender(lambda _number: None, lambda _y: np.zeros(layer.problem.y_shape, np.float32))
    with pytest.raises(RuntimeError, match="the 2:4 kernel on 4x4@2x2 is off"):
        list(against(layer, "conv1x1", operands, [Sparse("2:4", 0.5, operands, wrong, Work(1, 1))], Setting(LIMITS, 1)))


def test_json_of_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--json writes the machine, its limits, and rows that end with the totals; progress is not on stdout."""
    small = (Layer(conv1x1(16, 32, 4, 4), 1), Layer(conv1x1(32, 16, 4, 4), 2))
    monkeypatch.setitem(run.KERNELS, "conv1x1", (lambda _options: small, run.KERNELS["conv1x1"][1]))
    assert main(["--quick", "--json", "--sparsity", "0.5", "--pattern", "unstructured,2:4"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found.keys() == {"machine", "limits", "rows"}
    assert [one["layer"] for one in found["rows"]] == ["16x32@4x4"] * 2 + ["32x16@4x4"] * 2 + ["total"] * 2
    assert found["rows"][-1].keys() >= {"kernel", "pattern", "sparsity", "ours_s", "baseline", "baseline_s", "eager_s"}
    assert found["rows"][-1].keys() >= {"speedup", "gflops", "gbytes_per_s", "of_limit"}
    assert "conv1x1 16x32@4x4 (1 of 2)" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sparsity", "1"], "a sparsity must be a number of at least 0 and below 1, such as 0.9, not '1'"),
        (["--sparsity", "half"], "not 'half'"),
        (["--pattern", "3:2"], "a pattern N:M must keep"),
        (["--kernels", "fft"], "a kernel must be one of conv1x1"),
        (["--threads", "0"], "threads must be"),
        (["--net", "vgg"], "is not one of 'mobilenet_v1', 'resnet50'"),
        (["--fast"], "No such option"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong option ends with exit code 2 and one line on stderr, before anything is measured."""
    assert main(options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kernels.bench: ")
    assert err.count("\n") == 1
    assert words in err


def test_runs_as_a_module() -> None:
    """``python -m kernels.bench`` gives main's exit code to the shell, and imports no torch to say what it can do."""
    code = "import sys, kernels.bench.__main__; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    command = [sys.executable, "-m", "kernels.bench", "--sparsity", "2"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_crossover_by_hand() -> None:
    """Between 10 % (ours takes 1.5 of dense) and 50 % (0.5), the line meets 1 in the middle; and the two ends."""

    def at(sparsity: float, ratio: float) -> Row:
        return dataclasses.replace(made("a", 1, ratio, 1.0), sparsity=sparsity)

    assert crossover([at(0.5, 0.5), at(0.1, 1.5)]) == "30 %"
    assert crossover([at(0.1, 0.9), at(0.5, 0.5)]) == "< 10 %"
    assert crossover([at(0.1, 2.0), at(0.5, 1.5)]) == "none"
    assert crossover([at(0.1, 0.9), at(0.3, 1.5), at(0.5, 0.5)]) == "40 %"


def test_figures_are_replaced_in_place() -> None:
    """New figures go between a section's marks, at the end where it has none; the words around them stay."""
    page = written("# Kernels\n\nBefore.\n", "gemv", "old")
    page = written(page + "\nAfter.\n", "conv1x1", "other")
    page = written(page, "gemv", r"new \1")
    marks = ["<!-- figures: gemv -->", "<!-- /figures: gemv -->"]
    assert page.startswith(f"# Kernels\n\nBefore.\n\n{marks[0]}\nnew \\1\n{marks[1]}\n\nAfter.\n")
    assert "old" not in page
    assert page.count("other") == 1
