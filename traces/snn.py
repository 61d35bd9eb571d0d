"""SNN: spiking neurons as torch modules, with their discretisation and reset stated.

A neuron takes the input of one timestep and its state, and returns spikes (0 or 1) and the new state. Time is
discretised by forward Euler with step dt; the membrane of a CuBa-LIF sees the current of the same step:

    IF        v <- v + dt*r*x
    LIF       v <- v + dt/tau*(v_leak - v + r*x)
    CuBa-LIF  i <- i + dt/tau_syn*(w_in*x - i);  v <- v + dt/tau*(v_leak - v + r*i)

Then the neuron fires and is reset in the same step: ``zero`` sets v to v_reset (0 unless given), ``subtract`` takes the
threshold off. It fires at v >= threshold, or, if ``strict``, only above it, as snnTorch and NIR have it. The familiar
v <- beta*v + x is LIF with dt/tau = 1 - beta and r = 1/(1 - beta); snnTorch resets one step later by default.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from traces.errors import InputError

State = tuple[Tensor, ...]
Parameter = float | Tensor


class Neuron(nn.Module, ABC):
    """What all neurons share: firing and reset.

    Parameters
    ----------
    threshold, v_reset
        Of the membrane; numbers, or tensors that broadcast against the input.
    reset
        ``subtract`` or ``zero`` (to ``v_reset``).
    strict
        Fire only above the threshold, not at it.

    Raises
    ------
    InputError
        If ``reset`` is neither.
    """

    states = 1

    def __init__(
        self,
        *,
        threshold: Parameter = 1.0,
        v_reset: Parameter = 0.0,
        reset: Literal["subtract", "zero"] = "subtract",
        strict: bool = False,
    ) -> None:
        super().__init__()
        if reset not in ("subtract", "zero"):
            raise InputError.must("reset", "subtract or zero", reset)
        self.reset, self.strict = reset, strict
        self.keep(threshold=threshold, v_reset=v_reset)

    def keep(self, **values: Parameter) -> None:
        """Keep parameters as buffers."""
        for name, value in values.items():
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))

    def initial(self, like: Tensor) -> State:
        """Return the state before the first timestep: zeros like the input."""
        return (torch.zeros_like(like),) * self.states

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return spikes of shape like ``x`` and the state after this timestep; the membrane is its last tensor."""
        *others, v = self.integrate(x, state)
        threshold, v_reset = self.get_buffer("threshold"), self.get_buffer("v_reset")
        spikes = ((v > threshold) if self.strict else (v >= threshold)).to(x.dtype)
        v = v - spikes * threshold if self.reset == "subtract" else torch.where(spikes != 0, v_reset, v)
        return spikes, (*others, v)

    @abstractmethod
    def integrate(self, x: Tensor, state: State) -> State:
        """Return the state before firing."""


class If(Neuron):
    """Integrate and fire: the gain is dt*r."""

    def __init__(
        self,
        *,
        gain: Parameter = 1.0,
        threshold: Parameter = 1.0,
        v_reset: Parameter = 0.0,
        reset: Literal["subtract", "zero"] = "subtract",
        strict: bool = False,
    ) -> None:
        super().__init__(threshold=threshold, v_reset=v_reset, reset=reset, strict=strict)
        self.keep(gain=gain)

    def integrate(self, x: Tensor, state: State) -> State:
        """Return (v,)."""
        return (state[0] + self.get_buffer("gain") * x,)


class Lif(Neuron):
    """Leaky integrate and fire: the rate is dt/tau."""

    def __init__(
        self,
        *,
        rate: Parameter,
        r: Parameter = 1.0,
        v_leak: Parameter = 0.0,
        threshold: Parameter = 1.0,
        v_reset: Parameter = 0.0,
        reset: Literal["subtract", "zero"] = "subtract",
        strict: bool = False,
    ) -> None:
        super().__init__(threshold=threshold, v_reset=v_reset, reset=reset, strict=strict)
        self.keep(rate=rate, r=r, v_leak=v_leak)

    def integrate(self, x: Tensor, state: State) -> State:
        """Return (v,)."""
        v = state[-1]
        return (v + self.get_buffer("rate") * (self.get_buffer("v_leak") - v + self.get_buffer("r") * x),)


class CubaLif(Lif):
    """Current-based leaky integrate and fire: ``rate_syn`` is dt/tau_syn, ``rate`` dt/tau of the membrane."""

    states = 2

    def __init__(
        self,
        *,
        rate_syn: Parameter,
        rate: Parameter,
        w_in: Parameter = 1.0,
        r: Parameter = 1.0,
        v_leak: Parameter = 0.0,
        threshold: Parameter = 1.0,
        v_reset: Parameter = 0.0,
        reset: Literal["subtract", "zero"] = "subtract",
        strict: bool = False,
    ) -> None:
        super().__init__(
            rate=rate, r=r, v_leak=v_leak, threshold=threshold, v_reset=v_reset, reset=reset, strict=strict
        )
        self.keep(rate_syn=rate_syn, w_in=w_in)

    def integrate(self, x: Tensor, state: State) -> State:
        """Return (i, v)."""
        current = state[0] + self.get_buffer("rate_syn") * (self.get_buffer("w_in") * x - state[0])
        return (current, *super().integrate(current, state))
