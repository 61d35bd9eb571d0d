"""Small random networks and arrays, drawn by hypothesis."""

from collections.abc import Callable

from hypothesis import strategies as st

from traces.gemm import Gemm
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork


@st.composite
def ops(draw: Callable, name: str) -> Op:
    """Draw an op of any kind, small enough to run in a blink."""
    kind = draw(st.sampled_from(["conv", "depthwise", "linear", "matmul", "recurrent", "softmax", "relu", "add"]))
    size = st.integers(1, 20)
    if kind in ("conv", "depthwise"):
        kernel, stride, pad = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 1))
        side = draw(st.integers(kernel, 9))
        out = (side + 2 * pad - kernel) // stride + 1
        groups = draw(st.integers(1, 12)) if kind == "depthwise" else draw(st.sampled_from([1, 1, 2]))
        gemm = Gemm(
            channels=1 if kind == "depthwise" else draw(size), filters=1 if kind == "depthwise" else draw(size),
            in_h=side, in_w=side, out_h=out, out_w=out, kernel_h=kernel, kernel_w=kernel, stride_h=stride,
            stride_w=stride, pad_h=pad, pad_w=pad, batch=draw(st.integers(1, 3)), groups=groups,
        )  # fmt: skip
        return Op(name=name, kind=kind, gemm=gemm, weight=name)
    if kind == "linear":
        return Op(name=name, kind=kind, gemm=Gemm.matmul(draw(size), draw(size), draw(size)), weight=name)
    if kind == "matmul":
        return Op(name=name, kind=kind, gemm=Gemm.matmul(draw(size), draw(size), draw(size), draw(st.integers(1, 3))))
    if kind == "recurrent":
        steps, batch, hidden = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 8))
        gemm = Gemm.matmul(steps * batch, 4 * hidden, hidden)
        return Op(
            name=name, kind=kind, gemm=gemm, weight=name, timesteps=steps, addend_elements=gemm.output_elements,
            gate_lane_ops=13 * steps * batch * hidden,
        )  # fmt: skip
    elements = draw(st.integers(1, 500))
    return Op(name=name, kind=kind, vector=VectorWork.of(kind, elements * (2 if kind == "add" else 1), elements))


@st.composite
def graphs(draw: Callable, most: int = 5) -> OpGraph:
    """Draw a chain of ops, some with a second producer further up."""
    count = draw(st.integers(1, most))
    drawn = [draw(ops(f"op{i}")) for i in range(count)]
    edges = [(f"op{i}", f"op{i + 1}") for i in range(count - 1)]
    edges += [(f"op{i}", f"op{i + 2}") for i in range(count - 2) if draw(st.booleans())]
    return OpGraph.of("drawn", drawn, edges)


@st.composite
def settings_of_arrays(draw: Callable) -> dict[str, float]:
    """Draw the settings of a small array, as ``--set`` takes them."""
    return {
        "array.rows": draw(st.integers(1, 9)),
        "array.cols": draw(st.integers(1, 9)),
        "array.overlap_preload": draw(st.booleans()),
        "vector.lanes": draw(st.integers(1, 8)),
        "memory.sram.weight_bytes": draw(st.integers(60, 2000)),
        "memory.sram.input_bytes": draw(st.integers(200, 2000)),
        "memory.sram.output_bytes": draw(st.integers(60, 2000)),
        "memory.dram.bytes_per_cycle": draw(st.sampled_from([0.5, 1, 2, 3.3, 8, 64])),
        "memory.dram.latency_cycles": draw(st.sampled_from([0, 1, 20])),
    }


def as_settings(values: dict[str, float]) -> list[str]:
    """Return settings as ``key=value`` texts."""
    return [f"{key}={str(value).lower()}" for key, value in values.items()]
