"""Engine: what runs WebAssembly, and what a program loaded into it can do."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kernels.loops.program import Program
from kernels.wasm.emit import PAGE, module


class MissingEngineError(RuntimeError):
    """An engine is not on this machine; the sentence says what to install."""


class Loaded(Protocol):
    """A program in an engine's memory, compiled."""

    def seconds(self, repeats: int) -> float:
        """Run the program so many times within the engine, and return the seconds of all, without the call's own."""

    def output(self) -> NDArray[np.float32]:
        """Return a copy of the result as it stands."""


class Engine(Protocol):
    """An engine.

    Attributes
    ----------
    name
        ``wasmtime`` or ``v8``.
    version
        What was found, in words: versions are part of every figure.
    fused
        Whether relaxed SIMD works, so that a multiply-add is one instruction.
    clock
        What its seconds are, in words.
    """

    name: str
    version: str
    fused: bool
    clock: str

    def load(self, program: Program, fused: bool | None = None) -> Loaded:
        """Compile a program and copy its memory; ``fused`` as the engine has it if not given."""

    def close(self) -> None:
        """End the engine."""


def text_and_memory(program: Program, fused: bool) -> tuple[str, NDArray[np.uint8]]:
    """Return a program's module and the bytes its memory starts with: its image, then the arguments of its calls."""
    values = [call.arguments[name] for call in program.calls for name in call.kernel.parameters]
    memory = np.concatenate((program.image, np.array(values, np.int32).view(np.uint8)))
    return module(program.calls, len(program.image), -(-len(memory) // PAGE), fused), memory


def assemble(text: str) -> bytes:
    """Return the binary of a module's text, assembled by wasmtime.

    Raises
    ------
    MissingEngineError
        Without wasmtime.
    """
    try:
        import wasmtime
    except ImportError as error:
        raise MissingEngineError(
            "WebAssembly needs the package wasmtime, which assembles it: pip install 'sparse-codesign[wasm]'"
        ) from error
    return bytes(wasmtime.wat2wasm(text))
