"""The zoo: well-known networks in plain torch, with seeded weights and inputs.

A model here has the published shapes, not the published weights: its values are random. Torch is imported
when one is built. A MobileNet comes in other widths too, and mobile networks with other image sizes:
``mobilenet_v2@0.75``, ``efficientnet_b0@160``, ``mobilenet_v1@0.75-160``.

>>> sorted(ZOO)[:3]
['bert_base', 'efficientnet_b0', 'efficientnet_b1']
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

from traces.errors import InputError
from traces.zoo.entry import ZooEntry

if TYPE_CHECKING:
    from torch import Tensor, nn

_IMAGE = ("image",)
_BOTH = ("width", "image")

ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry("mobilenet_v1", "MobileNet v1, 224x224 image", "traces.zoo.mobilenet:mobilenet_v1", _BOTH),
        ZooEntry("mobilenet_v2", "MobileNet v2, 224x224 image", "traces.zoo.mobilenet:mobilenet_v2", _BOTH),
        ZooEntry("mobilenet_v3_large", "MobileNet v3 large, 224x224 image", "traces.zoo.mobilenet_v3:large", _IMAGE),
        ZooEntry("mobilenet_v3_small", "MobileNet v3 small, 224x224 image", "traces.zoo.mobilenet_v3:small", _IMAGE),
        ZooEntry("efficientnet_b0", "EfficientNet-B0, 224x224 image", "traces.zoo.efficientnet:b0", _IMAGE),
        ZooEntry("efficientnet_b1", "EfficientNet-B1, 240x240 image", "traces.zoo.efficientnet:b1", _IMAGE),
        ZooEntry("resnet18", "ResNet-18, 224x224 image", "traces.zoo.resnet:resnet18"),
        ZooEntry("resnet50", "ResNet-50 v1.5, 224x224 image", "traces.zoo.resnet:resnet50"),
        ZooEntry("vgg19", "VGG-19 with batch norm, 224x224 image", "traces.zoo.vgg:vgg19"),
        ZooEntry("vit_b16", "ViT-B/16, 224x224 image", "traces.zoo.vit:vit_b16"),
        ZooEntry("bert_base", "BERT base encoder, 128 tokens", "traces.zoo.bert:bert_base"),
        ZooEntry("gru", "two GRU layers of 256, 50 frames of speech", "traces.zoo.recurrent:gru"),
        ZooEntry("lstm", "two LSTM layers of 256, 50 frames of speech", "traces.zoo.recurrent:lstm"),
        ZooEntry("llama2_7b", "Llama 2 7B, prompt of 128 tokens, shapes only", "traces.zoo.llama:llama2_7b"),
    )
}


def find(name: str) -> ZooEntry | None:
    """Return the entry of a name such as ``resnet50``, ``zoo:resnet50`` or ``ViT-B16``; None if unknown.

    A scale after the name gives a variant of the entry, whose name has the scale too.

    Raises
    ------
    InputError
        If the zoo has the network, but not at that scale.
    """
    base, at, scale = _split(name)
    entry = ZOO.get(base)
    if entry is None or ":" in scale:  # resnet50@2.py:make is a file's function
        return None
    return entry.at(scale) if at else entry


def near_misses(name: str) -> list[str]:
    """Return up to three names of the zoo that are spelt almost like this one, best first."""
    return get_close_matches(_split(name)[0], ZOO, n=3)


def build(name: str, *, seed: int = 0, reduced: bool = False) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Build a network of the zoo, in evaluation mode, and inputs for it.

    Parameters
    ----------
    name
        A key of `ZOO`, with a scale or without; ``zoo:`` before it and hyphens for underscores are accepted.
    seed
        Seeds weights and inputs; torch's global random state is left as it was.
    reduced
        Build the same code with one block of each kind, few channels and a small input, for quick tests. A
        width still counts, an image size does not.

    Returns
    -------
    model, inputs
        Inputs are float32 standard normal images (1, 3, height, width) or frames (1, timesteps, features), or
        int64 token numbers (1, tokens). ``llama2_7b`` and its inputs stand on the meta device, without data.

    Raises
    ------
    InputError
        If the zoo has no such name or scale.
    """
    entry = find(name)
    if entry is None:
        raise InputError.must("the zoo's model", f"one of {', '.join(sorted(ZOO))}", name)
    import torch

    module, _, function = entry.factory.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, inputs = getattr(import_module(module), function)(reduced=reduced, **entry.arguments)
    return model.eval(), inputs


def _split(name: str) -> tuple[str, str, str]:
    """Return key, ``@`` and scale, the last two empty where there is no ``@``."""
    base, at, scale = name.strip().lower().removeprefix("zoo:").partition("@")
    return base.replace("-", "_"), at, scale
