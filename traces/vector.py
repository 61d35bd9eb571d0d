"""VectorWork: what an op asks of a vector unit, and how many passes each kind takes."""

from __future__ import annotations

from dataclasses import dataclass

# Lane operations per element of the longer side (input or output). One lane operation is one add, multiply,
# compare, exponential or table look-up; what a kind needs is counted from its textbook formula and is ours,
# not a measurement. A kind that is absent here costs one.
LANE_OPS_PER_ELEMENT: dict[str, int] = {
    "softmax": 5,  # max, subtract, exp, sum, divide
    "log_softmax": 5,  # max, subtract, exp, sum, subtract log
    "layer_norm": 7,  # sum; subtract, square, sum; scale; weight, bias
    "group_norm": 7,
    "instance_norm": 7,
    "rms_norm": 4,  # square, sum, scale, weight
    "batch_norm": 2,  # folded to scale and shift at inference
    "gelu": 3,  # table look-up, multiply, scale
    "silu": 2,  # table look-up, multiply
    "hardswish": 3,  # add, clamp, multiply
    "hardsigmoid": 2,
    "lstm_gates": 13,  # per hidden unit: 4 adds, 5 look-ups, 3 multiplies, 1 add
    "gru_gates": 12,  # per hidden unit: 4 adds, 3 look-ups, 3 multiplies, 2 adds
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorWork:
    """Elements that pass a vector unit, and the lane operations they take.

    ``elements_in`` counts all operands; ``lane_ops`` is the number of elementary operations, so a unit of
    L lanes needs ``ceil(lane_ops / L)`` cycles.
    """

    elements_in: int
    elements_out: int
    lane_ops: int

    @classmethod
    def of(cls, kind: str, elements_in: int, elements_out: int, window: int = 1) -> VectorWork:
        """Return the work of an op of that kind; ``window`` is the pooled window of one output."""
        per_element = LANE_OPS_PER_ELEMENT.get(kind, 1)
        longest = max(elements_in, elements_out * window)
        return cls(elements_in=elements_in, elements_out=elements_out, lane_ops=longest * per_element)
