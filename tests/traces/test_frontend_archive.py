"""Loading ``.pt2`` files, of friends and of foes."""

import contextlib
import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

import traces
from traces.errors import InputError
from traces.frontend import archive

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
INPUTS = "data/sample_inputs/model.pt"


class Net(nn.Module):
    """A convolution, a norm, attention, a recurrent layer, a buffer and a dict of outputs."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(2, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.lstm = nn.LSTM(4, 3)
        self.register_buffer("shift", torch.arange(4.0))

    def forward(self, image):
        """Run it."""
        rows = self.conv(image).flatten(2).transpose(1, 2) + self.shift
        return {"rows": self.layer(rows), "last": self.lstm(rows)[1]}


@pytest.fixture(scope="module")
def saved():
    """Return (model, input, exported program, bytes of the archive)."""
    torch.manual_seed(0)
    model, image = Net().eval(), torch.randn(2, 2, 3, 3)
    with torch.no_grad():
        exported = torch.export.export(model, (image,))
    return model, image, exported, to_bytes(exported)


def to_bytes(exported) -> bytes:
    """Return what torch.export.save writes."""
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def small():
    """Return the parts of a saved linear layer, by name inside the archive."""
    exported = torch.export.export(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (torch.ones(1, 3),))
    return unzip(to_bytes(exported))


def unzip(data: bytes) -> dict[str, bytes]:
    """Return the parts of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def write(path, parts, **options):
    """Write parts as an archive and return its path."""
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in parts.items():
            file.writestr(f"small/{name}", data)
    return path


def edited(parts, name, edit):
    """Return the parts with the JSON of one of them edited in place."""
    document = json.loads(parts[name])
    edit(document)
    return {**parts, name: json.dumps(document).encode()}


def same(first, second):
    """Whether two graphs have the same ops, edges and weights."""
    return (
        list(first) == list(second)
        and list(first.dag.edges) == list(second.dag.edges)
        and all(np.array_equal(first.weights[key], second.weights[key]) for key in (first.weights | second.weights))
    )


def test_a_saved_program_gives_the_graph_of_tracing(saved, tmp_path):
    """Ops, edges, weights, outputs and example inputs survive the file."""
    model, image, _, data = saved
    path = tmp_path / "net.pt2"
    path.write_bytes(data)
    graph = archive.load(path)
    assert graph.name == "net"
    assert same(graph, traces.trace(model, image))
    assert torch.equal(graph.program.example_inputs[0], image)
    want, got = model(image), graph.program.run((image,), graph.weights)
    torch.testing.assert_close(got, want)


def test_a_decomposed_program_gives_the_same_products(saved, tmp_path):
    """A program of core operators only (addmm, bmm, unrolled LSTM) computes the same, with shared weights."""
    model, image, exported, _ = saved
    path = tmp_path / "core.pt2"
    path.write_bytes(to_bytes(exported.run_decompositions()))
    graph = archive.load(path)
    torch.testing.assert_close(graph.program.run((image,), graph.weights), model(image))
    assert len(graph.weights) == len(traces.trace(model, image).weights)


class Evil:
    """Pickles to a call that creates a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def evil_tensor(marker) -> bytes:
    """Return what torch.save makes of it."""
    buffer = io.BytesIO()
    torch.save(Evil(marker), buffer)
    return buffer.getvalue()


def pickled_weight(parts, marker):
    """Hide code in a weight."""
    parts = edited(parts, WEIGHTS, lambda d: d["config"]["0.weight"].update(use_pickle=True))
    return {**parts, "data/weights/weight_0": evil_tensor(marker)}


def pickled_inputs(parts, marker):
    """Hide code in the example inputs."""
    return {**parts, INPUTS: evil_tensor(marker)}


def pickled_constant(parts, marker):
    """Hide code in a constant object."""
    payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    parts = edited(parts, CONSTANTS, lambda d: d["config"].update(thing=payload))
    return {**parts, "data/constants/opaque_obj_0": pickle.dumps(Evil(marker))}


def legacy_weights(parts, marker):
    """Hide code in the weights file of an older format."""
    return {**parts, "data/weights/model.pt": evil_tensor(marker)}


def symbolic_size(parts, marker):
    """Hide code in a size, which sympy evaluates."""

    def edit(document):
        sizes = document["graph_module"]["graph"]["tensor_values"]["relu"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": f"open({str(marker)!r}, 'w')", "hint": None}}

    return edited(parts, MODEL, edit)


def file_operator(parts, marker):
    """Call the tensor operator that maps a file, which creates it."""

    def edit(document):
        node = document["graph_module"]["graph"]["nodes"][1]
        node["target"] = "torch.ops.aten.from_file.default"
        given = {"filename": {"as_string": str(marker)}, "shared": {"as_bool": True}, "size": {"as_int": 4}}
        node["inputs"] = [{"name": name, "arg": arg, "kind": 1} for name, arg in given.items()]

    return edited(parts, MODEL, edit)


def guard_code(parts, marker):
    """Hide code in a guard, which torch executes as source."""
    return edited(parts, MODEL, lambda d: d.update(guards_code=[f"open({str(marker)!r}, 'w')"]))


def argument_name(parts, marker):
    """Hide code in the name of an input, which torch pastes into source."""
    name = json.dumps(f"x=open({str(marker)!r}, 'w')").encode()
    model = parts[MODEL].replace(b'{"name": "input"}', b'{"name": ' + name + b"}")
    return {**parts, MODEL: model.replace(b'"input": {"dtype"', name + b': {"dtype"')}


def tree_import(parts, marker):
    """Import a module while the tree of inputs is read."""
    (marker.parent / "payload_module.py").write_text(f"open({str(marker)!r}, 'w')\n")

    def edit(document):
        signature = document["graph_module"]["module_call_graph"][0]["signature"]
        tree = json.loads(signature["in_spec"])
        tree[1]["context"] = json.dumps({"__enum__": True, "fqn": "payload_module:X", "name": "Y"})
        signature["in_spec"] = json.dumps(tree)

    return edited(parts, MODEL, edit)


ATTACKS = [
    pickled_weight,
    pickled_inputs,
    pickled_constant,
    legacy_weights,
    symbolic_size,
    file_operator,
    guard_code,
    argument_name,
    tree_import,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_file_runs_code(attack, small, tmp_path, monkeypatch):
    """Each attack works on torch's own loader, and leaves no mark here: it is refused, or its code dropped."""
    monkeypatch.syspath_prepend(str(tmp_path))
    marker = tmp_path / "marker"
    path = write(tmp_path / "evil.pt2", attack(small, marker))
    with contextlib.suppress(InputError):
        graph = archive.load(path)
        graph.program.run((torch.ones(1, 3),))
        assert attack is guard_code, "only guards may be dropped, everything else must be refused"
    assert not marker.exists()
    with contextlib.suppress(Exception):
        torch.export.load(path).module()(torch.ones(1, 3))
    assert marker.exists(), "the attack does not work at all, so it tests nothing"


