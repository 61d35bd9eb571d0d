"""Delta cells: DeltaGRU and DeltaLSTM, which multiply only by what changed since it was last sent.

DeltaGRU is that of Neil et al., "Delta Networks for Optimized Recurrent Network Computation", ICML 2017, as EdgeDRNN
(arXiv 2012.13600) runs it; DeltaLSTM applies the same rule to torch's LSTM. The gate sums are accumulators M::

    dx = x - xp, zero where |dx| < threshold, else xp = x        (dh likewise, of the state before the step)
    M_r += W_ir dx + W_hr dh     M_z += W_iz dx + W_hz dh     M_n += W_in dx     M_hn += W_hn dh
    r, z = sigmoid(M_r), sigmoid(M_z)     n = tanh(M_n + r * M_hn)     h = (1 - z) * n + z * h

They start at the biases; xp and hp start at zero. Sums are kept in float64, as the wide accumulators of hardware,
so that a long sequence does not drift from the dense result by rounding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from traces.delta_rule import DeltaRule


@dataclass(frozen=True, slots=True)
class CellRun:
    """What one layer gave: its result as torch returns it, and where dx (T * batch, in) and dh were not zero."""

    result: tuple[Tensor, ...]
    input_changes: NDArray[np.bool_]
    hidden_changes: NDArray[np.bool_]


def run_cell(
    kind: str, sequence: Tensor, states: Sequence[Tensor], params: Sequence[Tensor], rule: DeltaRule
) -> CellRun:
    """Run one layer, one way, over a sequence.

    Parameters
    ----------
    kind
        ``gru`` or ``lstm``.
    sequence
        (timesteps, batch, in).
    states
        Initial h, and for an LSTM c, each (1, batch, hidden).
    params
        W_ih, W_hh and, if the layer has biases, b_ih and b_hh, with torch's order of gates.
    rule
        Thresholds; with a quantum, inputs and h are rounded to it (gate sums and c are not).
    """
    w_ih, w_hh, *biases = (parameter.double() for parameter in params)
    h, *cell = (on_grid(state[0].double(), rule) for state in states)
    b_ih, b_hh = biases or (w_ih.new_zeros(len(w_ih)), w_ih.new_zeros(len(w_ih)))
    from_x, from_h = b_ih.expand(len(h), -1), b_hh.expand(len(h), -1)
    seen_x, seen_h = torch.zeros_like(sequence[0], dtype=torch.double), torch.zeros_like(h)
    outputs, input_changes, hidden_changes = [], [], []
    for x in on_grid(sequence.double(), rule):
        dx, seen_x = _change(x, seen_x, rule.threshold)
        dh, seen_h = _change(h, seen_h, rule.hidden)
        from_x, from_h = from_x + dx @ w_ih.T, from_h + dh @ w_hh.T
        if kind == "gru":
            h = _gru(from_x, from_h, h)
        else:
            h, cell[0] = _lstm(from_x + from_h, cell[0])
        h = on_grid(h, rule)
        outputs.append(h)
        input_changes.append((dx != 0).numpy(force=True))
        hidden_changes.append((dh != 0).numpy(force=True))
    result = (torch.stack(outputs), *(state[None] for state in (h, *cell)))
    return CellRun(
        tuple(value.to(sequence.dtype) for value in result),
        np.concatenate(input_changes),
        np.concatenate(hidden_changes),
    )


def on_grid(values: Tensor, rule: DeltaRule) -> Tensor:
    """Return the values rounded to the rule's quantum, if it has one."""
    return values if rule.quantum is None else torch.round(values / rule.quantum) * rule.quantum


def _change(now: Tensor, seen: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the change that is sent, zero below the threshold, and the value the receiver then knows."""
    delta = now - seen
    kept = delta.abs() < threshold
    return delta.masked_fill(kept, 0.0), torch.where(kept, seen, now)


def _gru(from_x: Tensor, from_h: Tensor, h: Tensor) -> Tensor:
    (xr, xz, xn), (hr, hz, hn) = from_x.chunk(3, -1), from_h.chunk(3, -1)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    return (1 - z) * torch.tanh(xn + r * hn) + z * h


def _lstm(sums: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = sums.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
