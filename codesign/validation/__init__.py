"""Validation: other people's published or measured figures, and ours beside them."""

from codesign.validation.anchor import Anchor, Missing
from codesign.validation.run import TOPICS, all_anchors

__all__ = ["TOPICS", "Anchor", "Missing", "all_anchors"]
