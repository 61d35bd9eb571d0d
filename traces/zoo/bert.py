"""BERT base, uncased: Devlin et al., NAACL 2019, section 3; the encoder with its pooler."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from traces.zoo.blocks import SelfAttention


class Block(nn.Module):
    """Attention and a GELU MLP, each with a shortcut and a layer norm behind it."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads)
        self.attention_norm = nn.LayerNorm(dim, eps=1e-12)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)
        self.mlp_norm = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of x's shape (batch, tokens, dim)."""
        x = self.attention_norm(x + self.attention(x))
        y: Tensor = self.mlp_norm(x + self.down(functional.gelu(self.up(x))))
        return y


class Bert(nn.Module):
    """Embeddings of words, positions and segments, encoder blocks, pooler on the first token."""

    def __init__(self, *, vocabulary: int, positions: int, layers: int, dim: int, heads: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim)
        self.positions = nn.Embedding(positions, dim)
        self.segments = nn.Embedding(2, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-12)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(layers)))
        self.pooler = nn.Linear(dim, dim)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the pooled (batch, dim) of one segment of token numbers (batch, tokens)."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        embedded = self.words(tokens) + self.positions(places) + self.segments(torch.zeros_like(tokens))
        encoded = self.blocks(self.norm(embedded))
        return torch.tanh(self.pooler(encoded[:, 0]))


def bert_base(*, reduced: bool = False) -> tuple[Bert, tuple[Tensor]]:
    """Return BERT base and 128 tokens, or one narrow block of it and 16 tokens."""
    if reduced:
        small = Bert(vocabulary=100, positions=32, layers=1, dim=64, heads=4)
        return small, (torch.randint(100, (1, 16)),)
    model = Bert(vocabulary=30522, positions=512, layers=12, dim=768, heads=12)
    return model, (torch.randint(30522, (1, 128)),)
