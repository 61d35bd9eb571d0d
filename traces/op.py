"""Op: one node of a traced model."""

from __future__ import annotations

from dataclasses import dataclass

from traces.gemm import Gemm
from traces.vector import VectorWork

#: Kinds that run on a MAC array. Every other kind runs on a vector unit.
ARRAY_KINDS = ("conv", "depthwise", "linear", "matmul", "recurrent")

#: Vector kinds that touch each output element once and need nothing but it (and constants):
#: they can be done on the way out of the array.
ELEMENTWISE_KINDS = frozenset(
    (
        "relu",
        "relu6",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "hardswish",
        "hardsigmoid",
        "leaky_relu",
        "elu",
        "clamp",
        "batch_norm",
        "scale",
        "neg",
        "abs",
        "exp",
        "erf",
        "pow",
        "sqrt",
        "rsqrt",
        "neuron",  # integrate and fire, over all timesteps; its state stays in the unit (traces.temporal)
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """What one node computes: a `Gemm` on a MAC array or `VectorWork` on a vector unit (exactly one of them).

    Attributes
    ----------
    name
        Unique in its graph, from the module path: ``layer1.0.conv1``.
    kind
        One of `ARRAY_KINDS` or a vector kind such as ``relu``, ``softmax``, ``max_pool``.
    weight
        Key of operand W in ``OpGraph.weights``; None where W is an activation, as in attention. The key is
        set even where the weights themselves are not in memory (meta tensors, topology tables).
    declared
        Sparsity of W that is declared and not seen in weights: ``2:4`` in a topology table.
    timesteps
        Sequential steps of a recurrent op: m is timesteps times batch, and step t needs the output of t - 1.
    encoding
        What the elements of operand I are, where they come as a sequence of ``timesteps`` (time-major in the
        batch): ``spikes`` (0 or 1), ``delta`` (changes since the step before); empty for plain values.
    addend_elements
        Elements of a third operand that is added into the output (the input projection of a recurrent op).
    gate_lane_ops
        Vector work inside the op, done on each timestep's output before the next one starts.
    input_values, output_value
        Names of the values of the traced program that are operands (I first) and result; empty where the
        program has no value that is just this result.
    bias
        Name of the parameter in the program's state that ``output_value`` has added, one an output channel.
    """

    name: str
    kind: str
    gemm: Gemm | None = None
    vector: VectorWork | None = None
    weight: str | None = None
    declared: str | None = None
    timesteps: int = 1
    encoding: str = ""
    addend_elements: int = 0
    gate_lane_ops: int = 0
    input_values: tuple[str, ...] = ()
    output_value: str = ""
    bias: str | None = None

    def __post_init__(self) -> None:
        if (self.gemm is None) == (self.vector is None):
            raise ValueError(f"op {self.name} must have either a gemm or vector work")

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates (0 for a vector op)."""
        return self.gemm.macs if self.gemm else 0
