"""Run the benchmark as ``python -m kernels.bench``."""

from __future__ import annotations

import json
import sys

import click

from kernels.arrays import KernelError
from kernels.bench.against import Setting
from kernels.bench.nets import NETS
from kernels.bench.prune import unit
from kernels.bench.row import totals
from kernels.bench.run import KERNELS, Options, run
from kernels.bench.table import head, table
from kernels.limits import measure_limits
from kernels.machine import describe
from kernels.threads import check_threads

ROUNDS, QUICK_ROUNDS = 21, 5


def words(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values of an option that may be given several times, each with commas."""
    return tuple(dict.fromkeys(word.strip() for value in values for word in value.split(",")))


def numbers(values: tuple[str, ...]) -> tuple[float, ...]:
    """Return sparsities.

    Raises
    ------
    KernelError
        If one is no number from 0 up to below 1.
    """
    found = []
    for word in words(values):
        try:
            number = float(word)
        except ValueError:
            number = -1.0
        if not 0 <= number < 1:
            raise KernelError(f"a sparsity must be a number of at least 0 and below 1, such as 0.9, not {word!r}")
        found.append(number)
    return tuple(found)


def check(patterns: tuple[str, ...], kernels: tuple[str, ...], threads: int) -> None:
    """Refuse what cannot be timed.

    Raises
    ------
    KernelError
        With a sentence on the first bad option.
    """
    for pattern in patterns:
        unit(pattern)
    for kernel in kernels:
        if kernel not in KERNELS:
            raise KernelError(f"a kernel must be one of {', '.join(KERNELS)}, not {kernel!r}")
    check_threads(threads)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--net", type=click.Choice(list(NETS)), default="mobilenet_v1", help="Whose layers to time.")
@click.option("--sparsity", multiple=True, default=("0.7,0.9",), help="Shares of zeros. Several: with commas.")
@click.option(
    "--pattern",
    multiple=True,
    default=("unstructured,group:4",),
    help="unstructured, group:R, block:RxC or N:M. Several: with commas.",
)
@click.option("--kernels", multiple=True, default=("conv1x1",), help=f"Of {', '.join(KERNELS)}. Several: with commas.")
@click.option("--threads", type=int, default=1, help="Cores of one call; more than one is timed on the wall clock.")
@click.option("--quick", is_flag=True, help=f"{QUICK_ROUNDS} rounds in place of {ROUNDS}: good to a few percent.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout.")
def bench(
    net: str,
    sparsity: tuple[str, ...],
    pattern: tuple[str, ...],
    kernels: tuple[str, ...],
    threads: int,
    quick: bool,
    as_json: bool,
) -> None:
    """Time sparse kernels against the fastest dense library on the layers of a network, on this machine.

    Weights are seeded random and pruned by magnitude. The dense baseline is, for each layer, the fastest of packed
    oneDNN, onnxruntime and our own dense kernel; eager torch is shown beside. Progress goes to stderr.
    """
    chosen = words(kernels)
    options = Options(net, words(pattern), numbers(sparsity))
    check(options.patterns, chosen, threads)
    click.echo("the machine's limits", err=True)
    limits = measure_limits()
    setting = Setting(limits, QUICK_ROUNDS if quick else ROUNDS, threads)
    rows = list(run(chosen, options, setting, lambda text: click.echo(text, err=True)))
    rows += totals(rows)
    machine = describe()
    if as_json:
        result = {"machine": machine, "limits": limits.to_dict(), "rows": [row.to_dict() for row in rows]}
        click.echo(json.dumps(result, indent=1))
    else:
        click.echo(f"{head(machine, limits, threads)}\n\n{table(rows)}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code: 2 after one sentence on stderr if an option is wrong."""
    try:
        bench(arguments, prog_name="python -m kernels.bench", standalone_mode=False)
    except click.Abort:
        click.echo("kernels.bench: interrupted", err=True)
        return 130
    except click.ClickException as error:
        click.echo(f"kernels.bench: {error.format_message()}", err=True)
        return 2
    except KernelError as error:
        click.echo(f"kernels.bench: {error}", err=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
