"""Compare: whole sparse networks on modelled ARM cores, against published times of phones (one thread, fp32).

How sparse each layer of the published networks was is not published; each pruned one gets the network's sparsity here.

- Paddle-Lite's table is of June 2022 (pull request 9025) and links its MobileNets on a private host only. PaddleSlim
  first pruned by one threshold over all 1x1 convolutions, and does so by default. In November 2021 it got the option of
  equal sparsity (``local_sparsity``, pull request 916), for faster inference. PaddleDetection took that for PicoDet, of
  the same table, and PaddleSlim for MobileNet v1 in its automatic compression (by July 2022); Paddle-Lite's guide
  of April 2022 (``sparse.md``) tries speeds with a tool that knows nothing else. So equal sparsity is likely, not
  certain; ``tests/hw_models/test_cpus_published.py`` has the other reading beside it.
- Fast Sparse ConvNets: google-research's ``fastconvnets/README.md`` says which layers are dense and which have groups
  of rows, not that the others are equally sparse. EfficientNet's classifier, sparse there, is dense here (under 1 %).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from codesign.sparsification import sparsify
from codesign.validation.anchor import Anchor, Missing
from hw_models.cpus import load_cpu
from hw_models.cpus.layer import Core
from hw_models.cpus.network import PADDLE, XNNPACK, network_time
from traces.graph import OpGraph
from traces.load import load_model

_SOURCE = "Paddle-Lite 2.11, its published table; sparsity not stated beside it, taken as 75 % in each layer"
_SPARSITY = "unstructured:0.75"

#: Published milliseconds, dense and sparse: Snapdragon 865, 835 and 625.
PADDLE_TIMES = {
    ("mobilenet_v1", "cortex-a77"): (28.38, 17.04),
    ("mobilenet_v1", "cortex-a73"): (82.48, 56.02),
    ("mobilenet_v1", "cortex-a53"): (143.64, 173.46),
    ("mobilenet_v2", "cortex-a77"): (18.52, 12.59),
    ("mobilenet_v2", "cortex-a73"): (53.47, 38.53),
    ("mobilenet_v2", "cortex-a53"): (106.17, 117.95),
}
#: What the table says of its phones beside their cores.
CLOCKS = {"cortex-a53": ["clock_hz=1.8e9"]}
_DENSE_BAND = 0.25
_RATIO_BAND = 0.15
_NOTE = "which weights are zero and the sparsity are not known"
_FAST = "Fast Sparse ConvNets (Elsen et al. 2019), latencies on a Snapdragon 835; XNNPACK's kernels of that year"
_FAST_BAND = 0.25
#: Published milliseconds of sparse networks on a Snapdragon 835, and their sparsity.
_FAST_TIMES = {
    "mobilenet_v1@0.75": (0.9, 21), "mobilenet_v1": (0.9, 31), "mobilenet_v1@1.4": (0.9, 58),
    "mobilenet_v2@0.8": (0.85, 26), "mobilenet_v2@1.15": (0.85, 40), "mobilenet_v2@1.4": (0.85, 54),
    "mobilenet_v2@1.8": (0.8, 102), "mobilenet_v2@2.0": (0.85, 93),
    "efficientnet_b0": (0.8, 80), "efficientnet_b1": (0.85, 110),
}  # fmt: skip
#: The one of width 1.8 is unstructured throughout.
_NO_GROUPS = ("mobilenet_v2@1.8",)
#: Blocks of MobileNet v2 whose weights are pruned two rows at a time: 11 to 16, as the published files are named. These
#: count from 0 (v1's last of 13 is 12 there): ``features.14`` to ``features.19`` here, not the convolution after them.
_PAIRS = range(14, 20)


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield dense times, speedups by sparsity, whether sparse wins, and sparse times; none needs the golden tables."""
    for network in dict.fromkeys(network for network, _ in PADDLE_TIMES):
        graph = load_model(f"zoo:{network}")
        sparse = sparsify(graph, _SPARSITY)
        for name in [core for known, core in PADDLE_TIMES if known == network]:
            core = Core(load_cpu(name, CLOCKS.get(name, [])))
            dense_ms, sparse_ms = (network_time(core, one, PADDLE).milliseconds for one in (graph, sparse))
            yield from _core(f"{network} on {name}", PADDLE_TIMES[network, name], (dense_ms, sparse_ms))
    yield from map(_fast, _FAST_TIMES)


def _fast(network: str) -> Anchor | Missing:
    """Return one network of Fast Sparse ConvNets beside its published time."""
    sparsity, told = _FAST_TIMES[network]
    graph = load_model(f"zoo:{network}")
    sparse = sparsify(graph, f"unstructured:{sparsity}", rules=_rules(network, graph, sparsity))
    time = network_time(Core(load_cpu("cortex-a73")), sparse, XNNPACK)
    name, ours = f"{network} at {sparsity:.0%} on cortex-a73, sparse ms", time.milliseconds
    if abs(ours / told - 1) > _FAST_BAND:
        return Missing(name, f"published {told}, ours {ours:.1f} ({ours / told - 1:+.0%}): not reproduced within 25 %")
    return Anchor(name=name, source=_FAST, reference=told, ours=ours, band=_FAST_BAND)


def _rules(network: str, graph: OpGraph, sparsity: float) -> dict[str, str]:
    """Return the layers pruned by groups of rows: four in the last block of v1, two in blocks 11 to 16 of v2."""
    if network in _NO_GROUPS:
        return {}
    layers = [op.name for op in graph if op.kind == "conv"]
    if network.startswith("mobilenet_v1"):
        return {layers[-1]: f"group:4:{sparsity}"}
    if network.startswith("mobilenet_v2"):
        return {name: f"group:2:{sparsity}" for name in layers if int(name.split(".")[1]) in _PAIRS}
    return {}


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
    error = speedups[1] / speedups[0] - 1
    if abs(error) > _RATIO_BAND:
        yield Missing(
            f"{name}, speedup by sparsity",
            f"published {speedups[0]:.2f}x, ours {speedups[1]:.2f}x ({error:+.0%}): not reproduced within 15 %",
        )
        return
    yield Anchor(
        name=f"{name}, speedup by sparsity",
        source=_SOURCE,
        reference=speedups[0],
        ours=speedups[1],
        band=_RATIO_BAND,
        note=_NOTE,
    )
