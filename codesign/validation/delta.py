"""Delta: exact algebra against torch and brute force, and EdgeDRNN's published throughput."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from codesign.validation.anchor import Anchor, Missing
from hw_models.accelerators import load_accelerator
from hw_models.accelerators.delta_conv import DeltaConv, DeltaConvConfig
from hw_models.accelerators.edgedrnn import EdgeDrnn, EdgeDrnnConfig, effective_ops_per_s
from traces.bitmap import Bitmap
from traces.gemm import Gemm
from traces.op import Op
from traces.workload import Workload

_ALGEBRA = "algebra: a sum of changes is the value itself; recomputed here"

#: Published results on data sets and trained thresholds that are not here, so ours cannot be set beside them.
_PUBLISHED = {
    "Delta Activation Layer, ResNet-50 on UCF101, density of conv1..5": (
        "arXiv 2107.07305 gives .067/.065/.048/.046/.044 (ReLU alone .708/.632/.454/.393/.239); it needs the videos and"
        " the trained thresholds"
    ),
    "Delta networks, operations saved": "ICML 2017 gives 9x on TIDIGITS and 5.7x on WSJ; it needs the trained networks",
    "DeltaRNN, effective throughput": "FPGA 2018 gives 1.2 TOp/s, 5.7x from deltas, on 256 GRU units; weights not here",
}


def anchors(golden: Path | None) -> Iterator[Anchor | Missing]:
    """Yield the anchors; none needs the golden tables."""
    yield from _outputs()
    yield _updates()
    yield _edgedrnn()
    for name, reason in _PUBLISHED.items():
        yield Missing(name, reason)


def _outputs() -> Iterator[Anchor]:
    """Count the outputs of delta runs at threshold 0 that are torch's."""
    import torch
    from torch import nn

    from traces.delta import run_delta
    from traces.frontend.export import trace

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for cell in (nn.GRU, nn.LSTM):
            layer, sequence = cell(12, 24, num_layers=2), torch.randn(50, 2, 12)
            outputs = run_delta(trace(layer, sequence), threshold=0.0)[0]
            same = torch.isclose(outputs, layer(sequence)[0], rtol=0, atol=1e-5)
            name = f"Delta{cell.__name__} at threshold 0, outputs within 1e-5 of torch"
            yield Anchor(name=name, source=_ALGEBRA, reference=same.numel(), ours=int(same.sum()))
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(36, 5))
        graph, frames = trace(net, torch.randn(1, 3, 10, 10)), torch.randn(6, 3, 10, 10)
        outputs = run_delta(graph, frames, threshold=0.0)
        assert graph.program is not None
        dense = torch.stack([graph.program.run((frame[None],)) for frame in frames])
        yield Anchor(
            name="convolutions on deltas at threshold 0, outputs equal to the dense ones",
            source=_ALGEBRA,
            reference=dense.numel(),
            ours=int((outputs == dense).sum()),
        )


def _updates() -> Anchor:
    """Count the accumulator updates of a strided, padded convolution by walking its loop nest."""
    gemm = Gemm(
        channels=2, filters=5, in_h=7, in_w=6, out_h=4, out_w=3, kernel_h=3, kernel_w=3, stride_h=2, stride_w=2,
        pad_h=1, pad_w=1, batch=3,
    )  # fmt: skip
    op = Op(name="conv", kind="conv", gemm=gemm, weight="w", timesteps=3, encoding="delta")
    changed = np.random.default_rng(0).random((3, 2, 7, 6)) < 0.3
    updates = 0
    for frame, y, x, ky, kx, channel in product(range(3), range(4), range(3), range(3), range(3), range(2)):
        row, column = 2 * y + ky - 1, 2 * x + kx - 1
        if 0 <= row < 7 and 0 <= column < 6 and changed[frame, channel, row, column]:
            updates += gemm.filters
    config = load_accelerator("delta-conv")
    assert isinstance(config, DeltaConvConfig)
    cost = DeltaConv(config).cost(Workload(op, operands=(Bitmap.of(changed),)))
    return Anchor(
        name="delta-conv, accumulator updates of a 3x3 convolution of stride 2",
        source="brute force over the loop nest; recomputed here",
        reference=updates,
        ours=cost.effectual + cost.gated,
    )


def _edgedrnn() -> Anchor:
    """Run a 2-layer GRU of 5.4 M weights with one column in ten, EdgeDRNN's largest saving of weight reads."""
    config = load_accelerator("edgedrnn")
    assert isinstance(config, EdgeDrnnConfig)
    steps, hidden, rng = 20, 768, np.random.default_rng(0)
    cycles = macs = 0
    for inputs, kind in ((40, "linear"), (hidden, "recurrent"), (hidden, "linear"), (hidden, "recurrent")):
        op = Op(
            name="gru.l0.hh" if kind == "recurrent" else "gru.l0.ih",
            kind=kind,
            gemm=Gemm.matmul(steps, 3 * hidden, inputs),
            weight="w",
            timesteps=steps,
            encoding="delta",
            gate_lane_ops=12 * steps * hidden if kind == "recurrent" else 0,
        )
        changed = rng.permuted(np.tile(np.arange(inputs) < round(inputs / 10), (steps, 1)), axis=1)
        cycles += EdgeDrnn(config).cost(Workload(op, operands=(Bitmap.of(changed),))).cycles
        macs += op.macs
    step_ms = 1e3 * cycles / steps / config.clock_hz
    return Anchor(
        name="EdgeDRNN, effective GOp/s of a 2-layer GRU of 5 M weights",
        source="arXiv 2012.13600, abstract: 20.2 GOp/s; 5 M parameters, 2 layers, about 0.5 ms, up to 10x fewer reads",
        reference=20.2,
        ours=effective_ops_per_s(macs, cycles, config.clock_hz) / 1e9,
        band=0.1,
        note=f"768 units, 40 inputs, a random tenth of the columns and the clock (from an unread peak of 2 GOp/s) are"
        f" our reading; {step_ms:.2f} ms a step",
    )
