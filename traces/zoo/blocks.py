"""Blocks that several families of the zoo share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, bias: bool = False
) -> list[nn.Module]:
    """Return a convolution that keeps the image's size (divided by its stride), and its batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
    return [conv, nn.BatchNorm2d(outputs)]


def he_init(model: nn.Module) -> None:
    """Draw convolutions as He et al. (2015) do, so that random weights keep the activations' variance.

    With torch's default the activations of a deep random network fade to nothing, and so would the share of
    zeros behind its ReLUs.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


class SelfAttention(nn.Module):
    """Multi-head self-attention of (batch, tokens, dim), as in Vaswani et al. (2017), not causal."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of x's shape."""
        query, key, value = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for project in (self.query, self.key, self.value)
        )
        mixed: Tensor = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return out
