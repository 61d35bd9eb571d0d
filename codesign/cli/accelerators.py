"""``codesign accelerators``: what can be simulated."""

from __future__ import annotations

import click


@click.command(short_help="The accelerators that can be named.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def accelerators(name: str | None, as_json: bool) -> None:
    """List the accelerators, or print the config of NAME as YAML: a start for one of your own."""
    import json

    import yaml

    from hw_models.accelerators import load_accelerator, preset_names

    if name is not None:
        values = load_accelerator(name).model_dump()
        text = json.dumps(values, indent=2) if as_json else yaml.safe_dump(values, sort_keys=False, width=110)
        click.echo(text.rstrip())
        return
    configs = [load_accelerator(preset) for preset in preset_names()]
    if as_json:
        click.echo(json.dumps({config.name: config.model_dump() for config in configs}, indent=2))
        return
    width = max(len(config.name) for config in configs)
    for config in configs:
        bandwidth = config.memory.dram.bytes_per_cycle * config.clock_hz
        figures = f"{config.pes:,} PEs, {config.clock_hz / 1e6:,.0f} MHz, {bandwidth / 1e9:,.0f} GB/s"
        click.echo(f"{config.name.ljust(width)}  {figures}: {config.description}")
