"""Archive: load a ``.pt2`` program without running anything it may contain but tensor operators."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from traces.errors import InputError
from traces.frontend.export import from_exported, reason
from traces.frontend.screen import decode, screen
from traces.graph import OpGraph

_MODEL = "models/model.json"
_INPUTS = "data/sample_inputs/model.pt"
_WEIGHTS, _CONSTANTS = "data/weights/", "data/constants/"
_CONFIGS = {_WEIGHTS: f"{_WEIGHTS}model_weights_config.json", _CONSTANTS: f"{_CONSTANTS}model_constants_config.json"}
_TENSORS = re.compile(rf"({_WEIGHTS}weight|{_CONSTANTS}tensor)_\d+", re.ASCII)
_COPIED = ("archive_format", "archive_version", "byteorder", ".data/version")
_IGNORED = ("extra/", ".data/")


def load(path: str | Path, *, unknown: str = "error") -> OpGraph:
    """Return the graph of a program that ``torch.export.save`` wrote.

    The file may come from anyone: ``torch.export.load`` would run code hidden in it (pickles, operator names,
    symbolic sizes, names that are pasted into source). Here it is read once, every part is checked
    (`traces.frontend.screen`), and torch is given a new archive made of the checked parts alone. Tensors are
    raw bytes in it; example inputs are unpickled with ``weights_only=True`` and kept out of it.

    Parameters
    ----------
    path
        The file.
    unknown
        As for `traces.trace`.

    Raises
    ------
    InputError
        If the file is missing, damaged, no ``.pt2`` program or holds more than data.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        parts = _read(data)
        inputs = _example_inputs(parts.pop(_INPUTS, b""))
        exported = torch.export.load(_rebuild(parts))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(f"{path} is not a program that this torch can load: {reason(error)}") from error
    return from_exported(exported, inputs, path.stem, unknown)


def _read(data: bytes) -> dict[str, bytes]:
    """Return the parts that are needed by their names inside the archive, all others refused or dropped."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename.partition("/")[2] for entry in entries]
            if len({entry.filename.partition("/")[0] for entry in entries}) > 1 or len(set(names)) < len(names):
                raise InputError("the archive must hold each file once, all in one folder")
            if any(entry.compress_type for entry in entries) or sum(e.file_size for e in entries) > len(data):
                raise InputError("the archive must be stored without compression, as torch.export.save writes it")
            parts = {name: archive.read(entry) for name, entry in zip(names, entries, strict=True) if _wanted(name)}
    # zipfile raises NotImplementedError for features of the format that it lacks, RuntimeError for encrypted files.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"not a zip archive, or damaged ({error}); write it with torch.export.save") from error
    for name in (_MODEL, *_CONFIGS.values()):
        if name not in parts:
            raise InputError(f"{name} is missing; write the file with torch.export.save of torch 2.9 or later")
    return parts


def _wanted(name: str) -> bool:
    if name in (_MODEL, _INPUTS, *_CONFIGS.values(), *_COPIED) or _TENSORS.fullmatch(name):
        return True
    if name.startswith(_IGNORED):
        return False
    raise InputError(
        f"it holds {name[:80]!r}, which is not part of a plain exported program (compiled code, pickled weights and"
        " custom objects are refused); write it with torch.export.save"
    )


def _example_inputs(data: bytes) -> tuple[torch.Tensor, ...] | None:
    """Return the flat example inputs; None if there are none."""
    if not data:
        return None
    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        raise InputError("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD makes torch run what a file says; unset it")
    try:
        stored = torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:
        raise InputError(f"the example inputs are more than tensors: {reason(error)}") from error
    flat = pytree.tree_leaves(stored)
    if not all(isinstance(value, torch.Tensor) for value in flat):
        raise InputError("the example inputs must be tensors; make other arguments part of the model")
    return tuple(flat) or None


def _rebuild(parts: dict[str, bytes]) -> io.BytesIO:
    """Return a new archive of the checked parts."""
    checked = {name: data for name, data in parts.items() if not name.endswith(".json")}
    for folder, config_name in _CONFIGS.items():
        config = screen(decode(parts[config_name], config_name))
        _check_payloads(config, folder, parts)
        checked[config_name] = json.dumps(config).encode()
    checked[_MODEL] = json.dumps(screen(decode(parts[_MODEL], _MODEL))).encode()
    checked[_INPUTS] = b""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, data in checked.items():
            writer.writestr(f"model/{name}", data)
    archive.seek(0)
    return archive


def _check_payloads(config: Any, folder: str, parts: dict[str, bytes]) -> None:  # noqa: ANN401 (JSON)
    """Refuse pickles, files that are not there, and large tensors that the file does not hold."""
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise InputError(f"the list of tensors in {folder} is malformed")
    for name, payload in config["config"].items():
        if not isinstance(payload, dict) or payload.get("use_pickle") is not False:
            raise InputError(f"{name} is stored as a pickle, which can run code; save the model with plain tensors")
        file = f"{folder}{payload.get('path_name')}"
        if not _TENSORS.fullmatch(file) or file not in parts:
            raise InputError(f"{name} is stored in {file[:80]!r}, which is no tensor of the archive")
        meta = payload.get("tensor_meta") or {}
        if not parts[file] and meta["device"]["type"] != "meta" and all(s["as_int"] for s in meta["sizes"]):
            raise InputError(f"{name} is stored without its values; save the model with its weights in memory")
