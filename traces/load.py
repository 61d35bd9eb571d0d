"""Load: from what a user names as MODEL to an `OpGraph`."""

from __future__ import annotations

from pathlib import Path

from traces import zoo
from traces.errors import InputError
from traces.graph import OpGraph
from traces.topology import read_topology


def load_model(
    spec: str, *, input_path: Path | None = None, unknown: str = "error", seed: int = 0, sequence: bool = False
) -> OpGraph:
    """Load a model by what names it; only the first form runs code of the user's.

    ``model.py:make`` or ``package.module:make``
        A callable without arguments that returns a torch module, or a pair of one and its inputs (a tensor
        or a tuple of tensors).
    ``model.pt2``
        A program saved by ``torch.export.save``.
    ``model.nir``
        A spiking network in the Neuromorphic Intermediate Representation; it needs inputs.
    ``model.csv``
        A topology table: `traces.topology.read_topology`.
    ``resnet50`` or ``zoo:resnet50``
        A network of `traces.zoo`, with random weights and inputs; ``mobilenet_v2@0.75-160`` is one at another scale.

    Parameters
    ----------
    spec
        One of the forms above.
    input_path
        A .npy or .npz file (`traces.input_file.read_inputs`) whose arrays replace the inputs of a torch module.
    unknown
        What to do about an operator of the program that is not known: see `traces.frontend.export.trace`.
    sequence
        Whether the inputs are a sequence for `traces.delta.capture_delta`: a model without recurrent layers is then
        traced on its first frame, and a program keeps the inputs it was saved with.
    seed
        Seeds the zoo, and torch while the user's callable runs.

    Returns
    -------
    OpGraph
        Named after the network of the zoo, the callable, or the file's stem.

    Raises
    ------
    InputError
        If the model or its inputs cannot be had; the sentence says what to do.
    """
    suffix = Path(spec).suffix.lower()
    if suffix == ".csv":
        if input_path is not None:
            raise InputError(f"--input must be left out with {spec}: a topology table has shapes, not operators")
        return read_topology(spec)
    if suffix == ".pt2":
        return _load_archive(Path(spec), None if sequence else input_path, unknown)

    if suffix == ".nir":
        return _load_nir(Path(spec), input_path, unknown)

    source, _, name = spec.rpartition(":")
    entry = zoo.find(spec)
    if entry is None:
        _check_callable(spec, source, name)
    # Torch from here on.
    from traces.frontend.export import trace
    from traces.input_file import read_inputs
    from traces.user_code import call_user

    given = None if input_path is None else read_inputs(input_path)
    if entry:
        name = entry.name
    model, own = zoo.build(name, seed=seed) if entry else call_user(source, name, seed=seed)
    inputs = own if given is None else given
    if inputs is None:
        raise InputError(
            f"{spec} has no inputs to be traced with: return a pair (module, inputs) from {name}, or give a"
            " .npy or .npz file with --input"
        )
    if sequence and given is not None:
        from traces.delta import tracing_inputs

        inputs = tracing_inputs(model, given, own)
    return trace(model, *inputs, name=name, unknown=unknown)


def check_file(path: Path, what: str) -> None:
    """Refuse a file that is missing, a directory or empty.

    Raises
    ------
    InputError
        In these cases; the sentence begins with ``what`` the file is.
    """
    if not path.exists():
        raise InputError(f"{what} {path} does not exist")
    if path.is_dir():
        raise InputError(f"{what} {path} is a directory")
    if path.stat().st_size == 0:
        raise InputError(f"{what} {path} is empty")


def _load_archive(path: Path, input_path: Path | None, unknown: str) -> OpGraph:
    """Load a program; given inputs of the traced shapes take the place of those it was saved with."""
    check_file(path, "the program file")
    from traces.frontend import archive
    from traces.input_file import read_inputs

    graph = archive.load(path, unknown=unknown)
    if input_path is not None:
        if graph.program is None:
            raise InputError(f"--input must be left out with {path}: the file holds shapes and no weights to run")
        inputs = read_inputs(input_path)
        graph.program.check(inputs)
        graph.program.example_inputs = inputs
    return graph


def _load_nir(path: Path, input_path: Path | None, unknown: str) -> OpGraph:
    """Load a spiking network; its inputs say how many timesteps it runs."""
    check_file(path, "the network file")
    if input_path is None:
        raise InputError(f"{path} needs --input: a .npy file of spikes (timesteps, batch, ...)")
    from traces.frontend.export import trace
    from traces.input_file import read_inputs
    from traces.nir_file import read_nir

    return trace(read_nir(path), *read_inputs(input_path), name=path.stem, unknown=unknown)


def _check_callable(spec: str, source: str, name: str) -> None:
    """Refuse what cannot be ``file.py:callable`` or ``package.module:callable``, before any of it runs."""
    if spec.endswith((".py", ".py:")):
        file = spec.removesuffix(":")
        check_file(Path(file), "the model file")
        raise InputError(f"{file} must be followed by a colon and the name of a function, as in {file}:make_model")
    if source.endswith(".py") and name:
        check_file(Path(source), "the model file")
    elif source == "zoo" or not name.isidentifier() or not all(map(str.isidentifier, source.split("."))):
        near = zoo.near_misses(spec)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise InputError(
            f"no model '{spec}': {hint}MODEL must be file.py:callable, package.module:callable, a .pt2 or .nir program,"
            f" a .csv topology, or one of the zoo: {', '.join(sorted(zoo.ZOO))}"
        )
