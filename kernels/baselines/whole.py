"""Whole networks in the fast dense libraries: the same chain of layers in torch's compiler and in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.baselines import onnx_file
from kernels.baselines.contender import LeftOutError, aligned
from kernels.chain import Convolution, Layer, Linear

if TYPE_CHECKING:
    from torch import nn

Floats: TypeAlias = NDArray[np.float32]
Run: TypeAlias = Callable[[Floats], Floats]
"""A network ready to be called: an image (1, C, height, width) to (1, classes)."""


def torch_module(layers: Sequence[Layer]) -> nn.Module:
    """Return the chain as a torch module in eval mode."""
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, Linear):
            head = nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
            modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), _filled(head, layer)]
            continue
        outputs, inputs, kernel, _ = layer.weight.shape
        shape = (inputs * layer.groups, outputs, kernel, layer.stride, layer.padding)
        modules.append(_filled(nn.Conv2d(*shape, groups=layer.groups), layer))
        if layer.low == 0:
            modules.append(nn.ReLU() if layer.high == float("inf") else nn.Hardtanh(0, layer.high))
    with torch.no_grad():
        return nn.Sequential(*modules).eval()


def _filled(module: nn.Module, layer: Layer) -> nn.Module:
    import torch

    module.load_state_dict({"weight": torch.from_numpy(layer.weight), "bias": torch.from_numpy(layer.bias)})
    return module


def eager(layers: Sequence[Layer], channels_last: bool = True) -> Run:
    """Return the chain in eager torch."""
    import torch

    kind = torch.channels_last if channels_last else torch.contiguous_format
    module = torch_module(layers).to(memory_format=kind)  # type: ignore[call-overload]  # its stub lacks the keyword alone
    return _called(module, kind)


def compiled(layers: Sequence[Layer], image: tuple[int, ...]) -> Run:
    """Return the chain through ``torch.compile`` with frozen weights, which packs them for oneDNN.

    Raises
    ------
    LeftOutError
        Where the compiler cannot work (it needs a C++ compiler).
    """
    import torch
    import torch._inductor.config as inductor

    inductor.freezing = True
    kind = torch.channels_last
    module = torch_module(layers).to(memory_format=kind)  # type: ignore[call-overload]
    run = _called(torch.compile(module), kind)
    try:
        for _ in range(3):
            run(np.zeros(image, np.float32))
    except Exception as error:  # the compiler's errors have no common class of their own
        raise LeftOutError(f"torch.compile failed: {str(error).splitlines()[0]}") from error
    return run


def _called(module: Callable[..., Any], kind: Any) -> Run:  # noqa: ANN401  # a memory format, which is no type
    """Return a module as a function of arrays; the image is put into the layout first, as a camera would."""
    import torch

    def run(image: Floats) -> Floats:
        with torch.no_grad():
            x = torch.from_numpy(image).contiguous(memory_format=kind)
            y: Floats = module(x).numpy()
        return y

    return run


def onnxruntime(layers: Sequence[Layer], image: tuple[int, ...], threads: int = 1) -> Run:
    """Return the chain in onnxruntime, all its optimisations on.

    Raises
    ------
    LeftOutError
        If it is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise LeftOutError("onnxruntime is not installed; pip install 'sparse-codesign[bench]'") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    session = ort.InferenceSession(_onnx(layers, image), options, providers=["CPUExecutionProvider"])
    x = ort.OrtValue.ortvalue_from_numpy(aligned(np.zeros(image, np.float32)))
    y = ort.OrtValue.ortvalue_from_numpy(aligned(np.zeros(session.get_outputs()[0].shape, np.float32)))
    binding = session.io_binding()
    binding.bind_ortvalue_output("y", y)

    def run(image: Floats) -> Floats:
        x = ort.OrtValue.ortvalue_from_numpy(image)
        binding.bind_ortvalue_input("x", x)
        session.run_with_iobinding(binding)
        result: Floats = y.numpy()
        return result

    run(x.numpy())
    return run


def _onnx(layers: Sequence[Layer], image: tuple[int, ...]) -> bytes:
    """Return the chain as an ONNX file: Conv, Relu or Clip, GlobalAveragePool, Flatten, Gemm."""
    nodes: list[bytes] = []
    constants: dict[str, Floats] = {}
    before = "x"
    for i, layer in enumerate(layers):
        constants |= {f"w{i}": layer.weight, f"b{i}": layer.bias}
        if isinstance(layer, Linear):
            nodes.append(onnx_file.node("GlobalAveragePool", [before], f"p{i}"))
            nodes.append(onnx_file.node("Flatten", [f"p{i}"], f"f{i}", {"axis": 1}))
            nodes.append(onnx_file.node("Gemm", [f"f{i}", f"w{i}", f"b{i}"], "y", {"transB": 1}))
            continue
        nodes.append(onnx_file.node("Conv", [before, f"w{i}", f"b{i}"], f"c{i}", _window(layer)))
        before = f"c{i}"
        if layer.low == 0:
            bounds = [] if layer.high == float("inf") else [f"low{i}", f"high{i}"]
            constants |= {
                name: np.array(value, np.float32) for name, value in zip(bounds, (0, layer.high), strict=False)
            }
            nodes.append(onnx_file.node("Clip" if bounds else "Relu", [before, *bounds], f"r{i}"))
            before = f"r{i}"
    return onnx_file.model(nodes, constants, image, (image[0], len(layers[-1].bias)))


def _window(layer: Convolution) -> dict[str, onnx_file.Attribute]:
    """Return the attributes of a Conv node."""
    return {
        "kernel_shape": [layer.weight.shape[2]] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.padding] * 4,
        "dilations": [1, 1],
        "group": layer.groups,
    }
