"""Options: those that several commands have alike."""

from __future__ import annotations

import click

rule = click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="SELECTOR=PATTERN",
    help="Pattern of the ops a name, glob, kind:KIND, first_conv or classifier selects; may be repeated.",
)
seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of random weights and inputs."
)
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the accelerator: array.rows=64, memory.ideal=true; may be repeated.",
)
