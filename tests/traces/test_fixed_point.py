"""Fixed-point weights."""

import numpy as np
import pytest
import torch
from torch import nn

import traces
from traces.errors import InputError
from traces.fixed_point import quantise_weights


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_weights_are_multiples_of_a_power_of_two_that_fit(bits):
    """Each weight is the nearest of the integers that the bits hold, times the smallest step with which all fit."""
    torch.manual_seed(0)
    graph = traces.trace(nn.Linear(30, 20), torch.ones(1, 30))
    (before,), (after,) = graph.weights.values(), quantise_weights(graph, bits).weights.values()
    most = 2 ** (bits - 1) - 1
    step = next(2.0**e for e in range(-40, 10) if np.abs(before).max() <= most * 2.0**e)
    levels = after / step
    assert np.array_equal(levels, np.round(levels))
    assert np.abs(levels).max() <= most
    assert np.abs(after - before).max() <= step / 2
    assert after.dtype == np.float32


def test_all_zero_weights_stay():
    """A layer of zeros has no step, and needs none."""
    graph = traces.trace(nn.Linear(3, 2), torch.ones(1, 3))
    zeros = graph.with_weights({"weight": np.zeros((1, 2, 3), np.float32)}, {})
    assert not quantise_weights(zeros).weights["weight"].any()


def test_bad_widths_are_refused():
    """Widths that no weight has, and graphs without weights, are told in a sentence."""
    graph = traces.trace(nn.Linear(3, 2), torch.ones(1, 3))
    with pytest.raises(InputError, match="bits must be a whole number from 2 to 16, not 1"):
        quantise_weights(graph, 1)
    with pytest.raises(InputError, match="has no weights in memory to round"):
        quantise_weights(traces.trace(nn.Linear(3, 2, device="meta"), torch.ones(1, 3)))
