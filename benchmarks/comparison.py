"""Comparison: the same sparse models on all accelerators, at equal PEs, buffers, bandwidth and clock.

Run ``python benchmarks/comparison.py > docs/comparison.md``; the page in the docs is its output.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

import torch

import codesign
from codesign.report import Report
from traces.delta import capture_delta
from traces.errors import InputError
from traces.graph import OpGraph
from traces.snn import Lif, State

EQUAL = [
    "array.rows=32",
    "array.cols=32",
    "vector.lanes=32",
    "clock_hz=1.0e+9",
    "memory.dram.bytes_per_cycle=32",
    "memory.dram.latency_cycles=100",
    "memory.dram.technology=lpddr4",
    "memory.sram.weight_bytes=524288",
    "memory.sram.input_bytes=524288",
    "memory.sram.output_bytes=262144",
    "memory.sram.port_bits=256",
]
# Eyeriss v2 comes in clusters of 3x4 PEs, which 1,024 is no multiple of.
OWN = {"eyeriss-v2": ["eyeriss_v2.cluster_rows=4"], "snn-dense": ["array.rows=8", "array.cols=16"]}
# Spiking arrays have 128 adders as their authors built them; only the rest is made equal.
EQUAL_BUT_ARRAY = [setting for setting in EQUAL if not setting.startswith("array.")]
WEIGHT_SPARSE = (
    "systolic-32x32",
    "systolic-32x32-nm",
    "os-mesh",
    "tc",
    "stc",
    "stc-flexible",
    "stc-dual",
    "dstc",
    "sat",
    "sigma",
    "eyeriss-v2",
    "eie",
)

SPIKING = ("snn-dense", "mint", "spinalflow", "ptb", "sato", "loas", "prosperity")

INTRO = """# One sparse model on all accelerators

Written by `python benchmarks/comparison.py`. Every machine has 1,024 multiply-accumulate (or add) units, 512 KiB of
weight and of input buffer, 256 KiB of output buffer, 32 bytes a cycle of LPDDR4 and a clock of 1 GHz, whatever its own
preset says: what differs is what it does with zeros. Energy is for comparison (see `docs/modelling.md`). *Bound* is
what limited most of the cycles; *fallback* is the share of the cycles that ran on the dense fallback unit, because the
array cannot do the op.
"""


def table(graph: OpGraph, accelerators: Iterable[str], settings: Sequence[str] = EQUAL) -> str:
    """Return a Markdown table of one model on several accelerators; the first one is the baseline."""
    lines = [
        "| accelerator | cycles | speedup | energy uJ | effectual | skipped | gated | utilization | bound | fallback |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    base = None
    for name in accelerators:
        begin = time.perf_counter()
        try:
            report = codesign.simulate(graph, name, settings=[*settings, *OWN.get(name, [])])
        except InputError as error:
            lines.append(f"| {name} | {error} | | | | | | | | |")
            continue
        base = base or report.total_cycles
        lines.append(row(report, base))
        print(f"{graph.name} on {name}: {time.perf_counter() - begin:.1f} s", file=sys.stderr)
    return "\n".join(lines)


def row(report: Report, base: int) -> str:
    """Return one accelerator's row."""
    ops = [op for op in report.ops if op.fused_into is None]
    dense = sum(op.dense_macs for op in ops)
    shares = [
        100 * sum(part) / dense
        for part in (
            [op.effectual_macs for op in ops],
            [op.skipped_macs for op in ops],
            [op.gated_macs for op in ops],
        )
    ]
    bound: dict[str, int] = {}
    for op in ops:
        what = op.bound_by if op.unit == "array" else f"{op.unit} unit"
        bound[what] = bound.get(what, 0) + op.cycles
    most = max(bound, key=lambda what: bound[what])
    fallback = sum(op.cycles for op in ops if op.unit == "fallback") / report.total_cycles
    return (
        f"| {report.config.name} | {report.total_cycles:,} | {base / report.total_cycles:.2f}x"
        f" | {report.total_energy_pj / 1e6:,.0f} | {shares[0]:.0f} % | {shares[1]:.0f} % | {shares[2]:.0f} %"
        f" | {100 * report.utilization:.1f} % | {most} ({100 * bound[most] / report.total_cycles:.0f} %)"
        f" | {100 * fallback:.0f} % |"
    )


class Spiking(torch.nn.Module):
    """Two convolutions and a classifier of leaky integrate-and-fire neurons, over a loop of timesteps."""

    def __init__(self) -> None:
        super().__init__()
        convolutions = [torch.nn.Conv2d(2, 32, 3, padding=1), torch.nn.Conv2d(32, 64, 3, 2, padding=1)]
        self.layers = torch.nn.ModuleList([*convolutions, torch.nn.Linear(64 * 16 * 16, 10)])
        self.neurons = torch.nn.ModuleList([Lif(rate=0.5, threshold=0.15, reset="subtract") for _ in range(3)])

    def forward(self, events: torch.Tensor) -> torch.Tensor:
        """Return spike counts by class for events of shape (timesteps, batch, 2, 32, 32)."""
        states: list[State | None] = [None, None, None]
        counts = torch.zeros(events.shape[1], 10)
        for event in events:
            spikes = event
            for i, (layer, neuron) in enumerate(zip(self.layers, self.neurons, strict=True)):
                current = layer(spikes.flatten(1) if i == 2 else spikes)
                state = states[i]
                spikes, states[i] = neuron(current, neuron.initial(current) if state is None else state)
            counts = counts + spikes
        return counts


def spiking_graph() -> OpGraph:
    """Return the spiking network on seeded random events, 5 % of the pixels in each of 8 timesteps."""
    torch.manual_seed(0)
    return codesign.trace(Spiking(), (torch.rand(8, 1, 2, 32, 32) < 0.05).float(), name="spiking")


def gru_graphs() -> tuple[OpGraph, OpGraph]:
    """Return the zoo's GRU on a slowly changing sequence, as it is and fed by changes beyond 0.1."""
    torch.manual_seed(0)
    graph = codesign.load_model("zoo:gru")
    assert graph.program is not None
    (example,) = graph.program.example_inputs
    sequence = (torch.randn_like(example) * 0.1).cumsum(dim=1)
    return codesign.capture(graph, sequence), capture_delta(graph, sequence, threshold=0.1)


def main() -> None:
    """Print the page."""
    print(INTRO)
    resnet = codesign.capture(codesign.load_model("zoo:resnet50"))
    for pattern in ("2:4", "2:8", "unstructured:0.9"):
        graph = codesign.capture(codesign.sparsify(resnet, pattern))
        print(f"## ResNet-50, weights {pattern}, one image (seeded random weights and input)\n")
        print(table(graph, WEIGHT_SPARSE) + "\n")
    plain, changes = gru_graphs()
    print("## GRU of two layers of 256, 50 frames that change slowly (seeded random walk)\n")
    print(table(plain, ("systolic-32x32", "eie", "edgedrnn")) + "\n")
    print("The same, fed by changes of more than 0.1:\n")
    print(table(changes, ("systolic-32x32", "edgedrnn")) + "\n")
    print("## Spiking network of two convolutions and a classifier, 8 timesteps (seeded random weights and events)\n")
    print("All of these have 128 adders, as the presets do.\n")
    print(table(spiking_graph(), SPIKING, EQUAL_BUT_ARRAY))


if __name__ == "__main__":
    main()
