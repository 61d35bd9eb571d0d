"""onnxruntime: a model of one node on the CPU, its input and output bound where they lie, so that nothing is copied.

A convolution is run in two ways. As a user would give it, on (batch, channels, height, width): onnxruntime then
packs the pixels into blocks of channels and back around its kernel. And ``blocked``: that kernel alone, on tensors
that are in blocks already, as they are between the layers of a whole network. The latter is the strongest dense
convolution that was found on x86 machines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kernels.baselines import onnx_file
from kernels.baselines.contender import Contender, LeftOutError, aligned
from kernels.baselines.problem import Array, Convolution, Linear, Operands, Problem

if TYPE_CHECKING:
    import onnxruntime as ort

BLOCKED = "com.microsoft.nchwc"
"""The domain of onnxruntime's own operators on blocks of channels."""


def plain(problem: Problem, operands: Operands, threads: int = 1) -> Contender:
    """Return a convolution on (batch, channels, height, width), or a linear layer on (batch, inputs)."""
    ending = [onnx_file.node("Relu", ["z"], "y")] if operands.relu else []
    first = "z" if operands.relu else "y"
    if isinstance(problem, Linear):
        nodes = [onnx_file.node("Gemm", ["x", "w", "b"], first), *ending]
        weight = np.ascontiguousarray(operands.weight.T)
    else:
        nodes = [onnx_file.node("Conv", ["x", "w", "b"], first, _window(problem)), *ending]
        weight = operands.weight
    file = onnx_file.model(nodes, {"w": weight, "b": operands.bias}, problem.x_shape, problem.y_shape)
    return _contender(problem, operands, file, threads, lambda x: x, lambda y: y)


def linear(problem: Problem, operands: Operands, threads: int = 1) -> Contender:
    """Return a convolution of one pixel as a matrix product on the pixels of a channels_last input."""
    if not (isinstance(problem, Convolution) and problem.pointwise):
        raise LeftOutError("it is no convolution of one pixel")
    ending = [onnx_file.node("Relu", ["z"], "y")] if operands.relu else []
    nodes = [onnx_file.node("Gemm", ["x", "w", "b"], "z" if operands.relu else "y"), *ending]
    weight = np.ascontiguousarray(operands.weight.reshape(problem.outputs, problem.inputs).T)
    batch, channels, height, width = problem.y_shape
    pixels = batch * height * width
    file = onnx_file.model(
        nodes, {"w": weight, "b": operands.bias}, (pixels, problem.inputs), (pixels, problem.outputs)
    )
    return _contender(
        problem,
        operands,
        file,
        threads,
        lambda x: x.transpose(0, 2, 3, 1).reshape(pixels, -1),
        lambda y: y.reshape(batch, height, width, channels).transpose(0, 3, 1, 2),
    )


def blocked(problem: Problem, operands: Operands, threads: int = 1) -> Contender:
    """Return a convolution on blocks of 16 or 8 channels, whichever this machine's onnxruntime has.

    onnxruntime does not tell the size of its blocks, but refuses to run on others.
    """
    if not isinstance(problem, Convolution):
        raise LeftOutError("it is no convolution")
    grouped = problem.groups > 1
    if grouped and not problem.groups == problem.inputs == problem.outputs:
        raise LeftOutError("its groups are neither one nor one a channel")
    for block in (16, 8):
        if problem.inputs % block or problem.outputs % block:
            continue
        contender = _in_blocks(problem, operands, threads, block)
        try:
            contender.run(0)
        except RuntimeError:  # onnxruntime's answer to another size of block than its own
            continue
        return contender
    raise LeftOutError("its channels do not fill blocks, or onnxruntime has none on this machine")


def _in_blocks(problem: Convolution, operands: Operands, threads: int, block: int) -> Contender:
    """Return the convolution on blocks of this many channels."""

    def spread(x: Array) -> Array:
        """Bring channels of a block beside each other: (N, C/b, H, W, b), under the old shape."""
        n, c, h, w = x.shape
        return x.reshape(n, c // block, block, h, w).transpose(0, 1, 3, 4, 2).reshape(x.shape)

    def gather(y: Array) -> Array:
        n, c, h, w = y.shape
        return y.reshape(n, c // block, h, w, block).transpose(0, 1, 4, 2, 3).reshape(y.shape)

    weight, k = operands.weight, problem.kernel
    if problem.groups > 1:
        weight = weight.reshape(-1, block, k, k).transpose(0, 2, 3, 1)
    else:
        weight = weight.reshape(problem.outputs // block, block, problem.inputs // block, block, k, k)
        weight = weight.transpose(0, 2, 4, 5, 3, 1)
    attributes = _window(problem) | ({"activation": "Relu"} if operands.relu else {})
    nodes = [onnx_file.node("Conv", ["x", "w", "b"], "y", attributes, BLOCKED)]
    constants = {"w": weight.reshape(problem.weight_shape), "b": operands.bias}
    file = onnx_file.model(nodes, constants, problem.x_shape, problem.y_shape, BLOCKED)
    return _contender(problem, operands, file, threads, spread, gather)


def _window(problem: Convolution) -> dict[str, onnx_file.Attribute]:
    """Return the attributes of a Conv node."""
    return {
        "kernel_shape": [problem.kernel] * 2,
        "strides": [problem.stride] * 2,
        "pads": [problem.padding] * 4,
        "dilations": [1, 1],
        "group": problem.groups,
    }


def _contender(
    problem: Problem,
    operands: Operands,
    file: bytes,
    threads: int,
    enter: Callable[[Array], Array],
    leave: Callable[[Array], Array],
) -> Contender:
    """Return a session for each copy of the weight, bound to each input and to an output of its own."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise LeftOutError("onnxruntime is not installed; pip install 'sparse-codesign[bench]'") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    xs = [ort.OrtValue.ortvalue_from_numpy(aligned(enter(x))) for x in operands.inputs]
    bound = []
    for _ in range(operands.copies):
        try:
            session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise LeftOutError(f"onnxruntime refused it: {str(error).splitlines()[0]}") from error
        shape = session.get_outputs()[0].shape
        y = ort.OrtValue.ortvalue_from_numpy(aligned(np.zeros(shape, np.float32)))
        bound.append([(session, _bind(session, x, y), y) for x in xs])

    def run(number: int) -> ort.OrtValue:
        session, binding, y = bound[number % len(bound)][number % len(xs)]
        session.run_with_iobinding(binding)
        return y

    def standard(y: ort.OrtValue) -> Array:
        return np.ascontiguousarray(leave(y.numpy()))

    return Contender(run, standard)


def _bind(session: ort.InferenceSession, x: ort.OrtValue, y: ort.OrtValue) -> ort.IOBinding:
    """Return a binding of the session's input and output."""
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_ortvalue_output("y", y)
    return binding
