"""Study: what a sweep is asked for, read from YAML and checked before anything is simulated."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticKnownError

from traces.errors import InputError

Objective = Literal["cycles", "time_s", "energy_pj", "pes", "sram_bytes", "dram_bytes", "accuracy"]
OptimizerName = Literal["grid", "random", "nsga2", "tpe"]

#: Objectives of which more is better; all others are minimised.
MAXIMISED = ("accuracy",)


def _named(key: str) -> BeforeValidator:
    """Let an entry be given by its main value alone."""
    return BeforeValidator(lambda value: value if isinstance(value, dict) else {key: value})


class Section(BaseModel):
    """A frozen, strictly checked part of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _no_switch(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticKnownError("float_type")
    return value


#: Not strict, as PyYAML takes 1e9 for text; yet true is no number.
Number = Annotated[float, Field(strict=False), BeforeValidator(_no_switch)]


class ModelEntry(Section):
    """A model as `codesign simulate` takes it, the name it has in results, and that command's options for it."""

    model: str = Field(min_length=1)
    name: str | None = Field(default=None, min_length=1)
    input: str | None = None
    activations: str | None = None
    training: bool = False
    rules: dict[str, str] = Field(default_factory=dict)


class WeightsEntry(Section):
    """A sparsity pattern, and the accuracy that the user has measured with it."""

    pattern: str = Field(min_length=1)
    accuracy: Number | None = None


class AcceleratorEntry(Section):
    """A design space: a base config and what is varied in it."""

    base: str = Field(min_length=1)
    name: str | None = Field(default=None, min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict, alias="set")
    dataflow: Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = Field(
        default=["auto"], min_length=1
    )


class Limits(Section):
    """The least and the most that a measure may be."""

    min: Number | None = None
    max: Number | None = None


class Study(Section):
    """Models, patterns, design spaces, and what makes a point of them good."""

    name: str = Field(min_length=1)
    description: str = ""
    seed: int = Field(default=0, ge=0, lt=2**32)
    models: list[Annotated[ModelEntry, _named("model")]] = Field(min_length=1)
    weights: list[Annotated[WeightsEntry, _named("pattern")]] = Field(
        default=[WeightsEntry(pattern="dense")], min_length=1
    )
    accelerators: list[Annotated[AcceleratorEntry, _named("base")]] = Field(default_factory=list)
    cpus: list[str] = Field(default_factory=list)
    objectives: list[Objective] = Field(default=["cycles", "energy_pj"], min_length=1, max_length=4)
    constraints: dict[Objective, Limits] = Field(default_factory=dict)
    optimizer: OptimizerName = "grid"
    budget: int | None = Field(default=None, ge=1)
    prune: bool = True


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A study, its text, what messages call it, and the folder that its paths start from."""

    study: Study
    text: str
    where: str
    folder: Path

    @classmethod
    def read(cls, source: Path | str) -> Self:
        """Read a study from a YAML file, or by the name of one that ships with the package.

        Raises
        ------
        InputError
            Naming the path of the first wrong key in the file, the rule it breaks, and for unknown keys the known ones.
        """
        path = _located(source)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from None
        return cls.of(text, str(source), path.parent)

    @classmethod
    def of(cls, text: str, where: str, folder: Path) -> Self:
        """Read a study from YAML text; ``where`` begins the messages."""
        values = _mapping(text, where)
        try:
            study = Study.model_validate(values)
        except ValidationError as error:
            raise InputError(f"{where}: {_sentence(error.errors()[0])}") from None
        return cls(study, text, where, folder)

    def path(self, text: str) -> str:
        """Return a path of the study, relative to its folder, as one that can be opened."""
        return str(self.folder / text)

    def error(self, path: str, sentence: object) -> InputError:
        """Return the error about what is at a path in the file."""
        return InputError(f"{self.where}: {path}: {sentence}")

    def must(self, path: str, rule: str, value: object, hint: str = "") -> InputError:
        """Return the error "PATH must be RULE, not VALUE"."""
        return InputError(f"{self.where}: {InputError.must(path, rule, value, hint)}")


def study_names() -> list[str]:
    """Return the names of the studies that ship with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


_SHIPPED = Path(__file__).parents[1] / "studies"


def _located(source: Path | str) -> Path:
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path} is a directory; name the study, a .yaml file")
    if path.exists():
        return path
    shipped = _SHIPPED / f"{source}.yaml"
    if path.suffix not in (".yaml", ".yml") and path.name == str(source) and shipped.exists():
        return shipped
    near = difflib.get_close_matches(str(source), study_names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"studies that ship with codesign: {', '.join(study_names())}"
    raise InputError(f"no study {str(source)!r}: there is no such file; {hint}")


class _Loader(yaml.SafeLoader):
    """Loads plain data and refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping of different keys."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int | float) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is given twice", key_node.start_mark)
            if isinstance(key, str | int | float):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        values = yaml.load(text, Loader=_Loader)
    except (ValueError, RecursionError) as error:  # a date or a number that is none, a thousand lists in each other
        raise InputError(f"{where} must be YAML, but has a mistake: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None)
        raise InputError(
            f"{where} must be YAML, but has a mistake{line}" + (f": {problem}" if problem else "")
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{where} must hold a mapping of keys to values, not {type(values).__name__}")
    return values


_RULES: dict[str, str | Callable[[dict[str, Any]], str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "invalid_key": "a key of text",
    "string_too_short": "text that is not empty",
    "list_type": "a list",
    "dict_type": "a section with keys of its own",
    "model_type": "a section with keys of its own",
    "literal_error": lambda context: f"one of {context['expected']}",
    "too_short": lambda context: f"a list of at least {context['min_length']}",
    "too_long": lambda context: f"a list of at most {context['max_length']}",
}


def _sentence(error: ErrorDetails) -> str:
    """Return an error of pydantic's in the words of the house."""
    # The key of a mapping that is wrong itself is told as [key].
    path = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        *sections, key = error["loc"]
        known = _known_keys(sections)
        near = difflib.get_close_matches(str(key), known, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        return f"{path} is an unknown key{meant}; known keys there: {', '.join(known)}"
    if error["type"] == "missing":
        return f"{path} is missing; give it a value"
    rule = _RULES.get(error["type"], error["msg"].removeprefix("Input should be "))
    said = rule if isinstance(rule, str) else rule(error.get("ctx", {}))
    if error["type"] == "literal_error" and "[key]" in error["loc"]:
        return f"{path} is an unknown measure; known ones: {', '.join(get_args(Objective))}"
    hint = ""
    if path.startswith("weights") and path.endswith("pattern") and isinstance(error["input"], int):
        hint = 'a pattern needs quotes in YAML, "2:4"'
    return str(InputError.must(path, said, error["input"], hint))


def _known_keys(path: Sequence[int | str]) -> list[str]:
    """Return the keys of the section at a path in a study."""
    at: Any = Study
    for part in path:
        if isinstance(at, type) and issubclass(at, BaseModel):
            at = next(f.annotation for name, f in at.model_fields.items() if part in (f.alias, name))
        else:
            at = get_args(at)[-1]
        while get_origin(at) is Annotated or isinstance(at, UnionType):
            at = get_args(at)[0]
    return [field.alias or name for name, field in at.model_fields.items()]


def is_number(value: object) -> bool:
    """Return whether a value of YAML is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
