"""The cores on offer are read, checked and cited, and what is wrong is said in a sentence."""

import pytest

from hw_models.cpus import cpu_names, load_cpu
from hw_models.cpus.config import CLASSES
from traces.errors import InputError


@pytest.mark.parametrize("name", cpu_names())
def test_every_source_is_cited_and_every_class_runs(name: str) -> None:
    """Each key of a preset's sources is cited by a constant, and each class of instructions has an operation."""
    cpu = load_cpu(name)
    assert cpu.name == name
    sections = [*cpu.core.operations.values(), cpu.core, *cpu.caches, cpu.tlb, cpu.dram]
    assert {key for section in sections for key in section.sources} == set(cpu.sources)
    for kind in CLASSES:
        assert cpu.operation(kind).port in cpu.core.ports


def test_the_ends_of_an_interval_are_chosen_by_a_setting() -> None:
    """``end`` picks the fast, nominal or slow value of every interval."""
    values = [load_cpu("cortex-a53", [f"end={end}"]) for end in ("fast", "nominal", "slow")]
    assert [cpu.at(cpu.core.mispredict_cycles) for cpu in values] == [7, 8, 9]
    assert [cpu.dram_bytes_per_cycle for cpu in values] == [2.25, 1.75, 1.25]


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("cortex-a54", [], "unknown CPU core 'cortex-a54'; did you mean cortex-a"),
        ("cortex-a53", ["core.ports.neon=none"], "cortex-a53: core.ports.neon must be a whole number, not 'none'"),
        ("cortex-a53", ["clock=1"], "cortex-a53: clock is an unknown key"),
        ("cortex-a53", ["core.mispredict_cycles=[9, 3, 7]"], "the nominal value must lie between 7 and 9, not be 3"),
        ("cortex-a53", ["tlb.sources=[gossip]"], "gossip is cited but is no key of sources"),
    ],
)
def test_mistakes_are_told_in_a_sentence(name: str, settings: list[str], sentence: str) -> None:
    """Wrong names, keys, values, intervals and citations are refused."""
    with pytest.raises(InputError) as error:
        load_cpu(name, settings)
    assert sentence in str(error.value)
