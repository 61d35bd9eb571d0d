"""Train a small CNN on real digits, prune it to 2:4, fine-tune it, and see what that is worth on an accelerator.

Run ``make demo``, or ``python examples/digits.py --out DIR``. The data are the 1,797 scanned 8x8 digits that come with
scikit-learn. The report folders of the dense and the sparse run are written to DIR.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import codesign

ACCELERATOR = "edge-16x16-nm"
IMAGES = 32  # test images simulated, as one batch


def cnn() -> nn.Module:
    """Return three convolutions with batch norm and a classifier: 8x8 images to 10 digits."""

    def block(channels: int, filters: int, *, pool: bool) -> list[nn.Module]:
        layers = [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        return [*layers, nn.MaxPool2d(2)] if pool else layers

    features = [*block(1, 32, pool=False), *block(32, 64, pool=True), *block(64, 128, pool=True)]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(128 * 4, 10))


def train(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    epochs: int,
    masks: codesign.Masks | None = None,
) -> None:
    """Train with Adam on shuffled batches of 64; masked weights stay zero."""
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
            if masks is not None:
                masks.apply()
    model.eval()


def main() -> None:
    """Run the whole story and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo-report"), help="folder for the two reports")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    learn, test = order[:1400], order[1400:]

    def accuracy(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(images[test]).argmax(1) == labels[test]).float().mean())

    model = cnn()
    train(model, images[learn], labels[learn], epochs=12)
    accuracies = {"dense": accuracy(model)}
    batch = images[test[:IMAGES]]
    dense = codesign.trace(model, batch, name="digits-dense")

    masks = codesign.Masks(model, codesign.sparsify(dense, "2:4"))
    masks.apply()
    accuracies["2:4, pruned"] = accuracy(model)
    train(model, images[learn], labels[learn], epochs=6, masks=masks)
    accuracies["2:4, fine-tuned"] = accuracy(model)
    sparse = codesign.sparsify(codesign.trace(model, batch, name="digits-2to4"), "2:4")

    print(f"scikit-learn digits, {len(learn)} to learn, {len(test)} to test; {masks}")
    print("test accuracy: " + "; ".join(f"{name} {100 * value:.1f} %" for name, value in accuracies.items()))
    reports = {}
    for graph in (dense, sparse):
        reports[graph.name] = codesign.simulate(graph, ACCELERATOR, verify=True)
        print(f"\n{reports[graph.name].table()}")
        reports[graph.name].save(out / graph.name)
    one, other = reports.values()
    print(
        f"\n2:4 on {ACCELERATOR}, {IMAGES} real test images: {one.total_cycles:,} -> {other.total_cycles:,} cycles,"
        f" {one.total_cycles / other.total_cycles:.2f}x faster; energy {one.total_energy_pj / 1e6:.2f} ->"
        f" {other.total_energy_pj / 1e6:.2f} uJ, {one.total_energy_pj / other.total_energy_pj:.2f}x less."
    )
    print(f"Reports: {out}/*/index.html; timeline.json in each opens at ui.perfetto.dev.")


if __name__ == "__main__":
    main()
