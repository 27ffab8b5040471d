"""What is typed is what the commands get, through Hydra's own grammar."""

from __future__ import annotations

import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from steel_defects.arguments import quote, read_lists, rename

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


def test_lists_and_other_names(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["command", "format=onnx,openvino", "precision=[fp32]", "model=a.onnx", "models=b"]
    )
    read_lists(("format", "precision"))
    rename("model", "checkpoint")
    assert sys.argv[1:] == ["format=[onnx,openvino]", "precision=[fp32]", "checkpoint=a.onnx", "models=b"]
