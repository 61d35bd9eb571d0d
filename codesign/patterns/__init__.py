"""Sparsity patterns: which weights of an op are kept, and what it costs to say which.

A weight tensor is float32 of shape (groups, n, k): n output channels, k the reduction in the order (kernel_h,
kernel_w, channel) with the channel fastest. A ``run`` is the number of input channels, so k is a whole number
of runs.

>>> import numpy as np
>>> pattern = parse_pattern("2:4")
>>> pattern.mask(np.array([[[0.1, -3.0, 2.0, 0.5]]], np.float32), run=4)
array([[[False,  True,  True, False]]])
>>> pattern.metadata_bits((1, 64, 128), run=128)
8192
"""

from codesign.patterns.block import Block
from codesign.patterns.dense import Dense
from codesign.patterns.group import Group
from codesign.patterns.nm import NM
from codesign.patterns.parse import parse_pattern
from codesign.patterns.pattern import Pattern
from codesign.patterns.unstructured import Unstructured

__all__ = ["NM", "Block", "Dense", "Group", "Pattern", "Unstructured", "parse_pattern"]
