"""User code: the one place that imports and calls what a user wrote."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from traces.errors import InputError


def call_user(source: str, name: str, *, seed: int = 0) -> tuple[nn.Module, tuple[torch.Tensor, ...] | None]:
    """Import a file or module and call what it defines under a name, without arguments.

    A file finds the modules beside it, a dotted module is found from the current directory; ``sys.path`` and
    torch's global random state are as before afterwards.

    Parameters
    ----------
    source
        A file that exists and ends in ``.py``, or a dotted module.
    name
        A function or class, or a torch module that stands there ready.
    seed
        Seeds torch while the user's code runs, so that random weights are the same in each call.

    Returns
    -------
    module, inputs
        Inputs are None where there is the module alone.

    Raises
    ------
    InputError
        If the source cannot be found or imported, the callable raises, or it returns something else.
    """
    is_file = source.endswith(".py")
    folder = Path(source).resolve().parent if is_file else Path.cwd()
    spec = f"{source}:{name}"
    with _search_path(folder, forget=is_file), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = _import_file(Path(source)) if is_file else importlib.import_module(source)
        except (Exception, SystemExit) as error:
            if isinstance(error, ModuleNotFoundError) and f"{source}.".startswith(f"{error.name}."):
                where = "in the current directory or among the installed packages"
                raise InputError(f"the module {source} cannot be found {where}") from None
            raise InputError(f"importing {source} {_raised(error, folder)}") from error
        found = getattr(module, name, None)
        if isinstance(found, nn.Module):
            return found, None
        if not callable(found):
            raise InputError(_not_callable(module, source, name, found))
        try:
            result = found()
        except (Exception, SystemExit) as error:
            raise InputError(f"{spec} {_raised(error, folder)}") from error
    return _model_and_inputs(result, spec)


@contextmanager
def _search_path(folder: Path, *, forget: bool) -> Iterator[None]:
    """Look for modules in the folder first; then, to ``forget``, unload those it gave.

    Two files in two folders may both have a sibling ``layers.py``: each must find its own.
    """
    path, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules if forget else ():
            top = name.partition(".")[0]
            beside = (folder / f"{top}.py").exists() or (folder / top / "__init__.py").exists()
            if beside and top not in modules:
                del sys.modules[name]


def _import_file(file: Path) -> ModuleType:
    """Run the file as a module under a name that no import statement finds."""
    name = f"user_code_{file.stem}"
    loader = SourceFileLoader(name, str(file.resolve()))
    module = ModuleType(name)
    module.__file__ = loader.path
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _not_callable(module: ModuleType, source: str, name: str, found: object) -> str:
    """Return the sentence about a name that cannot be called."""
    choices = [
        key
        for key, value in vars(module).items()
        if callable(value) and not key.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    near = get_close_matches(name, choices, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    listed = f"it defines {', '.join(choices[:10])}" if choices else "it defines no function or class"
    if found is None:
        return f"{source} has no '{name}'; {hint}{listed}"
    return f"{source}:{name} must be a function, a class or a torch module, not {type(found).__name__}; {listed}"


def _raised(error: BaseException, folder: Path) -> str:
    """Tell an exception in one line, with the innermost place in the user's own folder."""
    said = str(error).strip().splitlines()
    places = [
        f" ({Path(frame.filename).name}, line {frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)[1:]  # the first one is ours
        if Path(frame.filename).is_relative_to(folder) and "site-packages" not in frame.filename
    ]
    return f"raised {type(error).__name__}" + (f": {said[0]}" if said else "") + "".join(places[-1:])


def _model_and_inputs(result: object, spec: str) -> tuple[nn.Module, tuple[torch.Tensor, ...] | None]:
    """Check what the callable returned."""
    rule = "a torch.nn.Module, or a pair of one and its inputs (a tensor or a tuple of tensors)"
    if isinstance(result, nn.Module):
        return result, None
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], nn.Module):
        model, inputs = result
        inputs = (inputs,) if isinstance(inputs, torch.Tensor) else inputs
        if isinstance(inputs, tuple | list) and inputs and all(isinstance(t, torch.Tensor) for t in inputs):
            return model, tuple(inputs)
        rule, result = "a tensor or a tuple of tensors as inputs beside the module", inputs
    kind = result.__name__ + " itself" if inspect.isclass(result) else type(result).__name__
    raise InputError(f"{spec} must return {rule}, not {kind}")
