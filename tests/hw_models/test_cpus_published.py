"""Whole networks against published times of ARM phones; what disagrees is printed and marked, not fitted away."""

import numpy as np
import pytest

from hw_models.cpus import load_cpu
from hw_models.cpus.layer import Core
from hw_models.cpus.network import Plans, network_time
from kernels.loops.layer import DensePlan, SparsePlan
from traces.graph import OpGraph
from traces.load import load_model

#: Paddle-Lite 2.11, one thread: dense and sparse ms at a sparsity of about 75 % (it is not stated beside the table).
PADDLE = {
    ("mobilenet_v1", "cortex-a77"): (28.38, 17.04),
    ("mobilenet_v1", "cortex-a73"): (82.48, 56.02),
    ("mobilenet_v1", "cortex-a53"): (143.64, 173.46),
    ("mobilenet_v2", "cortex-a77"): (18.52, 12.59),
    ("mobilenet_v2", "cortex-a73"): (53.47, 38.53),
    ("mobilenet_v2", "cortex-a53"): (106.17, 117.95),
}
#: Strips of 48 columns, as its W48 kernels; contiguous images.
PLANS = Plans(DensePlan(8, 3, shuffle=True), SparsePlan(12), padded=False)


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
    graph, core = load_model(f"zoo:{network}"), Core(load_cpu(name))
    dense = network_time(core, graph, PLANS).milliseconds
    sparse = network_time(core, pruned(graph, 0.75), PLANS).milliseconds
    told = PADDLE[network, name]
    print(f"{network} {name}: dense {dense:.1f} ({told[0]}), sparse {sparse:.1f} ({told[1]}) ms;"
          f" ratio {dense / sparse:.2f} ({told[0] / told[1]:.2f})")  # fmt: skip
    return dense, sparse


@pytest.mark.slow
@pytest.mark.parametrize(("network", "name"), PADDLE)
def test_dense_times_are_near_the_published(network: str, name: str) -> None:
    """Dense networks within 25 %; what was chosen knowing them is told in `hw_models.cpus.layer`."""
    assert times(network, name)[0] == pytest.approx(PADDLE[network, name][0], rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name"),
    [
        pytest.param(
            *key,
            marks=pytest.mark.xfail(
                key[1] == "cortex-a53", reason="an A53's sparse time is predicted too short", strict=True
            ),
        )
        for key in PADDLE
    ],
)
def test_sparse_wins_where_it_is_published_to(network: str, name: str) -> None:
    """Sparse is faster than dense on the A73 and A77; on the A53 it is slower, which the model does not reproduce."""
    dense, sparse = times(network, name)
    told = PADDLE[network, name]
    assert (dense > sparse) == (told[0] > told[1])
