"""Fold: batch norm at inference is a scale and a shift, which the convolution before it can do for free."""

from __future__ import annotations

import torch
from torch import fx

from traces.frontend.constants import unused
from traces.frontend.nodes import arguments, aten, emit_state, op_name, shape
from traces.frontend.program import Program

_CONVS = aten("conv1d conv2d conv3d convolution")
_NORMS = aten("batch_norm _native_batch_norm_legit_no_training")


def fold_batch_norm(program: Program) -> None:
    """Replace conv (or linear) followed by eval-mode batch norm by a conv with changed weight and bias.

    With s = gamma / sqrt(var + eps), norm(conv(x, w) + b) = conv(x, s * w) + s * (b - mean) + beta (Jacob et
    al., arXiv:1712.05877, eq. 14). A pair is left alone if the conv has another consumer, or its weight
    another user.
    """
    for norm in list(program.graph.nodes):
        if op_name(norm) in _NORMS:
            source = norm.args[0]
            if isinstance(source, fx.Node) and _foldable(source, norm):
                _fold(program, source, norm)
    program.graph.eliminate_dead_code()


def _foldable(source: fx.Node, norm: fx.Node) -> bool:
    name = op_name(source)
    if name == "aten.linear":
        fits = len(shape(source)) == 2
    else:
        fits = name in _CONVS and not arguments(source).get("transposed", False)
    if not fits or len(source.users) > 1 or arguments(norm).get("training", False):
        return False
    weight, bias = arguments(source)["weight"], arguments(source)["bias"]
    statistics = [arguments(norm)[key] for key in ("weight", "bias", "running_mean", "running_var")]
    read = [node for node in (bias, *statistics) if node is not None]
    known = statistics[2] is not None and all(node.op == "get_attr" for node in (weight, *read))
    return known and len(weight.users) == 1


def _fold(program: Program, source: fx.Node, norm: fx.Node) -> None:
    conv, batch_norm = arguments(source), arguments(norm)
    state = program.state

    def read(node: fx.Node | None, default: float) -> torch.Tensor:
        if node is None:
            return torch.full_like(variance, default)
        return state[str(node.target)].double()

    variance = state[str(batch_norm["running_var"].target)].double()
    scale = read(batch_norm["weight"], 1.0) / torch.sqrt(variance + batch_norm["eps"])
    bias = (read(conv["bias"], 0.0) - read(batch_norm["running_mean"], 0.0)) * scale
    bias = bias + read(batch_norm["bias"], 0.0)
    key = str(conv["weight"].target)
    old = state[key]
    state[key] = (old.double() * scale.reshape(-1, *[1] * (old.ndim - 1))).to(old.dtype)
    bias_key = unused(state, f"{key.removesuffix('.weight')}.bias")
    state[bias_key] = bias.to(old.dtype)
    conv["bias"] = emit_state(source, bias_key, state[bias_key])
    source.args, source.kwargs = tuple(conv.values()), {}
    if op_name(norm) == "aten.batch_norm":
        norm.replace_all_uses_with(source)
    else:
        for result in list(norm.users):  # (output, saved mean, saved deviation): the last two are empty
            result.replace_all_uses_with(source)
