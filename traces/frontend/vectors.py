"""Vectors: the table of what runs on a vector unit, and of what costs nothing."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

from torch import fx

from traces.frontend.nodes import arguments, aten, elements, op_name
from traces.frontend.walk import Walk
from traces.op import Op
from traces.vector import VectorWork


def _table(**kinds: str) -> dict[str, str]:
    """Spell a table out: kind="names of the aten ops of that kind"."""
    return {name: kind for kind, names in kinds.items() for name in aten(names)}


#: Ops that only rename or select data; edges pass through them.
FREE = aten(
    "view _unsafe_view view_as reshape reshape_as flatten unflatten permute transpose t numpy_T mT movedim"
    " swapaxes slice select narrow unsqueeze squeeze expand expand_as broadcast_to contiguous clone diagonal"
    " dropout feature_dropout alpha_dropout native_dropout split split_with_sizes chunk unbind tensor_split"
    " unfold view_as_complex view_as_real real imag as_strided"
    " to _to_copy type_as detach alias lift_fresh lift_fresh_copy _assert_async"
    " _assert_scalar _assert_tensor_metadata"
) | {"getitem"}

#: Vector kind by aten op. Where torch has several forms of an op, they share a kind.
VECTOR_KINDS = _table(
    relu="relu",
    relu6="relu6",
    clamp="hardtanh clamp clamp_min clamp_max threshold",
    gelu="gelu",
    silu="silu",
    mish="mish",
    sigmoid="sigmoid",
    tanh="tanh",
    hardswish="hardswish",
    hardsigmoid="hardsigmoid",
    leaky_relu="leaky_relu prelu _prelu_kernel",
    elu="elu celu selu",
    softplus="softplus log_sigmoid",
    batch_norm="batch_norm _native_batch_norm_legit_no_training _native_batch_norm_legit",
    instance_norm="instance_norm",
    layer_norm="layer_norm native_layer_norm",
    group_norm="group_norm native_group_norm",
    rms_norm="rms_norm _fused_rms_norm",
    softmax="softmax _softmax _safe_softmax",
    log_softmax="log_softmax _log_softmax",
    add="add",
    sub="sub rsub",
    mul="mul",
    div="div true_divide",
    pow="pow square",
    neg="neg",
    abs="abs",
    exp="exp exp2 expm1",
    erf="erf",
    sqrt="sqrt",
    rsqrt="rsqrt",
    log="log log2 log10 log1p",
    sin="sin",
    cos="cos",
    reciprocal="reciprocal",
    round="round floor ceil trunc sign",
    remainder="remainder fmod floor_divide",
    mean="mean",
    sum="sum",
    prod="prod",
    var="var std var_mean",
    norm="norm linalg_vector_norm",
    logsumexp="logsumexp",
    max="max amax",
    min="min amin",
    argmax="argmax argmin",
    any="any all",
    cumsum="cumsum cumprod",
    topk="topk",
    sort="sort argsort",
    max_pool="max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices",
    avg_pool="avg_pool1d avg_pool2d avg_pool3d",
    adaptive_avg_pool="adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
    " _adaptive_avg_pool2d _adaptive_avg_pool3d",
    adaptive_max_pool="adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    embedding="embedding",
    upsample="upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d"
    " upsample_bicubic2d upsample_trilinear3d",
    where="where masked_fill",
    compare="eq ne lt le gt ge isnan isinf",
    logical="logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor",
    maximum="maximum minimum",
    copy="cat stack pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d"
    " replication_pad2d replication_pad3d roll flip index_select gather index index_put scatter scatter_add"
    " slice_scatter select_scatter copy repeat repeat_interleave im2col pixel_shuffle pixel_unshuffle"
    " channel_shuffle tril triu one_hot",
)

#: With constants as all other operands these are one scale or shift of each element.
_SCALES = frozenset({"add", "sub", "mul", "div", "where"})
_TAPS = {"linear1d": 2, "bilinear2d": 4, "bicubic2d": 16, "trilinear3d": 8}


def vector(walk: Walk, node: fx.Node, kind: str) -> list[Op]:
    """Return the node as an op on a vector unit; constant operands count as registers, not as data."""
    sources = [source for source in node.all_input_nodes if source in walk.active]
    operands = [operand for operand in node.args if isinstance(operand, fx.Node) and operand in walk.active]
    if kind in _SCALES and len(operands) == 1:  # x * x has two operands, but one source
        kind = "scale"
    elif op_name(node) == "aten.hardtanh" and (arguments(node)["min_val"], arguments(node)["max_val"]) == (0, 6):
        kind = "relu6"
    sizes = [elements(source) for source in sources]
    if kind == "embedding":  # the rows that are read
        sizes = [elements(node)]
    # A lane takes one element of every operand at a time, so the longest one counts.
    work = VectorWork.of(kind, max(sizes), elements(node), _window(node, kind))
    return [
        Op(
            name=walk.names.claim(node, kind.removeprefix("aten.")),
            kind=kind,
            vector=replace(work, elements_in=sum(sizes)),
            input_values=tuple(source.name for source in sources),
            output_value=node.name,
        )
    ]


def _window(node: fx.Node, kind: str) -> int:
    """Return how many inputs each output of a pool or an interpolation is made of."""
    if kind in ("max_pool", "avg_pool"):
        size, rank = arguments(node)["kernel_size"], int(op_name(node).partition("pool")[2][0])
        return int(prod(size) if len(size) > 1 else size[0] ** rank)
    if kind.startswith("adaptive"):
        return ceil(elements(node.all_input_nodes[0]) / elements(node))
    if kind == "upsample":
        return _TAPS.get(op_name(node).removeprefix("aten.upsample_"), 1)
    return 1
