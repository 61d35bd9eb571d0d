"""Config: how accelerator configs are read, changed by ``--set`` and checked, once, at the edge."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from traces.errors import InputError


class Config(BaseModel):
    """A frozen, strictly checked section of a config: unknown keys and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, values: dict[str, Any], where: str) -> Self:
        """Check a mapping and return the config.

        Raises
        ------
        InputError
            Naming the path of the first wrong key, the rule it breaks, and for unknown keys the known ones.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{where}: {_sentence(cls, error.errors()[0])}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file (data only: no tags that build objects).

    Raises
    ------
    InputError
        If the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date that there is not; endless nesting
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise InputError(f"{path} must be YAML, but has a mistake{line}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a mapping of keys to values, not {type(values).__name__}")
    return values


def config_file(name_or_path: str, folder: Path, what: str, more: str) -> Path:
    """Return the file of a config that is named, of those in a folder, or given by its path.

    Parameters
    ----------
    name_or_path
        As a user gave it; a path ends in .yaml or .yml.
    folder
        The configs that ship with the package, a .yaml file each.
    what, more
        What it is, and what else can be done, in the message.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    names = config_names(folder)
    if name_or_path not in names:
        near = difflib.get_close_matches(name_or_path, names, n=3, cutoff=0.4)
        meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)};"
        raise InputError(f"unknown {what} {name_or_path!r}; {meant} {more}")
    return folder / f"{name_or_path}.yaml"


def config_names(folder: Path) -> list[str]:
    """Return the names of the configs in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def with_settings(values: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return the mapping with ``path.to.key=value`` settings laid over it; values are read as YAML."""
    merged = _copy(values)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not all(part.strip() for part in path.split(".")) or not text.strip():
            raise InputError.must("--set", "of the form key=value, such as array.rows=64", setting)
        *sections, key = path.strip().split(".")
        at = merged
        for section in sections:
            at = at.setdefault(section, {})
            if not isinstance(at, dict):
                raise InputError(f"--set {setting}: {section} is a value and has no keys of its own")
        try:
            at[key] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise InputError.must(f"--set {path}", "a YAML value", text) from None
    return merged


def _copy(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in values.items()}


_RULES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "too_short": "a list of at least one",
    "model_type": "a section with keys of its own",
}


def _sentence(config: type[Config], error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        *sections, key = error["loc"]
        known = list(_section(config, sections).model_fields)
        near = difflib.get_close_matches(str(key), known, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        return f"{path} is an unknown key{meant}; known keys there: {', '.join(known)}"
    if error["type"] == "missing":
        return f"{path} is missing; give it a value"
    if error["type"] == "value_error":
        return (f"{path}: " if path else "") + error["msg"].removeprefix("Value error, ")
    rule = _RULES.get(error["type"], error["msg"].removeprefix("Input should be "))
    return str(InputError.must(path, rule, error["input"]))


def _section(config: type[Config], path: list[int | str]) -> type[Config]:
    for part in path:
        annotation = config.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, Config)
        config = annotation
    return config
