"""Main: the group of all commands."""

from __future__ import annotations

import click

from codesign.cli.accelerators import accelerators
from codesign.cli.compare import compare
from codesign.cli.cpus import cpus
from codesign.cli.errors import Commands
from codesign.cli.map import map_
from codesign.cli.query import query
from codesign.cli.report import report
from codesign.cli.simulate import simulate
from codesign.cli.sweep import sweep
from codesign.cli.validate import validate
from codesign.cli.zoo import zoo


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sparse-codesign", prog_name="codesign")
@click.pass_context
def main(context: click.Context) -> None:
    """Simulate sparse neural networks on accelerators, cycle by cycle, from your own torch model and real data."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


main.add_command(simulate)
main.add_command(map_)
main.add_command(sweep)
main.add_command(report)
main.add_command(query)
main.add_command(compare)
main.add_command(accelerators)
main.add_command(cpus)
main.add_command(validate)
main.add_command(zoo)
