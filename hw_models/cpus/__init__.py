"""Cycle-level models of CPU cores: an issue-port scheduler, caches fed with real addresses, and several cores.

>>> from hw_models.cpus import cpu_names, load_cpu
>>> load_cpu("cortex-a76", ["clock_hz=2.8e9"]).clock_hz
2800000000.0
"""

from hw_models.cpus.config import CpuConfig
from hw_models.cpus.registry import cpu_names, load_cpu

__all__ = ["CpuConfig", "cpu_names", "load_cpu"]
