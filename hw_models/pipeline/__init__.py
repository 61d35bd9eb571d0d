"""Everything that takes time is a stage that serves tokens in order; FIFOs, resources and edges join them.

Two executors run the same `Pipeline`: ``simpy_engine.run``, the readable reference, and ``compiled.run``. They agree
on every start.

>>> from hw_models.pipeline import Fifo, Pipeline, Stage, compiled, simpy_engine
>>> loads, works = Stage("load", [4, 4, 4]), Stage("work", [6, 6, 6])
>>> double_buffered = Pipeline((loads, works), (Fifo("load", "work", capacity=2),))
>>> schedule = compiled.run(double_buffered)
>>> schedule.total_cycles, schedule.start("work").tolist()
(22, [4, 10, 16])
>>> schedule.waited("work")["operand FIFO load->work"].tolist()
[4, 0, 0]
>>> simpy_engine.run(double_buffered).total_cycles
22
"""

from hw_models.pipeline.parts import Edge, Fifo, Resource, Stage
from hw_models.pipeline.pipeline import DeadlockError, Pipeline
from hw_models.pipeline.schedule import Schedule

__all__ = ["DeadlockError", "Edge", "Fifo", "Pipeline", "Resource", "Schedule", "Stage"]
