"""ViT-B/16: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, table 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from traces.zoo.blocks import SelfAttention


class Block(nn.Module):
    """Attention and a GELU MLP of four times the width, each behind a layer norm and beside a shortcut."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
        self.attention = SelfAttention(dim, heads)
        self.mlp_norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of x's shape (batch, tokens, dim)."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y


class VisionTransformer(nn.Module):
    """Patches as tokens behind a class token, encoder blocks, classifier on the class token."""

    def __init__(self, *, image: int, patch: int, layers: int, dim: int, heads: int, classes: int = 1000) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, dim, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + (image // patch) ** 2, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.classifier = nn.Linear(dim, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (batch, classes) of images (batch, 3, image, image)."""
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        class_token = self.class_token.expand(image.shape[0], -1, -1)
        encoded = self.blocks(torch.cat([class_token, tokens], 1) + self.positions)
        logits: Tensor = self.classifier(self.norm(encoded)[:, 0])
        return logits


def vit_b16(*, reduced: bool = False) -> tuple[VisionTransformer, tuple[Tensor]]:
    """Return ViT-B/16 and an image, or one narrow block of it on a small image."""
    if reduced:
        small = VisionTransformer(image=32, patch=16, layers=1, dim=64, heads=4, classes=10)
        return small, (torch.randn(1, 3, 32, 32),)
    return VisionTransformer(image=224, patch=16, layers=12, dim=768, heads=12), (torch.randn(1, 3, 224, 224),)
