"""Several cores contend for DRAM alike in both executors."""

import numpy as np
import pytest

from hw_models.cpus import load_cpu
from hw_models.cpus.cache import Fills
from hw_models.cpus.layer import LayerTime
from hw_models.cpus.threads import threads_pipeline
from hw_models.pipeline import compiled, simpy_engine
from traces.errors import InputError

NOTHING = Fills(0.0, *np.zeros((3, 1)))


def layer(cycles: float, moved: float) -> LayerTime:
    """Return a layer of so much work and DRAM traffic."""
    return LayerTime(cycles=cycles, parts={"inner loops": cycles}, bound_by="fma", fills=NOTHING, dram_bytes=moved)


LAYERS = [layer(40_000, 2_000), layer(10_000, 90_000), layer(3_001, 17)]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_both_executors_agree(threads: int) -> None:
    """Every token ends in the same cycle in SimPy and compiled."""
    pipeline = threads_pipeline(load_cpu("cortex-a53"), LAYERS, threads)
    fast, slow = compiled.run(pipeline), simpy_engine.run(pipeline)
    for stage in pipeline.stages:
        np.testing.assert_array_equal(fast.end_cycles[stage.name], slow.end_cycles[stage.name])


def test_work_scales_and_memory_does_not() -> None:
    """Compute-bound layers take a fourth on four cores; memory-bound ones only what the channel has beyond one core."""
    cpu = load_cpu("cortex-a53")
    spans = {
        kind: [compiled.run(threads_pipeline(cpu, [one], threads)).total_cycles for threads in (1, 4)]
        for kind, one in {"compute": layer(1e6, 100), "memory": layer(100, 1e6)}.items()
    }
    assert spans["compute"][0] / spans["compute"][1] == pytest.approx(4, rel=0.01)
    channel = cpu.dram.total_bytes_per_second.nominal / cpu.dram.bytes_per_second.nominal
    assert spans["memory"][0] / spans["memory"][1] == pytest.approx(channel, rel=0.1)


def test_more_threads_than_cores_are_refused() -> None:
    """The sentence names the core and its number."""
    with pytest.raises(InputError, match="threads must be between 1 and the 8 cores of cortex-a53, not 9"):
        threads_pipeline(load_cpu("cortex-a53"), LAYERS, 9)
