"""Engines by name."""

from __future__ import annotations

from kernels.arrays import KernelError
from kernels.wasm.cranelift import Wasmtime
from kernels.wasm.engine import Engine
from kernels.wasm.v8 import V8

ENGINES: dict[str, type[Wasmtime] | type[V8]] = {"wasmtime": Wasmtime, "v8": V8}


def start(name: str) -> Engine:
    """Return a running engine.

    Parameters
    ----------
    name
        ``wasmtime`` or ``v8``.

    Raises
    ------
    KernelError
        If there is no such engine.
    MissingEngineError
        If it is not on this machine; the sentence says what to install.
    """
    if name not in ENGINES:
        raise KernelError(f"a WebAssembly engine must be one of {', '.join(ENGINES)}, not {name!r}")
    return ENGINES[name]()
