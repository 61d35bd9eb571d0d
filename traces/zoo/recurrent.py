"""GRU and LSTM: small keyword-spotting nets of our own, the size used on speech command sets."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Speech(nn.Module):
    """Two recurrent layers over frames of audio features, classifier on the last frame."""

    def __init__(self, cell: type[nn.GRU] | type[nn.LSTM], features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.recurrent = cell(features, hidden, num_layers=2, batch_first=True)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits (batch, classes) of frames (batch, timesteps, features)."""
        states, _ = self.recurrent(frames)
        logits: Tensor = self.classifier(states[:, -1])
        return logits


def gru(*, reduced: bool = False) -> tuple[Speech, tuple[Tensor]]:
    """Return the net with GRU cells and half a second of frames, or a narrow one and 5 frames."""
    return _speech(nn.GRU, reduced)


def lstm(*, reduced: bool = False) -> tuple[Speech, tuple[Tensor]]:
    """Return the net with LSTM cells and half a second of frames, or a narrow one and 5 frames."""
    return _speech(nn.LSTM, reduced)


def _speech(cell: type[nn.GRU] | type[nn.LSTM], reduced: bool) -> tuple[Speech, tuple[Tensor]]:
    features, hidden, timesteps = (8, 16, 5) if reduced else (40, 256, 50)
    return Speech(cell, features, hidden, classes=12), (torch.randn(1, timesteps, features),)
