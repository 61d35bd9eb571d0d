"""Interval: a constant of a core as far as it is known: its likely value and how far the sources disagree."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from hw_models.config import Config

#: Which end of every interval a prediction is made with.
End = Literal["fast", "nominal", "slow"]


class Interval(Config):
    """A figure with its fastest and slowest believable value; in YAML one number, or ``[fast, nominal, slow]``.

    ``fast`` is the end that makes programs faster: the smallest latency, the largest bandwidth.
    """

    fast: float = Field(ge=0, le=1e12, strict=False)
    nominal: float = Field(ge=0, le=1e12, strict=False)
    slow: float = Field(ge=0, le=1e12, strict=False)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds, before it is checked
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"fast": value, "nominal": value, "slow": value}
        if isinstance(value, list):
            if len(value) != 3:
                raise ValueError(f"an interval must be one number or [fast, nominal, slow], not {value}")
            return dict(zip(("fast", "nominal", "slow"), value, strict=True))
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = sorted((self.fast, self.slow))
        if not low <= self.nominal <= high:
            raise ValueError(f"the nominal value must lie between {low:g} and {high:g}, not be {self.nominal:g}")
        return self

    def at(self, end: End) -> float:
        """Return the value at one end, or the nominal one."""
        value: float = getattr(self, end)
        return value
