"""What is typed is what the commands get, through Hydra's own grammar."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from steel_defects.cli.arguments import TYPED, prepare, quote, read_lists, read_paths, refuse_unknown, rename

PATHS = [
    "strips",
    "2026_01_31",  # a number with underscores, to Python and YAML
    "1e3",
    "1.10",
    "true",
    "nan",
    "lot 7/ünï (1).png",
    "s[0-9]/**/*.png",
    "~/x",
    "it's",
    "a\\b\\",
    "a,b",
    "a=b",
    "{x}#y",
    "../x/best.ckpt",
    'q"q',
]


@pytest.mark.parametrize("path", PATHS)
def test_paths_arrive_as_typed(path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command", f"input={path}", "white=4095"])
    quote(("input",))
    assert OverridesParser.create().parse_override(sys.argv[1]).value() == path
    assert sys.argv[2] == "white=4095"


@pytest.mark.parametrize("word", ["input=[a.ckpt,b.ckpt]", "input=null", "input='a b'", 'input="a b"', "other=1.10"])
def test_what_is_left_alone(word, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command", word])
    quote(("input",))
    assert sys.argv[1] == word


def test_choices_of_a_sweep_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command", "--multirun", "input=a,b"])
    quote(("input",))
    assert sys.argv[2] == "input=a,b"


@pytest.mark.parametrize(
    ("typed", "paths"),
    [
        ("a", ["a"]),
        ("a, b,", ["a", "b"]),
        ("data.size=[96,96],seed=1", ["data.size=[96,96]", "seed=1"]),
        ("x[1,2]y,z", ["x[1,2]y", "z"]),
    ],
)
def test_lists_of_paths_are_divided_at_commas_outside_of_brackets(monkeypatch, typed, paths):
    monkeypatch.setattr(sys, "argv", ["command", f"tags={typed}"])
    read_paths("tags")
    assert OverridesParser.create().parse_override(sys.argv[1]).value() == paths


def test_lists_and_other_names(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["command", "format=onnx,openvino", "precision=[fp32]", "model=a.onnx", "models=b"]
    )
    read_lists(("format", "precision"))
    rename("model", "checkpoint")
    assert sys.argv[1:] == ["format=[onnx,openvino]", "precision=[fp32]", "checkpoint=a.onnx", "models=b"]


@pytest.mark.parametrize("command", TYPED)
def test_each_command_reads_its_own_keys_as_typed(command, monkeypatch):
    typed = TYPED[command]
    words = dict.fromkeys(typed.paths, "1.10") | dict.fromkeys((*typed.path_lists, *typed.lists), "1.10,b")
    monkeypatch.setattr(sys, "argv", [command, *(f"{key}={value}" for key, value in words.items()), "other=1.10"])
    prepare(command)
    read = {one.key_or_group: one.value() for one in OverridesParser.create().parse_overrides(sys.argv[1:])}
    assert read.pop("other") == 1.1
    for key, value in read.items():
        if key in typed.paths:
            assert value == "1.10"
        elif key in typed.path_lists:
            assert value == ["1.10", "b"]
        else:
            assert value == [1.1, "b"]
    assert read.keys() == words.keys()


def test_predict_takes_its_model_by_that_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["predict", "model=2026_01.ckpt", "input=a b"])
    prepare("predict")
    assert sys.argv[1:] == ["checkpoint='2026_01.ckpt'", "input='a b'"]


@pytest.mark.parametrize(
    ("command", "typed", "said"),
    [
        ("train", ["+epochs=3"], "+epochs: there is no setting epochs; there is recipe.epochs"),
        ("train", ["+recipe.epoch=3"], "+recipe.epoch: there is no setting recipe.epoch; there is recipe.epochs"),
        ("train", ["++foo=1", "seed=2", "+bar=1"], "+foo: there is no setting foo\n+bar: there is no setting bar"),
        ("predict", ["+ouput=x"], "+ouput: there is no setting ouput; there is output"),
    ],
)
def test_keys_that_nobody_would_read_are_refused(monkeypatch, capsys, command, typed, said):
    monkeypatch.setattr(sys, "argv", ["command", *typed])
    with pytest.raises(SystemExit) as ended:
        refuse_unknown(command)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"Error {said}\n"


def test_the_version_is_this_project_s(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["command", "--version"])
    with pytest.raises(SystemExit) as ended:
        prepare("train")
    assert not ended.value.code
    assert capsys.readouterr().out == f"steel_defects {metadata.version('steel-defects')}\n"


@pytest.mark.parametrize(
    "word",
    [
        *("+data.synthetic.size=[64,400]", "+hydra.launcher.ray.remote.num_gpus=1", "+experiment=demo"),
        *("++recipe.lr=0.1", "+recipe.augment.weights.horizontal_flip=1", "seed=3"),
    ],
)
def test_keys_that_may_be_added(monkeypatch, word):
    monkeypatch.setattr(sys, "argv", ["command", word])
    refuse_unknown("train")
