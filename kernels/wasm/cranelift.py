"""Cranelift: the engine wasmtime, within this process."""

from __future__ import annotations

import importlib.metadata
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.loops.program import Program
from kernels.wasm.engine import MissingEngineError, assemble, text_and_memory

AMPLE = 1 << 62
"""Fuel that no program uses up."""


class Wasmtime:
    """The engine wasmtime; an `Engine`. Its option to compile for another machine is never used: it ends the process.

    Parameters
    ----------
    fuel
        Whether to count operators, which slows the code: for `fuel_used`, not for timing.

    Raises
    ------
    MissingEngineError
        If wasmtime is not installed.
    """

    name = "wasmtime"
    clock = "thread CPU time"
    fused = True

    def __init__(self, fuel: bool = False) -> None:
        try:
            import wasmtime
        except ImportError as error:
            raise MissingEngineError(
                "the engine wasmtime needs the package wasmtime: pip install 'sparse-codesign[wasm]'"
            ) from error
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        config.consume_fuel = fuel
        self.engine = wasmtime.Engine(config)
        self.counts_fuel = fuel
        self.version = f"wasmtime {importlib.metadata.version('wasmtime')}"

    def load(self, program: Program, fused: bool | None = None) -> WasmtimeProgram:
        """Compile a program and copy its memory."""
        return WasmtimeProgram(self, program, self.fused if fused is None else fused)

    def close(self) -> None:
        """Do nothing: the engine ends with its last reference."""


class WasmtimeProgram:
    """A program loaded into wasmtime; a `Loaded`."""

    def __init__(self, engine: Wasmtime, program: Program, fused: bool) -> None:
        import wasmtime

        text, memory = text_and_memory(program, fused)
        self.store = wasmtime.Store(engine.engine)
        self.counts_fuel = engine.counts_fuel
        if engine.counts_fuel:
            self.store.set_fuel(AMPLE)
        compiled = wasmtime.Module(engine.engine, assemble(text))
        self.exports: Any = wasmtime.Instance(self.store, compiled, []).exports(self.store)
        self.program = program
        self.memory()[: len(memory)] = memory

    def memory(self) -> NDArray[np.uint8]:
        """Return the linear memory itself, without a copy; valid as long as this object."""
        memory = self.exports["memory"]
        return np.ctypeslib.as_array(memory.data_ptr(self.store), (memory.data_len(self.store),))

    def seconds(self, repeats: int) -> float:
        """Run so many times and return the CPU seconds of this thread."""
        repeat = self.exports["repeat"]
        begin = time.thread_time()
        repeat(self.store, repeats)
        return time.thread_time() - begin

    def fuel_used(self) -> int:
        """Run once and return the operators executed."""
        before = self.store.get_fuel()
        self.exports["once"](self.store)
        return int(before - self.store.get_fuel())

    def output(self) -> NDArray[np.float32]:
        """Return a copy of the result as it stands."""
        return self.program.result(self.memory())
