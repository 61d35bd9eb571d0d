"""Kernels written as AArch64 assembly compute what their traces compute, and other models time them alike."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from hw_models.cpus import load_cpu
from hw_models.cpus.assembly import function, innermost
from hw_models.cpus.layer import Core
from hw_models.cpus.programs import depthwise, matrix_vector
from kernels.loops import Kernel, dense_tile, sparse_strip
from kernels.loops.layer import DensePlan, Layer, SparsePlan
from kernels.loops.program import Program
from traces.errors import InputError

_CODE = 0x4000000
_STACK = 0x5000000
_FUNCTION = 0x4000
_RET = b"\xc0\x03\x5f\xd6"


def emulate(program: Program) -> np.ndarray:
    """Return the result of a program, its kernels assembled and run in an emulator."""
    unicorn = pytest.importorskip("unicorn", reason="unicorn emulates AArch64: pip install unicorn")
    keystone = pytest.importorskip("keystone", reason="keystone assembles AArch64: pip install keystone-engine")
    assembler = keystone.Ks(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN)
    machine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    size = -(-len(program.image) // 4096) * 4096
    machine.mem_map(0, size)
    machine.mem_map(_CODE, 1 << 20)
    machine.mem_map(_STACK, 1 << 16)
    machine.mem_write(0, program.image.tobytes())
    for number, call in enumerate(program.calls):
        place = _CODE + number * _FUNCTION  # code is translated once: a second function needs a place of its own
        code = bytes(assembler.asm(function(call.kernel), place)[0])
        machine.mem_write(place, code)
        arguments = np.array([call.arguments[name] for name in call.kernel.parameters], np.int64)
        machine.mem_write(_STACK, arguments.tobytes())
        machine.reg_write(unicorn.arm64_const.UC_ARM64_REG_X0, _STACK)
        machine.reg_write(unicorn.arm64_const.UC_ARM64_REG_CPACR_EL1, 3 << 20)
        machine.emu_start(place, place + len(code) - len(_RET))
    return program.result(np.frombuffer(bytes(machine.mem_read(0, len(program.image))), np.uint8))


def layer(density: float) -> Layer:
    """Return a small layer with random weights, biases and activations."""
    random = np.random.default_rng(3)
    weight = random.standard_normal((16, 20)) * (random.random((16, 20)) < density)
    x, bias = random.standard_normal((20, 44)), random.standard_normal(16)
    return Layer(weight.astype(np.float32), bias.astype(np.float32), x.astype(np.float32), 0.0, 2.0)


@pytest.mark.parametrize(
    ("plan", "density"),
    [(DensePlan(8, 2, shuffle=True), 1.0), (SparsePlan(8), 0.3), (SparsePlan(4), 0.1), (SparsePlan(4, rows=4), 0.2)],
)
def test_the_assembly_computes_the_layer(plan: DensePlan | SparsePlan, density: float) -> None:
    """Emulated AArch64 gives the layer of float64 arithmetic."""
    one = layer(density)
    np.testing.assert_allclose(emulate(one.program(plan)), one.reference(), rtol=1e-5, atol=1e-5)


def test_depthwise_and_dot_product_run_as_their_traces_do() -> None:
    """On zero activations a depthwise layer gives its clipped biases, and all stay inside of their memory."""
    for program in (depthwise(3, 5, 9, 1, 4), depthwise(3, 5, 9, 2, 4), matrix_vector(6, 40, 4)):
        np.testing.assert_array_equal(emulate(program), program.run())


def test_a_kernel_that_does_not_fit_is_refused() -> None:
    """The sentence says how many registers it takes."""
    with pytest.raises(InputError, match="must fit 28 integer and 32 vector registers"):
        function(dense_tile(16, 16))


@pytest.mark.skipif(shutil.which("llvm-mca") is None, reason="llvm-mca is not installed")
@pytest.mark.parametrize("kernel", [sparse_strip(16), sparse_strip(32), sparse_strip(16, 4)], ids=lambda one: one.name)
def test_plain_code_takes_at_most_what_llvm_predicts(kernel: Kernel) -> None:
    """LLVM's model of the N1 (an A57's, before LLVM 17) is the slow side, the ports alone the fast side."""
    command = ["llvm-mca", "-mtriple=aarch64", "-mcpu=neoverse-n1", "-iterations=300"]
    told = subprocess.run(command, input=innermost(kernel), capture_output=True, text=True, check=True).stdout
    found = re.search(r"Total Cycles:\s+(\d+)", told)
    assert found is not None
    mine = Core(load_cpu("neoverse-n1"), "neon-plain").paces(kernel)[list(kernel.loops())[-1].name]
    assert max(mine.floors.values()) - 0.05 <= mine.cycles <= int(found[1]) / 300 + 0.1
