"""ZooEntry: a network of the zoo, and its narrower, wider or smaller variants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from traces.errors import InputError

#: What may follow the @ of a name: a width (below 10), an image size (two digits or more), or both.
_SCALE = re.compile(r"(?P<width>\d?\.\d{1,4}|\d)(?:-(?P<image>\d+))?|(?P<image_alone>\d{2,})")
_RANGES = {"width": (0.1, 4), "image": (32, 1024)}


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One network of the zoo.

    Attributes
    ----------
    name
        As ``codesign zoo`` lists it; that of a variant ends in its scale, as in ``mobilenet_v2@0.75-160``.
    description
        What it is, in a few words.
    factory
        ``module:function`` of its factory.
    scales
        Which arguments of the factory a variant may set: ``width``, a factor on the channels, and ``image``,
        the height and width of the input in pixels.
    arguments
        Those that this one sets.
    """

    name: str
    description: str
    factory: str
    scales: tuple[str, ...] = ()
    arguments: Mapping[str, float] = field(default_factory=dict)

    @property
    def spellings(self) -> tuple[str, ...]:
        """How a variant's scale is written: ``@WIDTH``, ``@SIZE``, ``@WIDTH-SIZE``; empty if there is none."""
        written = {("image",): ("@SIZE",), ("width", "image"): ("@WIDTH", "@SIZE", "@WIDTH-SIZE")}
        return written.get(self.scales, ())

    def at(self, scale: str) -> ZooEntry:
        """Return the variant of a scale, which is what follows the @ in its name.

        >>> net = ZooEntry("net", "a net", "nets:net", ("width", "image"))
        >>> net.at("0.75-160").arguments
        {'width': 0.75, 'image': 160}
        >>> net.at("1.0").name
        'net@1'

        Raises
        ------
        InputError
            If the network has no such variant.
        """
        if not self.scales:
            raise InputError(f"{self.name} comes in one size only; leave out '@{scale}'")
        named = _SCALE.fullmatch(scale)
        arguments: dict[str, float] = {}
        if named and named["width"]:
            arguments["width"] = float(named["width"])
        if size := named and (named["image"] or named["image_alone"]):
            arguments["image"] = int(size)
        known = arguments and arguments.keys() <= set(self.scales)
        if not known or any(not _RANGES[key][0] <= value <= _RANGES[key][1] for key, value in arguments.items()):
            raise InputError.must(f"the scale of {self.name}", _rule(self.scales), scale)
        name = f"{self.name}@{'-'.join(f'{value:g}' for value in arguments.values())}"
        return replace(self, name=name, arguments=arguments)


def _rule(scales: tuple[str, ...]) -> str:
    (narrowest, widest), (smallest, largest) = _RANGES["width"], _RANGES["image"]
    size = f"an image size from {smallest} to {largest}"
    return f"a width from {narrowest} to {widest}, {size} or both (0.75-160)" if "width" in scales else size
