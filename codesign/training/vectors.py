"""Vectors: what the gradient of each kind of vector op reads, computes and writes.

Lane operations are counted from the textbook derivative, as those of the forward ops in `traces.vector`; they are
ours, not a measurement.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from traces.op import Op
from traces.vector import VectorWork

#: Their gradient is the gradient itself.
PASSES = frozenset(("add", "sub"))

#: No gradient flows through them.
STOPS = frozenset(("argmax", "compare", "logical", "round", "remainder", "any"))

#: The gradient is kept, dropped or scaled by a constant, which an array can do on its way out. What a ReLU saves for
#: that is one bit an element; it is not charged.
_ELEMENTWISE = frozenset(
    ("relu", "relu6", "clamp", "leaky_relu", "abs", "neg", "scale")
)  # the gradient op is of the same kind

#: Lane operations per element where the derivative is told by the saved output ...
_FROM_OUTPUT = {
    "sigmoid": 3,  # 1 - y, times y, times dy
    "tanh": 3,  # y * y, 1 -, times dy
    "softmax": 4,  # y * dy, sum, subtract, times y
    "log_softmax": 4,  # exp, sum, multiply, subtract
    "exp": 1,
    "sqrt": 2,
    "reciprocal": 3,
    "rsqrt": 4,
    "max_pool": 1,  # the winner's index takes the place of the output
    "adaptive_max_pool": 1,
}

#: ... and where it is told by the saved input.
_FROM_INPUT = {
    "gelu": 2,  # table look-up, multiply
    "silu": 2,
    "hardswish": 3,
    "layer_norm": 13,  # normalise 2; weight and bias gradients 3; weight 1; two means 3; correct and scale 4
    "group_norm": 13,
    "instance_norm": 13,
    "batch_norm": 9,  # sums of dO and dO * (x - mean) 4, which are both parameter gradients and means; apply 5
    "rms_norm": 9,  # normalise 1; weight gradient 2; weight 1; mean 2; correct and scale 3
    "mul": 2,
    "div": 4,
}

#: Forward batch norm with the batch's own statistics: sum, square, sum; scale, shift.
_BATCH_NORM_LANE_OPS = 5

#: A batch does not fit on chip: its statistics take a pass of their own, so operands are read so many times.
_BATCH_NORM_PASSES = 2

#: Nothing saved is read: data move, or one value is spread over a window.
_FROM_NOTHING = {"copy": 1, "mean": 1, "sum": 1, "avg_pool": 1, "adaptive_avg_pool": 1, "upsample": 1, "embedding": 1}


class VectorGradient(NamedTuple):
    """Kind and work of a gradient op, and which saved values it reads."""

    kind: str
    work: VectorWork
    reads_input: bool
    reads_output: bool


def in_training(op: Op) -> Op:
    """Return a forward op as it is in training: batch norms compute statistics and are not a mere scale any more."""
    if op.kind != "batch_norm" or op.vector is None:
        return op
    read, written = op.vector.elements_in, op.vector.elements_out
    work = VectorWork(
        elements_in=_BATCH_NORM_PASSES * read, elements_out=written, lane_ops=_BATCH_NORM_LANE_OPS * written
    )
    return replace(op, kind="batch_norm_train", vector=work)


def vector_gradient(op: Op) -> VectorGradient:
    """Return the gradient of a vector op: from dO (and what was saved) to the gradients of its inputs.

    A kind that no table knows reads its saved inputs and takes twice the lane operations of the forward op.
    """
    forward = op.vector
    assert forward is not None
    read, written = forward.elements_out, forward.elements_in
    longest = max(read, written)
    if op.kind in _ELEMENTWISE:
        return VectorGradient(op.kind, VectorWork.of(op.kind, read, written), False, False)
    from_output = op.kind in _FROM_OUTPUT
    known = {**_FROM_OUTPUT, **_FROM_INPUT, **_FROM_NOTHING}.get(op.kind)
    from_input = not from_output and op.kind not in _FROM_NOTHING
    operands = read + (forward.elements_out if from_output else 0) + (forward.elements_in if from_input else 0)
    work = VectorWork(
        elements_in=operands * (_BATCH_NORM_PASSES if op.kind == "batch_norm" else 1),
        elements_out=written,
        lane_ops=known * longest if known else 2 * forward.lane_ops,
    )
    return VectorGradient(f"{op.kind}_grad", work, from_input, from_output)


def summed(parts: int, elements: int) -> VectorWork:
    """Return the work of adding so many gradients of one tensor."""
    return VectorWork(elements_in=parts * elements, elements_out=elements, lane_ops=(parts - 1) * elements)


def updated(elements: int, copies: int) -> VectorWork:
    """Return the work of SGD with momentum, v = mu * v + g, w = w - lr * v, of so many weights.

    Weight, gradient and momentum are read, weight and momentum written, and ``copies`` elements of pruned weights.
    """
    return VectorWork(elements_in=3 * elements, elements_out=2 * elements + copies, lane_ops=4 * elements)


def loss(elements: int) -> VectorWork:
    """Return the work of softmax cross-entropy and its gradient (softmax minus target)."""
    return VectorWork(elements_in=elements, elements_out=elements, lane_ops=6 * elements)
