"""Packed sparse matrices: one frozen class a format, each an exact, lossless copy of a dense one.

All have ``pack(dense, ...)``, ``to_dense()``, ``shape``, ``nonzeros``, ``value_bits(bits)`` for values of that
many bits, and ``metadata_bits``. What is stored is what is counted: the padding of a short group or of an edge
block is stored, so it counts as values. A negative zero is a zero, and comes back as a positive one.
"""

from kernels.formats.bitmask import Bitmask
from kernels.formats.block import Block
from kernels.formats.check import FormatError
from kernels.formats.csr import Csr
from kernels.formats.group import Group
from kernels.formats.nm import NM, nm_metadata_bits
from kernels.formats.tiles import compressed_bits

__all__ = ["NM", "Bitmask", "Block", "Csr", "FormatError", "Group", "compressed_bits", "nm_metadata_bits"]
