"""The dataflow scheduler: which dataflow, tiles and loop order each op runs with."""

from codesign.schedule.plan import Plan, make_ideal_plan, make_plan, steps_of

__all__ = ["Plan", "make_ideal_plan", "make_plan", "steps_of"]
