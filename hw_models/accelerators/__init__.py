"""The accelerators on offer: presets by name, or a config file of your own.

>>> from hw_models.accelerators import load_accelerator
>>> load_accelerator("systolic-32x32", ["array.rows=64"]).pes
2048
"""

from hw_models.accelerators.registry import load_accelerator, preset_names

__all__ = ["load_accelerator", "preset_names"]
