"""``codesign zoo``: the networks that can be named."""

from __future__ import annotations

import click


@click.command(short_help="The networks that can be named.")
def zoo() -> None:
    """List the networks that `simulate` knows by name; their shapes are real, their weights random."""
    from traces.zoo import ZOO

    width = max(map(len, ZOO))
    for name, entry in sorted(ZOO.items()):
        click.echo(f"{name.ljust(width)}  {entry.description}")
