"""Errors: how the command line ends when something is wrong.

| what                      | on stderr                          | exit code |
|---------------------------|------------------------------------|-----------|
| wrong input or usage      | ``codesign: SENTENCE``, one line   | 2         |
| out of memory             | the same                           | 1         |
| Ctrl-C                    | the same                           | 130       |
| reader of the output left | nothing                            | 141       |
| a mistake of ours         | its traceback, with a note         | 1         |
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from typing import Any, NoReturn

import click


class Commands(click.Group):
    """A group that tells users what they did wrong in one line, and keeps tracebacks for mistakes of ours."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (as click's)
        """Run the command line and exit."""
        try:
            status = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.Abort:  # what click makes of KeyboardInterrupt
            _end("interrupted; nothing was written", 130)
        except click.ClickException as error:
            _end(_usage(error), 2)
        except MemoryError:
            _end("out of memory; try a smaller model or batch, or fewer tiles with larger buffers", 1)
        except Exception as error:
            if not _is_input_error(error):
                error.add_note("codesign: this is a mistake in codesign, not in your input; please report it")
                raise
            _end(str(error), 2)
        sys.exit(status if isinstance(status, int) else 0)

    def invoke(self, context: click.Context) -> Any:  # noqa: ANN401 (as click's)
        """Run a command; end in silence if the reader of its output has left."""
        try:
            return super().invoke(context)
        except BrokenPipeError:
            # Whatever is still buffered would fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(141)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which names are near."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.commands, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it must be one of {', '.join(self.commands)}"
            raise click.UsageError(f"no command '{args[0]}'; {hint}")
        return super().resolve_command(context, args)


def _is_input_error(error: Exception) -> bool:
    from kernels.formats import FormatError
    from traces.errors import InputError

    return isinstance(error, InputError | FormatError)


def _usage(error: click.ClickException) -> str:
    """Return click's sentence without its full stop, and where to read on."""
    said = error.format_message().rstrip(".").replace(". Did", "; did")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return said[:1].lower() + said[1:] + (f"; see {context.command_path} --help" if context and "?" not in said else "")


def _end(sentence: str, status: int) -> NoReturn:
    """Print one line on stderr, without what a terminal would obey, and exit."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(sentence.split()))
    click.echo(f"codesign: {line}", err=True)
    sys.exit(status)
