"""Step: forward, backward and update of a traced model, as one graph of ops."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from codesign.patterns import Pattern, parse_pattern
from codesign.sparsification import sparsify
from codesign.training.batch import with_batch
from codesign.training.products import input_gradient, phase_weights, weight_gradient
from codesign.training.pruning import Weights, backward_pattern, backward_weights, traced_weights
from codesign.training.vectors import PASSES, STOPS, in_training, loss, summed, updated, vector_gradient
from traces.errors import InputError
from traces.graph import OpGraph
from traces.op import Op
from traces.vector import VectorWork


def training_step(graph: OpGraph, pattern: str | Pattern | None = None, *, batch: int = 1) -> OpGraph:
    """Return one training step (forward, loss, backward, SGD update) of a traced model.

    Each forward op ``x`` becomes ``x.fwd``. Then come, in reversed order, ``x.dgrad``, the gradient of its input, and
    for a parameter ``x.wgrad``, the gradient of its weights, and ``x.update``. Gradients that meet are added by
    ``x.sum``. A strided convolution has an input gradient for each phase (``x.dgrad.01``, see
    `codesign.training.products`), a product of two activations one for each operand (``x.dgrad.i``, ``x.dgrad.w``).
    Ops before the first parameter have no gradients, so the first layer has no ``dgrad``.

    Weights that are N:M in the forward graph are pruned twice, as BDWP does (`codesign.training.pruning`): along
    the input channels in ``fwd``, along the output channels in ``dgrad``; ``wgrad`` and ``update`` are dense.

    Batch norms that tracing folded into a convolution are gone; those that use the batch's statistics (built with
    ``track_running_stats=False``) are not folded, and take part with statistics and gradients.

    Not modelled: bias gradients, dropout, zeros of gradients, and the index bits of the pruned copies that the
    update writes.

    Parameters
    ----------
    graph
        The traced model, sparsified or not. If it is, the backward mask is computed from the traced program's own
        weights, which pruning leaves as they are; without a program the backward pattern is declared.
    pattern
        Prune the graph by this first; both masks are then computed from the graph's weights.
    batch
        Samples of the step for each sample of the traced inputs, see `with_batch`.

    Returns
    -------
    OpGraph
        Without a program. Captured operands of the forward ops are kept if ``batch`` is 1.

    Raises
    ------
    InputError
        If the model has no parameters to train, the pattern does not fit it (see `codesign.sparsify`), or the batch is
        not a whole number of at least 1.
    """
    if not any(_has_parameter(op) for op in graph):
        raise InputError(f"{graph.name} has no parameters to train; a training step needs a model with weights")
    if pattern is None:
        return _Builder(with_batch(graph, batch), lambda key: traced_weights(graph, key)).build()
    pruned = sparsify(graph, pattern).with_operands(graph.operands)
    return _Builder(with_batch(pruned, batch), graph.weights.get).build()


class _Builder:
    """The ops of a training step while they are put together, in the order in which they run."""

    def __init__(self, graph: OpGraph, dense: Callable[[str], Weights | None]) -> None:
        self.graph, self.dense = graph, dense
        self.ops: list[Op] = []
        self.edges: list[tuple[str, str]] = []
        self.weights: dict[str, Weights] = dict(graph.weights)
        self.patterns: dict[str, str] = {}
        #: Ops that give the gradient of each forward op's output, or of a part of it.
        self.gradients: dict[str, list[str]] = {op.name: [] for op in graph}
        #: Weight gradients by key, and how many ops still owe theirs.
        self.of_weight: dict[str, list[str]] = {}
        self.owing = dict.fromkeys((op.weight for op in graph if op.weight), 0)
        for op in graph:
            if op.weight:
                self.owing[op.weight] += 1

    def build(self) -> OpGraph:
        """Return the graph of the whole step."""
        trained = self._trained()
        for op in self.graph:
            fwd = replace(in_training(op), name=f"{op.name}.fwd", input_values=(), output_value="", bias=None)
            self._add(fwd, [f"{name}.fwd" for name in self.graph.producers(op.name)])
            if op.name in self.graph.patterns:
                self.patterns[fwd.name] = self.graph.patterns[op.name]
        ends = [name for name in trained if not self.graph.consumers(name)]
        for name in ends:
            title = "loss" if len(ends) == 1 else f"{name}.loss"
            self._vector(title, "loss", loss(_elements(self.graph[name])), [f"{name}.fwd"])
            self.gradients[name].append(title)
        for op in reversed(list(self.graph)):
            if op.name in trained and self.gradients[op.name]:
                self._backward(op, [name for name in self.graph.producers(op.name) if name in trained])
            elif op.weight:
                self._weight_done(op, None)
        operands = {f"{name}.fwd": bitmaps for name, bitmaps in self.graph.operands.items()}
        step = OpGraph.of(f"{self.graph.name} training step", self.ops, self.edges)
        return step.with_weights(self.weights, self.patterns).with_operands(operands)

    def _trained(self) -> dict[str, None]:
        """Return the ops whose output depends on a parameter, in program order."""
        found: dict[str, None] = {}
        for op in self.graph:
            if _has_parameter(op) or any(name in found for name in self.graph.producers(op.name)):
                found[op.name] = None
        return found

    def _backward(self, op: Op, inputs: list[str]) -> None:
        """Add the gradients of an op, given that of its output; ``inputs`` are producers that want one."""
        source = self._output_gradient(op)
        saved = [f"{name}.fwd" for name in self.graph.producers(op.name)]
        if op.vector is not None:
            self._vector_gradients(op, source, inputs, saved)
        elif op.weight is None:
            self._activation_gradients(op, source, inputs, saved)
        else:
            if op.kind == "recurrent":  # through time, in any case; its gates give what the weights' gradient needs
                saved, source = [f"{op.name}.fwd"], self._input_gradient(op, source)
                self._give(inputs, source)
            elif inputs:
                self._give(inputs, self._input_gradient(op, source))
            gemm = weight_gradient(op)
            kind = "conv" if op.kind in ("conv", "depthwise") else "matmul"
            self._add(Op(name=f"{op.name}.wgrad", kind=kind, gemm=gemm), [*saved, *source])
            self._weight_done(op, f"{op.name}.wgrad")

    def _output_gradient(self, op: Op) -> list[str]:
        """Return the ops that together hold the gradient of an op's output; add up those of several consumers."""
        parts = self.gradients[op.name]
        if len({part.partition(".dgrad")[0] for part in parts}) == 1:  # phases of one gradient lie side by side
            return parts
        consumers = len(self.graph.consumers(op.name))
        self._vector(f"{op.name}.sum", "add", summed(max(2, consumers), _elements(op)), parts)
        return [f"{op.name}.sum"]

    def _input_gradient(self, op: Op, source: list[str]) -> list[str]:
        """Add ``dgrad``: dO times the transposed weights, pruned for the backward pass."""
        assert op.gemm is not None
        pattern = backward_pattern(self.graph, op)
        weights = backward_weights(self.graph, op, self.dense) if pattern is not None else None
        names = []
        for phase in input_gradient(op.gemm):
            name = f"{op.name}.dgrad{phase.suffix}"
            kind = op.kind
            if kind in ("conv", "depthwise"):
                kind = "depthwise" if phase.gemm.groups > 1 and phase.gemm.channels == 1 else "conv"
            gates = 2 * op.gate_lane_ops  # two factors of each product have a gradient
            self._add(
                Op(name=name, kind=kind, gemm=phase.gemm, weight=name, timesteps=op.timesteps, gate_lane_ops=gates),
                source,
            )
            if pattern is not None:
                self.patterns[name] = str(pattern)
            if weights is not None:
                self.weights[name] = phase_weights(weights, phase)
            names.append(name)
        return names

    def _activation_gradients(self, op: Op, source: list[str], inputs: list[str], saved: list[str]) -> None:
        """Add both gradients of a product of two activations: each is a product with the other operand."""
        assert op.gemm is not None
        producers = self.graph.producers(op.name)
        sides = [producers[:1], producers[1:]] if len(producers) == 2 else [producers, producers]
        for side, letter in zip(sides, "iw", strict=True):
            wanted = [name for name in side if name in inputs]
            if wanted:
                name = f"{op.name}.dgrad.{letter}"
                gemm = input_gradient(op.gemm)[0].gemm if letter == "i" else weight_gradient(op)
                self._add(Op(name=name, kind="matmul", gemm=gemm), [*saved, *source])
                self._give(wanted, [name])

    def _vector_gradients(self, op: Op, source: list[str], inputs: list[str], saved: list[str]) -> None:
        """Add the gradient of a vector op; sums hand theirs on as it is."""
        if op.kind == "embedding":  # only the rows that were read have a gradient
            gradient = vector_gradient(op)
            self._vector(f"{op.name}.wgrad", gradient.kind, gradient.work, source)
            self._vector(f"{op.name}.update", "update", updated(_elements(op), 0), [f"{op.name}.wgrad"])
        elif op.kind not in STOPS and inputs:
            whole = [name for name in inputs if op.kind in PASSES and _elements(self.graph[name]) >= _elements(op)]
            self._give(whole, source)
            rest = [name for name in inputs if name not in whole]
            if rest:
                gradient = vector_gradient(op)
                name = f"{op.name}.dgrad"
                read = saved if gradient.reads_input else [f"{op.name}.fwd"] if gradient.reads_output else []
                self._vector(name, gradient.kind, gradient.work, [*read, *source])
                self._give(rest, [name])

    def _weight_done(self, op: Op, gradient: str | None) -> None:
        """Note an op's weight gradient; when all that share the weights have theirs, add the update."""
        assert op.weight is not None
        assert op.gemm is not None
        found = self.of_weight.setdefault(op.weight, [])
        found += [gradient] if gradient else []
        self.owing[op.weight] -= 1
        if self.owing[op.weight] or not found:
            return
        elements = op.gemm.weight_elements
        text = self.graph.patterns.get(op.name)
        pruned = (None if text is None else parse_pattern(text), backward_pattern(self.graph, op))
        copies = sum(round(elements * pattern.density) for pattern in pruned if pattern is not None)
        self._vector(f"{op.name}.update", "update", updated(elements, copies), found)

    def _give(self, names: Iterable[str], gradients: list[str]) -> None:
        for name in names:
            self.gradients[name] += [gradient for gradient in gradients if gradient not in self.gradients[name]]

    def _vector(self, name: str, kind: str, work: VectorWork, sources: Iterable[str]) -> None:
        self._add(Op(name=name, kind=kind, vector=work), sources)

    def _add(self, op: Op, sources: Iterable[str]) -> None:
        self.ops.append(op)
        self.edges += [(source, op.name) for source in dict.fromkeys(sources)]


def _has_parameter(op: Op) -> bool:
    return op.weight is not None or op.kind == "embedding"


def _elements(op: Op) -> int:
    return op.gemm.output_elements if op.gemm else op.vector.elements_out if op.vector else 0
