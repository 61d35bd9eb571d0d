"""Batch norm folding."""

import pytest
import torch
from torch import nn

import traces


def norm(channels, dimensions):
    """Return a batch norm with statistics and weights that matter."""
    module = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimensions](channels)
    for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
        nn.init.uniform_(tensor, 0.5, 2)
    return module


class Branches(nn.Module):
    """A convolution whose output is read twice, and one that is called twice."""

    def __init__(self):
        super().__init__()
        self.read_twice, self.called_twice = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.norms = nn.ModuleList(norm(2, 2) for _ in range(3))

    def forward(self, x):
        """Run it."""
        x = self.read_twice(x)
        x = x + self.norms[0](x)
        return self.norms[2](self.called_twice(self.norms[1](self.called_twice(x))))


FOLDED = [
    (nn.Sequential(nn.Conv1d(4, 6, 3, groups=2, bias=False), norm(6, 1)), (2, 4, 5)),
    (nn.Sequential(nn.Conv2d(4, 6, 3, padding="same"), norm(6, 2)), (2, 4, 5, 5)),
    (nn.Sequential(nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4, affine=False)), (2, 2, 3, 3, 3)),
    (nn.Sequential(nn.Linear(4, 6), norm(6, 1)), (3, 4)),
]
KEPT = [
    (nn.Sequential(nn.Linear(4, 6), norm(3, 1)), (2, 3, 4)),  # normalises the rows, not the features
    (nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)), (2, 2, 3, 3)),
    (nn.Sequential(nn.ConvTranspose2d(2, 2, 2), norm(2, 2)), (2, 2, 3, 3)),
    (Branches(), (2, 2, 3, 3)),
]


@pytest.mark.parametrize(
    ("model", "size", "folds"), [(*case, True) for case in FOLDED] + [(*case, False) for case in KEPT]
)
def test_folding_keeps_the_result(model, size, folds):
    """With its own weights the program equals torch, whether or not a norm can be folded."""
    torch.manual_seed(0)
    inputs = torch.randn(size)
    graph = traces.trace(model, inputs)
    torch.testing.assert_close(graph.program.run((inputs,), graph.weights), model.eval()(inputs), rtol=1e-4, atol=1e-5)
    assert ("batch_norm" not in [op.kind for op in graph]) == folds


def test_the_model_keeps_its_weights():
    """Folding changes the program's weights only, under the convolution's name."""
    model, inputs = nn.Sequential(nn.Conv2d(2, 3, 1), norm(3, 2)), torch.randn(1, 2, 2, 2)
    before = model[0].weight.detach().clone()
    graph = traces.trace(model, inputs)
    scale = model[1].weight / (model[1].running_var + model[1].eps).sqrt()
    want = (before * scale[:, None, None, None]).detach().reshape(1, 3, 2)
    torch.testing.assert_close(torch.tensor(graph.weights["0.weight"]), want)
    assert torch.equal(model[0].weight, before)
