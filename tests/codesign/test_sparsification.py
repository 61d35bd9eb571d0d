"""Sparsify: which ops are masked, and what the graph says afterwards."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.patterns import NM, Block, Dense, parse_pattern
from codesign.sparsification import SparsityRow, sparsify, sparsity_summary
from traces.bitmap import Bitmap
from traces.errors import InputError
from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork

RELU = VectorWork(elements_in=1, elements_out=1, lane_ops=1)


def array_op(name, kind, gemm, **more):
    """Return an op whose weight key is its name unless said otherwise."""
    return Op(name=name, kind=kind, gemm=gemm, **{"weight": name, **more})


def conv(channels, filters, groups=1):
    """Return the loop nest of a 3x3 convolution on a 4x4 image."""
    size = {"in_h": 4, "in_w": 4, "out_h": 4, "out_w": 4, "kernel_h": 3, "kernel_w": 3, "pad_h": 1, "pad_w": 1}
    return Gemm(channels=channels, filters=filters, groups=groups, **size)


def chain(ops, *, in_memory=True, seed=0):
    """Return a graph of ops one after another, with random weights or none in memory."""
    rng = np.random.default_rng(seed)
    shapes = {op.weight: (op.gemm.groups, op.gemm.n, op.gemm.k) for op in ops if op.weight}
    weights = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
    names = [op.name for op in ops]
    edges = list(pairwise(names))
    return OpGraph.of("net", ops, edges, weights=weights if in_memory else None)


def small_net(**options):
    """Return stem, depthwise, pointwise, attention and two linear layers; the last is the classifier."""
    ops = [
        array_op("stem.conv", "conv", conv(3, 8)),
        Op(name="stem.relu", kind="relu", vector=RELU),
        array_op("body.dw", "depthwise", conv(1, 1, groups=8)),
        array_op("body.pw", "conv", conv(8, 16)),
        array_op("attention.scores", "matmul", Gemm.matmul(4, 4, 8), weight=None),
        array_op("mlp.fc", "linear", Gemm.matmul(1, 32, 16)),
        array_op("head", "linear", Gemm.matmul(1, 10, 32)),
    ]
    return chain(ops, **options)


def test_default_rules_spare_the_ends_and_depthwise():
    """First convolution, depthwise convolutions and classifier stay dense; attention has nothing to mask."""
    graph = small_net()
    sparse = sparsify(graph, "2:4")
    assert sparse.patterns == {"body.pw": "2:4", "mlp.fc": "2:4"}
    for key in ("stem.conv", "body.dw", "head"):
        assert sparse.weights[key] is graph.weights[key]


@given(st.sampled_from(["2:4", "1:3", "unstructured:0.9", "group:3:0.5", "block:4x4:0.5"]), st.integers(0, 9))
def test_masked_weights_are_those_of_the_pattern(text, seed):
    """Each masked tensor is its mask times the original, with positive zeros; the original stays untouched."""
    graph = small_net(seed=seed)
    before = {key: value.copy() for key, value in graph.weights.items()}
    sparse = sparsify(graph, text)
    for key, run in (("body.pw", 8), ("mlp.fc", 16)):
        mask = parse_pattern(text).mask(before[key], run)
        assert np.array_equal(sparse.weights[key], before[key] * mask)
        assert not np.signbit(sparse.weights[key][~mask]).any()
        assert parse_pattern(text).satisfied_by(sparse.weights[key], run)
    assert all(np.array_equal(graph.weights[key], value) for key, value in before.items())
    assert graph.patterns == {}


def test_captured_operands_are_dropped():
    """Activations of the dense model are not those of the sparse one."""
    graph = small_net().with_operands({"head": (Bitmap.of(np.ones((1, 32))),)})
    assert sparsify(graph, "2:4").operands == {}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"classifier": "1:4"}, {"body.pw": "2:4", "mlp.fc": "2:4", "head": "1:4"}),
        ({"kind:depthwise": "unstructured:0.5"}, {"body.dw": "unstructured:0.5", "body.pw": "2:4", "mlp.fc": "2:4"}),
        ({"first_conv": NM(1, 2)}, {"stem.conv": "1:2", "body.pw": "2:4", "mlp.fc": "2:4"}),
        ({"body.*": "dense"}, {"mlp.fc": "2:4"}),
        ({"*": "1:4", "mlp.fc": Dense()}, {"stem.conv": "1:4", "body.pw": "1:4", "head": "1:4"}),
        ({"mlp.fc": "dense", "*": "1:4"}, {"stem.conv": "1:4", "body.pw": "1:4", "mlp.fc": "1:4", "head": "1:4"}),
        ({"kind:conv": Block(4, 4, 0.5)}, {"stem.conv": "block:4x4:0.5", "body.pw": "block:4x4:0.5", "mlp.fc": "2:4"}),
    ],
)
def test_rules_beat_defaults_and_later_ones_win(rules, expected):
    """Names, globs, kinds and special names select ops; 1:4 finds nothing in depthwise runs of one channel."""
    assert sparsify(small_net(), "2:4", rules=rules).patterns == expected


def test_rules_alone_can_make_a_dense_model_sparse():
    """A dense pattern with one rule masks just that op."""
    assert sparsify(small_net(), "dense", rules={"mlp.fc": "2:4"}).patterns == {"mlp.fc": "2:4"}


@pytest.mark.parametrize(
    ("selector", "near"),
    [("mlp.fcc", "mlp.fc"), ("kind:dephtwise", "kind:depthwise"), ("clasifier", "classifier"), ("body.pw1", "body.pw")],
)
def test_a_rule_that_selects_nothing_names_near_misses(selector, near):
    """A typo is told with what it is close to."""
    with pytest.raises(InputError, match=rf"must be a name, glob or kind .*, not '{selector}'; near are {near}"):
        sparsify(small_net(), "2:4", rules={selector: "dense"})


def test_a_rule_for_an_op_without_weights_selects_nothing():
    """Attention products and vector ops cannot be given a pattern."""
    for name in ("attention.scores", "stem.relu", "kind:matmul"):
        with pytest.raises(InputError, match="at least one op with weights"):
            sparsify(small_net(), "2:4", rules={name: "2:4"})


def test_patterns_are_only_declared_without_weights_in_memory():
    """A shape-only graph gets the same patterns and no weights."""
    shapes = sparsify(small_net(in_memory=False), "2:4")
    assert shapes.patterns == sparsify(small_net(), "2:4").patterns
    assert shapes.weights == {}


def test_short_reductions_are_masked_only_if_something_goes():
    """Three channels under 2:4 lose one; under 3:4, or one channel under 2:4, nothing goes and the op stays dense."""
    graph = small_net()
    sparse = sparsify(graph, "2:4", rules={"*": "2:4"})
    assert "body.dw" not in sparse.patterns
    assert np.count_nonzero(sparse.weights["stem.conv"]) == 8 * 9 * 2
    assert "stem.conv" not in sparsify(graph, "3:4", rules={"*": "3:4"}).patterns


def test_a_block_larger_than_the_matrix_leaves_it_dense():
    """One block cannot be both kept and removed."""
    sparse = sparsify(small_net(), "2:4", rules={"mlp.fc": "block:64x64:0.5"})
    assert sparse.patterns == {"body.pw": "2:4"}


@pytest.mark.parametrize("text", ["block:512x512:0.5", "unstructured:1e-06"])
def test_a_pattern_that_changes_nothing_is_refused(text):
    """A model that would stay dense everywhere must not pass for sparse."""
    with pytest.raises(InputError, match=f"one that removes weights somewhere in net, not '{text}'; give a rule"):
        sparsify(small_net(), text)


def test_a_single_layer_is_the_classifier():
    """A model of one linear layer needs a rule, and the message says so."""
    graph = chain([array_op("fc", "linear", Gemm.matmul(1, 8, 8))])
    with pytest.raises(InputError, match=r"give a rule for ops that stay dense by default: --rule '\*=2:4'"):
        sparsify(graph, "2:4")
    assert sparsify(graph, "2:4", rules={"*": "2:4"}).patterns == {"fc": "2:4"}


@pytest.mark.parametrize("text", ["dense", "4:4", "unstructured:0"])
def test_dense_patterns_change_nothing(text):
    """Patterns that keep everything leave weights and patterns as they are."""
    graph = small_net()
    sparse = sparsify(graph, text)
    assert sparse.patterns == {}
    assert all(sparse.weights[key] is graph.weights[key] for key in graph.weights)


def shared_pair():
    """Return two layers on the same weights between a stem and a head."""
    pair = [array_op(name, "linear", Gemm.matmul(1, 16, 16), weight="w") for name in ("a", "b")]
    return chain([*pair, array_op("head", "linear", Gemm.matmul(1, 4, 16))])


def test_shared_weights_are_masked_once():
    """Ops on the same key get the same pattern and one masked tensor."""
    graph = shared_pair()
    sparse = sparsify(graph, "unstructured:0.5")
    assert sparse.patterns == {"a": "unstructured:0.5", "b": "unstructured:0.5"}
    assert np.count_nonzero(sparse.weights["w"]) == 128


@pytest.mark.parametrize("other", ["1:4", "dense"])
def test_shared_weights_cannot_have_two_patterns(other):
    """The op whose pattern conflicts is named with the one it shares with."""
    with pytest.raises(InputError, match=f"pattern of b must be 2:4, as of a, whose weights it shares, not '{other}'"):
        sparsify(shared_pair(), "2:4", rules={"b": other})


def test_an_op_that_shares_with_the_classifier_stays_dense_too():
    """Defaults never conflict with themselves."""
    ops = [array_op(name, "linear", Gemm.matmul(1, 16, 16), weight="w") for name in ("tied", "head")]
    graph = chain([ops[0], array_op("middle", "linear", Gemm.matmul(1, 16, 16)), ops[1]])
    assert sparsify(graph, "2:4").patterns == {"middle": "2:4"}


def test_an_input_projection_is_no_classifier():
    """A linear op that feeds the array, as in an LSTM without a head, is sparsified like any other."""
    ops = [
        array_op("lstm.ih", "linear", Gemm.matmul(5, 32, 16)),
        array_op("lstm.hh", "recurrent", Gemm.matmul(5, 32, 8), timesteps=5),
    ]
    assert sparsify(chain(ops), "2:4").patterns == {"lstm.ih": "2:4", "lstm.hh": "2:4"}


def test_weights_that_are_not_finite_are_told_with_their_op():
    """The message names op and index."""
    graph = small_net()
    graph.weights["mlp.fc"][0, 1, 2] = np.inf
    with pytest.raises(InputError, match=r"^mlp.fc: weights must be finite, not inf at index \(0, 1, 2\)"):
        sparsify(graph, "2:4")


def test_summary_has_a_row_for_each_op_with_weights():
    """Density and non-zeros are those of the tensors, metadata that of the pattern."""
    rows = {row.op: row for row in sparsity_summary(sparsify(small_net(), "2:4"))}
    assert list(rows) == ["stem.conv", "body.dw", "body.pw", "mlp.fc", "head"]
    assert rows["stem.conv"] == SparsityRow("stem.conv", "dense", 1.0, 216, 216, 0)
    assert rows["mlp.fc"] == SparsityRow("mlp.fc", "2:4", 0.5, 512, 256, 512)


def test_summary_of_declared_patterns_is_nominal():
    """Without weights in memory the non-zeros are unknown and density is what the pattern says."""
    rows = {row.op: row for row in sparsity_summary(sparsify(small_net(in_memory=False), "1:4"))}
    assert rows["mlp.fc"] == SparsityRow("mlp.fc", "1:4", 0.25, 512, None, 256)
    assert rows["head"].density == 1.0
