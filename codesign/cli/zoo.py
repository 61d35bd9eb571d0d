"""``codesign zoo``: the networks that can be named."""

from __future__ import annotations

import click


@click.command(short_help="The networks that can be named.")
def zoo() -> None:
    """List the networks that `simulate` knows by name; their shapes are real, their weights random.

    Some come in other widths (a factor on the channels), image sizes or both: mobilenet_v2@0.75,
    efficientnet_b0@160, mobilenet_v1@0.75-160.
    """
    from traces.zoo import ZOO

    width = max(map(len, ZOO))
    for name, entry in sorted(ZOO.items()):
        variants = f"; also {', '.join(entry.spellings)}" if entry.spellings else ""
        click.echo(f"{name.ljust(width)}  {entry.description}{variants}")
