"""All contenders for a problem, checked against float64, and the fastest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from kernels.baselines import eager, onednn, ort, ours
from kernels.baselines.contender import Contender, LeftOutError
from kernels.baselines.problem import Operands, Problem, draw, reference
from kernels.measure import Timing, interleave

TOLERANCE = 1e-5
"""How far a result may be from float64, as a share of the sum of magnitudes."""

EAGER = ("eager", "eager channels_last")
"""What is shown beside the baseline."""

Prepare = Callable[[Problem, Operands, int], Contender]

LIBRARIES: Mapping[str, Prepare] = {
    "onednn": lambda problem, operands, _threads: onednn.convolution(problem, operands),
    "onednn linear": lambda problem, operands, _threads: onednn.linear(problem, operands),
    "onnxruntime": ort.plain,
    "onnxruntime linear": ort.linear,
    "onnxruntime blocked": ort.blocked,
    "ours": ours.dense,
    "eager": lambda problem, operands, _threads: eager.contiguous(problem, operands),
    "eager channels_last": lambda problem, operands, _threads: eager.channels_last(problem, operands),
}
"""Every contender by name; oneDNN and eager torch take their threads from `torch_threads`."""


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch compute on this many threads inside the context."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(
    problem: Problem, operands: Operands, names: tuple[str, ...] = tuple(LIBRARIES), threads: int = 1
) -> tuple[dict[str, Contender], dict[str, str]]:
    """Pack the weight for every library, and check what each computes.

    Parameters
    ----------
    problem, operands
        What to compute, and on what.
    names : tuple of str
        Which of `LIBRARIES`.
    threads : int
        Threads of one call. Run the contenders inside `torch_threads` of the same number.

    Returns
    -------
    contenders : dict of str to Contender
        Those that can compute the problem here.
    left_out : dict of str to str
        Why the others cannot.
    """
    wanted, bound = reference(problem, operands, 0)
    contenders, left_out = {}, {}
    with torch_threads(threads):
        for name in names:
            try:
                contender = LIBRARIES[name](problem, operands, threads)
            except LeftOutError as reason:
                left_out[name] = str(reason)
                continue
            error = float(np.max(np.abs(contender.output(0) - wanted) / bound))
            if error <= TOLERANCE:
                contenders[name] = contender
            else:
                left_out[name] = f"its result is off by {error:.1e} of the sum of magnitudes"
    return contenders, left_out


@dataclass(frozen=True)
class Dense:
    """What the dense libraries took for one problem.

    Attributes
    ----------
    timings : mapping of str to Timing
        Every contender that ran.
    left_out : mapping of str to str
        Why the others did not.
    """

    timings: Mapping[str, Timing]
    left_out: Mapping[str, str]

    @property
    def baseline(self) -> str:
        """The fastest contender's name."""
        return min(self.timings, key=lambda name: self.timings[name].seconds)

    @property
    def baseline_s(self) -> float:
        """The fastest contender's time in seconds."""
        return self.timings[self.baseline].seconds

    @property
    def eager_s(self) -> float | None:
        """The faster of the eager contenders in seconds, or None if none ran."""
        return min((self.timings[name].seconds for name in EAGER if name in self.timings), default=None)


def best(
    problem: Problem,
    operands: Operands | None = None,
    repeats: int = 15,
    names: tuple[str, ...] = tuple(LIBRARIES),
    threads: int = 1,
) -> Dense:
    """Time every contender for a problem, interleaved; operands are drawn if not given.

    Raises
    ------
    RuntimeError
        If no contender can compute the problem.
    """
    contenders, left_out = prepare(problem, operands or draw(problem), names, threads)
    if not contenders:
        raise RuntimeError(f"no dense library can compute {problem}: {left_out}")
    with torch_threads(threads):
        timings = interleave({name: one.run for name, one in contenders.items()}, repeats, threads=threads)
    return Dense(timings, left_out)
