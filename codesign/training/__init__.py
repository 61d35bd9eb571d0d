"""Training: from a traced forward graph to a whole training step, as a graph that any accelerator can run.

>>> import torch, codesign
>>> from codesign.training import training_step
>>> model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
>>> step = training_step(codesign.trace(model, torch.ones(8, 64), name="mlp"))
>>> [op.name for op in step]  # doctest: +NORMALIZE_WHITESPACE
['0.fwd', '1.fwd', '2.fwd', 'loss', '2.dgrad', '2.wgrad', '2.update', '1.dgrad', '0.wgrad', '0.update']
"""

from codesign.training.batch import with_batch
from codesign.training.step import training_step

__all__ = ["training_step", "with_batch"]
