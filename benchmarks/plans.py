"""How good the planner is: its plan for each layer against all candidates, timed. ``python benchmarks/plans.py``.

For every 1x1 layer of a network and several patterns, the planner's first choice is timed against the best few plans
of every block size. Printed is how much slower the choice is than the fastest that was found (its regret).
"""

from __future__ import annotations

import statistics
from typing import Any

import click
import numpy as np

from kernels import arrays, pack
from kernels.bench.nets import NETS
from kernels.bench.prune import prune
from kernels.measure import Call, interleave
from kernels.packed import Packed
from kernels.plan import Plan, Problem, plans
from kernels.products import Product, prepare

PATTERNS = (("unstructured", 0.7), ("unstructured", 0.9), ("group:4", 0.5), ("group:4", 0.9))


def ranked(problem: Problem, tried: int) -> list[Plan]:
    """Return the planner's choice, then the best estimates for each block size."""
    found = plans(problem)
    blocks = sorted({plan.block for plan in found})
    return found[:1] + [plan for block in blocks for plan in [other for other in found if other.block == block][:tried]]


def contenders(packed: Packed, columns: int, tried: int) -> list[Product]:
    """Return the product by each of the ranked plans, the planner's own first."""
    problems: list[Problem] = []

    def choose(problem: Problem) -> Plan:
        problems.append(problem)
        return plans(problem)[0]

    first = prepare(packed, columns, 1, choose)
    others = ranked(problems[0], tried)[1:]
    return [first, *(prepare(packed, columns, 1, lambda _problem, plan=plan: plan) for plan in others)]


def call(product: Product, operands: tuple[Any, ...]) -> Call:
    """Return the product as something to time."""
    return lambda _number: product.run(*operands)


@click.command(help=__doc__)
@click.option("--net", type=click.Choice(sorted(NETS)), default="mobilenet_v1", show_default=True)
@click.option("--tried", default=3, show_default=True, help="Plans tried for each block size.")
def main(net: str, tried: int) -> None:
    """Print the regret of every layer and pattern, and its median."""
    regrets = []
    for layer in NETS[net]:
        rows, width, columns = layer.problem.outputs, layer.problem.inputs, layer.problem.height * layer.problem.width
        rng = np.random.default_rng(0)
        x, y = arrays.empty(width, columns), arrays.empty(rows, columns)
        x[:] = rng.standard_normal(x.shape)
        operands = (*arrays.flat(x), np.zeros(rows, np.float32), *arrays.bounds(0, np.inf), *arrays.flat(y))
        for pattern, sparsity in PATTERNS:
            weight = rng.standard_normal((rows, width)).astype(np.float32)
            ready = contenders(pack(prune(weight, pattern, sparsity), pattern), columns, tried)
            calls = {str(i): call(product, operands) for i, product in enumerate(ready)}
            times = [timing.seconds for timing in interleave(calls, repeats=9).values()]
            best = int(np.argmin(times))
            regrets.append(times[0] / times[best] - 1)
            click.echo(
                f"{layer.name:16} {pattern:12} {sparsity:.0%}  regret {regrets[-1]:5.1%}  best: {ready[best].explain()}"
            )
    click.echo(f"median regret {statistics.median(regrets):.1%}, worst {max(regrets):.1%}")


if __name__ == "__main__":
    main()
