"""Whole networks against published times of ARM phones; what disagrees is printed and marked, not fitted away."""

from functools import cache

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from codesign.validation.compare import CLOCKS, PADDLE_TIMES
from hw_models.cpus import load_cpu
from hw_models.cpus.layer import Core
from hw_models.cpus.network import PADDLE, network_time
from traces.graph import OpGraph
from traces.load import load_model

#: What the model gets wrong, and how far off it is.
WRONG_SIGN = {("mobilenet_v2", "cortex-a53"): "published 0.90x, here 1.00x: thin layers are predicted too fast"}
FAR = {("mobilenet_v2", "cortex-a73"): "published 1.39x, here 1.63x: the sparse loop is predicted too fast"}


def rows(missed: dict[tuple[str, str], str]) -> list[ParameterSet]:
    """Return the published rows as parameters; those missed must fail, or the table above is out of date."""
    marks = {key: pytest.mark.xfail(reason=reason, strict=True) for key, reason in missed.items()}
    return [pytest.param(*key, marks=[marks[key]] if key in marks else []) for key in PADDLE_TIMES]


def pruned(graph: OpGraph, sparsity: float, *, together: bool = False) -> OpGraph:
    """Return the graph with the smallest weights of its 1x1 convolutions over images removed.

    Each layer loses the same share; or all ``together`` lose what lies below one threshold, as by PaddleSlim's default.
    Weights are as initialised (a standard deviation of sqrt(2 / inputs)), a stand-in for the trained ones, which are
    not public: of those we only assume that layers of few inputs keep the larger weights.
    """
    keys = [
        op.weight
        for op in graph
        if op.kind == "conv" and op.gemm and op.weight and op.gemm.kernel_h == 1 and op.gemm.m > 1
    ]
    sizes = {key: np.abs(graph.weights[key]) for key in keys}
    everything = np.concatenate([size.ravel() for size in sizes.values()])
    thresholds = {key: np.quantile(everything if together else size, sparsity) for key, size in sizes.items()}
    return graph.with_weights(
        {key: np.where(sizes[key] < thresholds[key], np.float32(0), graph.weights[key]) for key in keys}, {}
    )


@cache
def times(network: str, name: str, *, together: bool) -> tuple[float, float]:
    """Return predicted dense and sparse ms, and print them beside the published ones."""
    graph, core = load_model(f"zoo:{network}"), Core(load_cpu(name, CLOCKS.get(name, [])))
    dense = network_time(core, graph, PADDLE).milliseconds
    sparse = network_time(core, pruned(graph, 0.75, together=together), PADDLE).milliseconds
    told = PADDLE_TIMES[network, name]
    how = ", one threshold" if together else ""
    print(f"{network} {name}{how}: dense {dense:.1f} ({told[0]}), sparse {sparse:.1f} ({told[1]}) ms;"
          f" ratio {dense / sparse:.2f} ({told[0] / told[1]:.2f})")  # fmt: skip
    return dense, sparse


def error(network: str, name: str, *, together: bool) -> float:
    """Return how far the predicted speedup by sparsity is from the published one, relative."""
    dense, sparse = times(network, name, together=together)
    told = PADDLE_TIMES[network, name]
    return abs(dense / sparse * told[1] / told[0] - 1)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "name"), PADDLE_TIMES)
def test_dense_times_are_near_the_published(network: str, name: str) -> None:
    """Dense networks within 25 %; what was chosen knowing them is told in `hw_models.cpus.layer`."""
    assert times(network, name, together=False)[0] == pytest.approx(PADDLE_TIMES[network, name][0], rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "name"), rows(WRONG_SIGN))
def test_sparse_wins_where_it_is_published_to(network: str, name: str) -> None:
    """Sparse is faster than dense on the A73 and A77, and slower on the A53."""
    dense, sparse = times(network, name, together=False)
    told = PADDLE_TIMES[network, name]
    assert (dense > sparse) == (told[0] > told[1])


@pytest.mark.slow
@pytest.mark.parametrize(("network", "name"), rows(FAR))
def test_speedups_by_sparsity_are_near_the_published(network: str, name: str) -> None:
    """The ratio of dense to sparse time is within 15 %."""
    assert error(network, name, together=False) <= 0.15


@pytest.mark.slow
def test_equal_sparsity_is_nearer_to_the_published_than_one_threshold() -> None:
    """On the whole, and on the A77's v1 by far; some rows are nearer with one threshold over all layers."""
    equal, together = ({key: error(*key, together=together) for key in PADDLE_TIMES} for together in (False, True))
    print({key: (f"{equal[key]:.0%}", f"{together[key]:.0%}") for key in PADDLE_TIMES})
    assert sum(equal.values()) < sum(together.values())
    assert together["mobilenet_v1", "cortex-a77"] > 0.2 > equal["mobilenet_v1", "cortex-a77"]
