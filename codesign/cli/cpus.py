"""``codesign cpus``: the cores that can be compared on, with their parameters and where these are from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hw_models.cpus import CpuConfig


@click.command(short_help="The CPU cores that are modelled.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cpus(name: str | None, as_json: bool) -> None:
    """List the modelled cores, or print all of NAME as YAML, sources included: a start for one of your own.

    `codesign compare --cpu` also takes host (this machine), wasm-wasmtime and wasm-v8 (engines on it).
    """
    import json

    import yaml

    from hw_models.cpus import cpu_names, load_cpu

    if name is not None:
        values = load_cpu(name).model_dump(exclude_none=True)
        text = json.dumps(values, indent=2) if as_json else yaml.safe_dump(values, sort_keys=False, width=110)
        click.echo(text.rstrip())
        return
    found = [load_cpu(core) for core in cpu_names()]
    if as_json:
        click.echo(json.dumps({cpu.name: cpu.model_dump(exclude_none=True) for cpu in found}, indent=2))
        return
    for line in _table(found):
        click.echo(line)
    click.echo("\n`codesign cpus NAME` prints all parameters of a core, as intervals, and where each is from")


def _table(found: list[CpuConfig]) -> list[str]:
    """Return a line for each core under a head."""
    head = ("core", "issue", "FMA/load bits a cycle", "caches", "DRAM", "sources", "")
    rows = [(cpu.name, *_figures(cpu), str(len(cpu.sources)), cpu.description) for cpu in found]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _figures(cpu: CpuConfig) -> tuple[str, str, str, str]:
    core = cpu.core
    order = "in order" if core.in_order else f"window {core.window}"

    def bits(name: str) -> int:
        operation = cpu.operation(name)
        return round(core.ports[operation.port] * core.vector_bits / max(1.0, cpu.at(operation.busy_cycles)))

    caches = " + ".join(_size(cache.bytes) + " shared" * cache.shared for cache in cpu.caches)
    issue = f"{core.dispatch_width} wide, {order}, {cpu.clock_hz / 1e9:.1f} GHz"
    return (
        issue,
        f"{bits('fma')} / {bits('load_vector')}",
        caches,
        f"{cpu.at(cpu.dram.bytes_per_second) / 1e9:.0f} GB/s",
    )


def _size(size: int) -> str:
    return f"{size >> 20} MB" if size >= 1 << 20 else f"{size >> 10} KB"
