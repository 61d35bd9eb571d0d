"""Llama 2 7B: Touvron et al., arXiv:2307.09288, whose decoder is arXiv:2302.13971's, section 2.2."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

Turn = tuple[Tensor, Tensor]


def rotary(tokens: int, head_dim: int, device: torch.device) -> Turn:
    """Return cosine and sine (tokens, head_dim / 2) of the angle by which each pair of a head turns.

    Su et al., "RoFormer", arXiv:2104.09864, section 3.4.2.
    """
    rates = 10000.0 ** (-torch.arange(0, head_dim, 2, device=device) / head_dim)
    angles = torch.arange(tokens, device=device)[:, None] * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: Turn) -> Tensor:
    """Turn the pairs (i, i + head_dim / 2) of the last axis; x is (..., tokens, head_dim)."""
    first, second = x.chunk(2, -1)
    cos, sin = turn
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions and no biases."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        """Return a tensor of x's shape (batch, tokens, dim)."""
        query, key, value = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for project in (self.query, self.key, self.value)
        )
        mixed: Tensor = functional.scaled_dot_product_attention(
            rotate(query, turn), rotate(key, turn), value, is_causal=True
        )
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention and a SwiGLU MLP, each behind an RMS norm and beside a shortcut."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(dim, eps=1e-5)
        self.attention = Attention(dim, heads)
        self.mlp_norm = nn.RMSNorm(dim, eps=1e-5)
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        """Return a tensor of x's shape (batch, tokens, dim)."""
        x = x + self.attention(self.attention_norm(x), turn)
        y = self.mlp_norm(x)
        out: Tensor = x + self.down(functional.silu(self.gate(y)) * self.up(y))
        return out


class Llama(nn.Module):
    """Embedding, decoder blocks, RMS norm, output matrix of its own (not tied to the embedding)."""

    def __init__(self, *, vocabulary: int, layers: int, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.head_dim = dim // heads
        self.words = nn.Embedding(vocabulary, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        self.output = nn.Linear(dim, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (batch, tokens, vocabulary) of a prompt of token numbers (batch, tokens)."""
        turn = rotary(tokens.shape[1], self.head_dim, tokens.device)
        x = self.words(tokens)
        for block in self.blocks:
            x = block(x, turn)
        logits: Tensor = self.output(self.norm(x))
        return logits


def llama2_7b(*, reduced: bool = False) -> tuple[Llama, tuple[Tensor]]:
    """Return Llama 2 7B on torch's meta device (shapes, no weights) and a prompt of 128 tokens.

    The reduced one is a narrow block with real weights and 16 tokens.
    """
    if reduced:
        small = Llama(vocabulary=100, layers=1, dim=64, heads=4, hidden=172)
        return small, (torch.randint(100, (1, 16)),)
    with torch.device("meta"):
        model = Llama(vocabulary=32000, layers=32, dim=4096, heads=32, hidden=11008)
        return model, (torch.randint(32000, (1, 128)),)
