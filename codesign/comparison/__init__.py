"""Comparison: does the sparsity of a model buy real speed on CPUs? Simulated, and measured where a machine is at hand.

import codesign

result = codesign.compare("zoo:mobilenet_v1", weights="unstructured:0.9", cpus=["host", "cortex-a76"])
print(result.table(layers=True))
result["host"].errors  # how far simulated speedups are from measured ones
fig, ax = result.plot()
"""

from codesign.comparison.result import Comparison, CpuResult
from codesign.comparison.run import compare

__all__ = ["Comparison", "CpuResult", "compare"]