def rename(key, value):
    """Return an edit of the first weight's payload."""
    return lambda parts: edited(parts, WEIGHTS, lambda d: d["config"]["0.weight"].update({key: value}))


def node_edit(**changes):
    """Return an edit of the first node."""
    return lambda parts: edited(parts, MODEL, lambda d: d["graph_module"]["graph"]["nodes"][0].update(changes))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda parts: {}, r"models/model.json is missing"),
        (rename("path_name", "../../models/model.json"), "more than a name"),
        (rename("path_name", "weight_9"), "no tensor of the archive"),
        (lambda parts: {**parts, "data/weights/weight_0": b""}, "stored without its values"),
        (lambda parts: {**parts, "data/weights/weight_0": b"1234"}, "is not a program that this torch can load"),
        (lambda parts: {**parts, "data/aotinductor/model/a.so": b""}, "compiled code"),
        (lambda parts: {**parts, MODEL: b"{"}, "not valid JSON"),
        (lambda parts: {**parts, MODEL: b"[" * 100_000}, "not valid JSON"),
        (node_edit(target="torch.hub.load"), "no operator of an exported model"),
        (node_edit(target="#extension:op"), "no operator of an exported model"),
        (node_edit(target="torch.ops.higher_order.cond"), "no operator of an exported model"),
        (node_edit(name="torch.load"), "more than a name"),
        (node_edit(name={"as_string": "x"}), "must be a name"),
        (lambda parts: edited(parts, MODEL, lambda d: d.update(range_constraints={"s0": {}})), "not fixed"),
    ],
)
def test_damage_is_told_in_a_sentence(edit, message, small, tmp_path):
    """Missing, renamed, damaged and foreign parts are refused with the file's name."""
    path = write(tmp_path / "bad.pt2", edit(small))
    with pytest.raises(InputError, match=message) as caught:
        archive.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_broken_files_are_told_in_a_sentence(saved, small, tmp_path):
    """No file, no zip, half a zip, a compressed or an ambiguous one: a sentence, never a traceback."""
    path = tmp_path / "x.pt2"
    with pytest.raises(InputError, match="cannot be read: No such file"):
        archive.load(path)
    for data in (b"", b"hello", saved[3][: len(saved[3]) // 2]):
        path.write_bytes(data)
        with pytest.raises(InputError, match="not a zip archive, or damaged"):
            archive.load(path)
    with pytest.raises(InputError, match="without compression"):
        archive.load(write(path, small, compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(write(path, small), "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(f"small/{MODEL}", b"{}")
    with pytest.raises(InputError, match="each file once"):
        archive.load(path)
    with zipfile.ZipFile(write(path, small), "a") as file:
        file.writestr(f"other/{MODEL}", b"{}")
    with pytest.raises(InputError, match="each file once"):
        archive.load(path)


def test_dynamic_shapes_are_refused(tmp_path):
    """A program exported for any batch size has no fixed cost."""
    shapes = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(nn.Linear(3, 2), (torch.ones(4, 3),), dynamic_shapes=shapes)
    path = tmp_path / "dynamic.pt2"
    path.write_bytes(to_bytes(exported))
    with pytest.raises(InputError, match="fixed shapes"):
        archive.load(path)
