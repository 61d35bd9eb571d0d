"""The few messages of an ONNX model, encoded by hand: one node needs no library of 20 MB.

A protocol buffer is a row of fields: a number, a wire type, and an integer or a counted run of bytes. The field numbers
are those of ``onnx.proto3`` (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

IR_VERSION, OPSET = 8, 13
FLOAT = 1
"""``TensorProto.DataType``."""
INT, STRING, INTS = 2, 3, 7
"""``AttributeProto.AttributeType``."""

Attribute = int | str | Sequence[int]


def _varint(number: int) -> bytes:
    """Return a non-negative integer, seven bits a byte, lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(key: int, value: int | str | bytes) -> bytes:
    """Return one field: an integer as a varint, text and messages as counted bytes."""
    if isinstance(value, int):
        return _varint(key << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(key << 3 | 2) + _varint(len(content)) + content


def _tensor(name: str, x: NDArray[np.float32]) -> bytes:
    """Return a TensorProto: dims 1, data_type 2, name 8, raw_data 9 (little-endian)."""
    dims = b"".join(_field(1, size) for size in x.shape)
    return dims + _field(2, FLOAT) + _field(8, name) + _field(9, x.astype("<f4").tobytes())


def _value(name: str, shape: Sequence[int]) -> bytes:
    """Return a ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1, shape 2 { dim 1 { dim_value 1 } } } }."""
    dims = b"".join(_field(1, _field(1, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, FLOAT) + _field(2, dims)))


def _attribute(name: str, value: Attribute) -> bytes:
    """Return an AttributeProto: name 1, i 3, s 4, ints 8, type 20."""
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, INT)
    if isinstance(value, str):
        return _field(1, name) + _field(4, value) + _field(20, STRING)
    return _field(1, name) + b"".join(_field(8, item) for item in value) + _field(20, INTS)


def node(
    kind: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute] | None = None, domain: str = ""
) -> bytes:
    """Return a NodeProto: input 1, output 2, op_type 4, attribute 5, domain 7."""
    names = b"".join(_field(1, name) for name in inputs) + _field(2, output)
    values = b"".join(_field(5, _attribute(*item)) for item in (attributes or {}).items())
    return names + _field(4, kind) + values + _field(7, domain)


def model(
    nodes: Sequence[bytes],
    constants: Mapping[str, NDArray[np.float32]],
    x_shape: Sequence[int],
    y_shape: Sequence[int],
    domain: str = "",
) -> bytes:
    """Return a ModelProto whose graph takes float32 ``x`` to ``y``, with one more operator domain if given.

    GraphProto: node 1, name 2, initializer 5, input 11, output 12. ModelProto: ir_version 1, graph 7, opset_import 8.
    """
    graph = b"".join(_field(1, one) for one in nodes) + _field(2, "graph")
    graph += b"".join(_field(5, _tensor(*item)) for item in constants.items())
    graph += _field(11, _value("x", x_shape)) + _field(12, _value("y", y_shape))
    opsets = _field(8, _field(1, "") + _field(2, OPSET))
    if domain:
        opsets += _field(8, _field(1, domain) + _field(2, 1))
    return _field(1, IR_VERSION) + _field(7, graph) + opsets
