"""User code: what is run, what it finds, and the sentence about what goes wrong."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from traces.errors import InputError
from traces.user_code import call_user

GOOD = """
import torch
from torch import nn

class Net(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)

def alone():
    return Net()

def pair():
    return Net(), torch.ones(1, 3)

def pair_of_two():
    return Net(), [torch.ones(1, 3), torch.ones(2)]

ready = Net()
number = 3
def _hidden(): ...
"""


@pytest.fixture
def write(tmp_path):
    """Write a Python file and return its path as text."""

    def to(text: str, name: str = "model.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return to


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("Net", None),
        ("alone", None),
        ("ready", None),
        ("pair", [(1, 3)]),
        ("pair_of_two", [(1, 3), (2,)]),
    ],
)
def test_every_way_to_give_a_module(write, name, shapes):
    """A function, a class and a ready module all give a module; inputs come along where there are some."""
    model, inputs = call_user(write(GOOD), name)
    assert isinstance(model, nn.Linear)
    assert (inputs if inputs is None else [tuple(t.shape) for t in inputs]) == shapes


def test_random_weights_follow_the_seed_and_the_global_state_stays(write):
    """The same seed draws the same weights, and torch's generator is left as it was."""
    source, state = write(GOOD), torch.get_rng_state()
    first, again, other = (call_user(source, "alone", seed=seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_file_finds_its_own_siblings(write):
    """Files in two folders each find their own sibling of one name, also inside the call; no path stays."""
    before = list(sys.path)
    widths = []
    for width in (2, 5):
        write(f"WIDTH = {width}", f"folder{width}/sizes_of_net.py")
        text = (
            "def make():\n    from torch import nn\n    from sizes_of_net import WIDTH\n    return nn.Linear(WIDTH, 1)"
        )
        model, _ = call_user(write(text, f"folder{width}/model.py"), "make")
        widths.append(model.in_features)
    assert widths == [2, 5]
    assert sys.path == before
    assert "sizes_of_net" not in sys.modules


def test_a_package_is_found_from_the_current_directory(write, tmp_path, monkeypatch):
    """``package.module`` works where the user stands, and leaves sys.path alone."""
    write("", "some_user_package/__init__.py")
    write(GOOD, "some_user_package/nets.py")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    model, _ = call_user("some_user_package.nets", "alone")
    assert isinstance(model, nn.Linear)
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        (GOOD, "alon", "has no 'alon'; did you mean 'alone'? it defines Net, alone, pair, pair_of_two"),
        (GOOD, "number", "must be a function, a class or a torch module, not int; it defines Net, alone"),
        ("x = 1", "make", "has no 'make'; it defines no function or class"),
        ("def make(:", "make", "raised SyntaxError: invalid syntax (model.py, line 1)"),
        (
            "import no_such_thing",
            "make",
            "raised ModuleNotFoundError: No module named 'no_such_thing' (model.py, line 1)",
        ),
        ("import sys\nsys.exit(3)", "make", "raised SystemExit: 3 (model.py, line 2)"),
        (
            "def make():\n    raise KeyError('a\\nb')",
            "make",
            "model.py:make raised KeyError: 'a\\nb' (model.py, line 2)",
        ),
        ("def make():\n    raise OSError('one\\ntwo')", "make", "raised OSError: one (model.py, line 2)"),
        ("def make(width): ...", "make", "raised TypeError: make() missing 1 required positional argument: 'width'"),
        ("def make():\n    import sys\n    sys.exit()", "make", "raised SystemExit (model.py, line 3)"),
        ("def make(): ...", "make", "must return a torch.nn.Module, or a pair of one and its inputs"),
        ("from torch import nn\ndef make(): return nn.ReLU", "make", "tuple of tensors), not ReLU itself"),
        (
            "from torch import nn\ndef make(): return nn.ReLU(), 3",
            "make",
            "must return a tensor or a tuple of tensors as inputs beside the module, not int",
        ),
        ("from torch import nn\ndef make(): return nn.ReLU(), ()", "make", "beside the module, not tuple"),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(write, text, name, sentence):
    """No traceback for a user's mistake: one line with the exception and its place."""
    with pytest.raises(InputError) as told:
        call_user(write(text), name)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_modules_that_are_missing_or_broken(write, tmp_path, monkeypatch):
    """A module that is not there is told apart from one whose own import fails."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"the module no\.such cannot be found in the current directory or among"):
        call_user("no.such", "make")
    write("import no_such_thing", "broken_user_module.py")
    with pytest.raises(InputError, match=r"importing broken_user_module raised ModuleNotFoundError: .*no_such_thing"):
        call_user("broken_user_module", "make")
