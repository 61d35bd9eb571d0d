"""The accelerators on offer: presets by name, or a config file of your own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from hw_models.base import AcceleratorConfig
from hw_models.config import config_file, config_names, read_yaml, with_settings
from traces.errors import InputError

#: Module and config class of each kind of accelerator; imported when one is asked for.
KINDS = {
    "systolic": "hw_models.systolic.config:SystolicConfig",
    "delta-conv": "hw_models.accelerators.delta_conv:DeltaConvConfig",
    "dstc": "hw_models.accelerators.dstc:DstcConfig",
    "edgedrnn": "hw_models.accelerators.edgedrnn:EdgeDrnnConfig",
    "eie": "hw_models.accelerators.eie:EieConfig",
    "eyeriss-v2": "hw_models.accelerators.eyeriss_v2:EyerissV2Config",
    "loas": "hw_models.accelerators.loas:LoasConfig",
    "mint": "hw_models.accelerators.mint:MintConfig",
    "os-mesh": "hw_models.accelerators.os_mesh:OsMeshConfig",
    "prosperity": "hw_models.accelerators.prosperity:ProsperityConfig",
    "ptb": "hw_models.accelerators.ptb:PtbConfig",
    "sat": "hw_models.accelerators.sat:SatConfig",
    "sato": "hw_models.accelerators.sato:SatoConfig",
    "sigma": "hw_models.accelerators.sigma:SigmaConfig",
    "snn-dense": "hw_models.accelerators.snn_dense:SnnDenseConfig",
    "spinalflow": "hw_models.accelerators.spinalflow:SpinalFlowConfig",
    "tensor-core": "hw_models.accelerators.tensor_core:TensorCoreConfig",
}

_PRESETS = Path(__file__).parents[1] / "presets"


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the package, sorted."""
    return config_names(_PRESETS)


def load_accelerator(name_or_path: str, settings: Iterable[str] = ()) -> AcceleratorConfig:
    """Return a preset or the config in a YAML file, with ``key=value`` settings laid over it.

    >>> load_accelerator("systolic-32x32", ["array.rows=64"]).pes
    2048

    Raises
    ------
    InputError
        If there is no such preset or file, or a value is wrong; the message names the key and the rule.
    """
    more = "`codesign accelerators` lists them all, and a path to a .yaml file works too"
    path = config_file(name_or_path, _PRESETS, "accelerator", more)
    return read_accelerator(with_settings(read_yaml(path), settings), name_or_path)


def read_accelerator(values: dict[str, Any], where: str) -> AcceleratorConfig:
    """Check the values of a config and return it; ``where`` begins the messages.

    Raises
    ------
    InputError
        If a value is wrong; the message names the key and the rule.
    """
    kind = values.get("kind")
    if kind not in KINDS:
        raise InputError.must(f"{where}: kind", f"one of {', '.join(KINDS)}", kind)
    module, name = KINDS[kind].split(":")
    config: type[AcceleratorConfig] = getattr(import_module(module), name)
    return config.read(values, where)
