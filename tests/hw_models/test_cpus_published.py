"""Whole networks against published times of ARM phones; what disagrees is printed and marked, not fitted away."""

import numpy as np
import pytest

from hw_models.cpus import load_cpu
from hw_models.cpus.layer import Core
from hw_models.cpus.network import PADDLE, network_time
from traces.graph import OpGraph
from traces.load import load_model

#: Paddle-Lite 2.11, one thread: dense and sparse ms at a sparsity of about 75 % (it is not stated beside the table).
PADDLE_TIMES = {
    ("mobilenet_v1", "cortex-a77"): (28.38, 17.04),
    ("mobilenet_v1", "cortex-a73"): (82.48, 56.02),
    ("mobilenet_v1", "cortex-a53"): (143.64, 173.46),
    ("mobilenet_v2", "cortex-a77"): (18.52, 12.59),
    ("mobilenet_v2", "cortex-a73"): (53.47, 38.53),
    ("mobilenet_v2", "cortex-a53"): (106.17, 117.95),
}
#: The table's own clocks.
CLOCKS = {"cortex-a53": ["clock_hz=1.8e9"]}
#: Where the model has sparse faster although it is published to be slower (published 0.90x, here 1.00x).
WRONG = ("mobilenet_v2", "cortex-a53")
#: Where the speedup by sparsity is more than 15 % off (published 1.39x, here 1.63x).
FAR = ("mobilenet_v2", "cortex-a73")


def pruned(graph: OpGraph, sparsity: float) -> OpGraph:
    """Return the graph with the smallest weights of its 1x1 convolutions over images removed."""
    weights = {}
    for op in graph:
        if op.kind == "conv" and op.gemm and op.weight and op.gemm.kernel_h == 1 and op.gemm.m > 1:
            weight = graph.weights[op.weight]
            weights[op.weight] = np.where(np.abs(weight) < np.quantile(np.abs(weight), sparsity), np.float32(0), weight)
    return graph.with_weights(weights, {})


def times(network: str, name: str) -> tuple[float, float]:
    """Return predicted dense and sparse ms, and print them beside the published ones."""
    graph, core = load_model(f"zoo:{network}"), Core(load_cpu(name, CLOCKS.get(name, [])))
    dense = network_time(core, graph, PADDLE).milliseconds
    sparse = network_time(core, pruned(graph, 0.75), PADDLE).milliseconds
    told = PADDLE_TIMES[network, name]
    print(f"{network} {name}: dense {dense:.1f} ({told[0]}), sparse {sparse:.1f} ({told[1]}) ms;"
          f" ratio {dense / sparse:.2f} ({told[0] / told[1]:.2f})")  # fmt: skip
    return dense, sparse


@pytest.mark.slow
@pytest.mark.parametrize(("network", "name"), PADDLE_TIMES)
def test_dense_times_are_near_the_published(network: str, name: str) -> None:
    """Dense networks within 25 %; what was chosen knowing them is told in `hw_models.cpus.layer`."""
    assert times(network, name)[0] == pytest.approx(PADDLE_TIMES[network, name][0], rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name"),
    [
        pytest.param(*key, marks=[pytest.mark.xfail(reason="see WRONG", strict=True)] if key == WRONG else [])
        for key in PADDLE_TIMES
    ],
)
def test_sparse_wins_where_it_is_published_to(network: str, name: str) -> None:
    """Sparse is faster than dense on the A73 and A77, and slower on the A53."""
    dense, sparse = times(network, name)
    told = PADDLE_TIMES[network, name]
    assert (dense > sparse) == (told[0] > told[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name"),
    [
        pytest.param(*key, marks=[pytest.mark.xfail(reason="see FAR", strict=True)] if key == FAR else [])
        for key in PADDLE_TIMES
    ],
)
def test_speedups_by_sparsity_are_near_the_published(network: str, name: str) -> None:
    """The ratio of dense to sparse time is within 15 %."""
    dense, sparse = times(network, name)
    told = PADDLE_TIMES[network, name]
    assert dense / sparse == pytest.approx(told[0] / told[1], rel=0.15)
