"""Progress: what is going on, for someone who watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show what takes a while, on stderr and only if that is a terminal.

    What a user's own model prints meanwhile goes to stderr too: stdout is for results.
    """
    with redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(what):
            yield
