"""Compare: whole sparse networks on modelled ARM cores, against published times of phones (one thread, fp32)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from codesign.sparsification import sparsify
from codesign.validation.anchor import Anchor, Missing
from hw_models.cpus import load_cpu
from hw_models.cpus.layer import Core
from hw_models.cpus.network import Plans, network_time
from kernels.loops.layer import DensePlan, SparsePlan
from traces.load import load_model

_SOURCE = "Paddle-Lite 2.11, its published table; sparsity about 75 %, not stated beside it, taken as 75 % here"
_SPARSITY = "unstructured:0.75"

#: Published milliseconds, dense and sparse: Snapdragon 865, 835 and 625.
_TIMES = {
    ("mobilenet_v1", "cortex-a77"): (28.38, 17.04),
    ("mobilenet_v1", "cortex-a73"): (82.48, 56.02),
    ("mobilenet_v1", "cortex-a53"): (143.64, 173.46),
    ("mobilenet_v2", "cortex-a77"): (18.52, 12.59),
    ("mobilenet_v2", "cortex-a73"): (53.47, 38.53),
    ("mobilenet_v2", "cortex-a53"): (106.17, 117.95),
}
#: Strips of 48 columns and contiguous images, as Paddle-Lite's kernels have them.
_PLANS = Plans(DensePlan(8, 3, shuffle=True), SparsePlan(12), padded=False)
_DENSE_BAND = 0.25
_RATIO_BAND = 0.4
_NOTE = "a trend: which weights are zero, the sparsity and the phone's clock while it ran are not known"


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield dense times, speedups by sparsity and whether sparse wins; none needs the golden tables."""
    for network in dict.fromkeys(network for network, _ in _TIMES):
        graph = load_model(f"zoo:{network}")
        sparse = sparsify(graph, _SPARSITY)
        for name in [core for known, core in _TIMES if known == network]:
            core = Core(load_cpu(name))
            dense_ms, sparse_ms = (network_time(core, one, _PLANS).milliseconds for one in (graph, sparse))
            yield from _core(f"{network} on {name}", _TIMES[network, name], (dense_ms, sparse_ms))


def _core(name: str, published: tuple[float, float], ours: tuple[float, float]) -> Iterator[Anchor | Missing]:
    wins = published[0] > published[1], ours[0] > ours[1]
    speedups = published[0] / published[1], ours[0] / ours[1]
    yield Anchor(name=f"{name}, dense ms", source=_SOURCE, reference=published[0], ours=ours[0], band=_DENSE_BAND)
    if wins[0] != wins[1]:
        yield Missing(
            f"{name}, speedup by sparsity",
            f"published {speedups[0]:.2f}x, ours {speedups[1]:.2f}x: which of the two is faster is not reproduced",
        )
        return
    yield Anchor(name=f"{name}, sparse is the faster (1) or not (0)", source=_SOURCE, reference=wins[0], ours=wins[1])
    yield Anchor(
        name=f"{name}, speedup by sparsity",
        source=_SOURCE,
        reference=speedups[0],
        ours=speedups[1],
        band=_RATIO_BAND,
        note=_NOTE,
    )
