"""What is typed is what the commands get, through Hydra's own grammar."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import prepare, rewrite
from steel_defects.cli.checking import settings_model
from steel_defects.cli.manual import own_groups
from steel_defects.core.settings import Role, keys_with, read

COMMANDS = sorted(path.stem for path in Path(CONF_DIR).glob("*.yaml"))

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


def rewritten(monkeypatch, command: str, *words: str) -> list[str]:
    monkeypatch.setattr(sys, "argv", [command, *words])
    rewrite(command)
    return sys.argv[1:]


def value(word: str) -> object:
    """As Hydra reads it."""
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize("path", PATHS)
def test_paths_arrive_as_typed(path, monkeypatch):
    word, other = rewritten(monkeypatch, "predict", f"input={path}", "white=4095")
    assert (value(word), other) == (path, "white=4095")


def test_a_former_name_is_taken_for_todays(monkeypatch):
    words = rewritten(monkeypatch, "train", "trainer.accelerator=gpu", "--multirun", "trainer.precision=16-mixed,bf16")
    assert words == ["trainer.device=gpu", "--multirun", "trainer.precision=16-mixed,bf16"]


@pytest.mark.parametrize(
    "words",
    [
        ["input=[a.ckpt,b.ckpt]"],
        ["input=null"],
        ["input="],
        ["input='a b'"],
        ['input="a b"'],
        ["quality=1.10"],
        ["--multirun", "input=a,b"],
    ],
)
def test_what_is_left_alone(words, monkeypatch):
    assert rewritten(monkeypatch, "predict", *words) == words


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
    (word,) = rewritten(monkeypatch, "dashboard", f"tags={typed}")
    assert value(word) == paths


def test_lists_and_other_names(monkeypatch):
    typed = ["format=onnx,openvino", "precision=[fp32]", "maps=classes,probabilities"]
    assert rewritten(monkeypatch, "export", *typed) == ["format=[onnx,openvino]", *typed[1:]]
    assert rewritten(monkeypatch, "predict", "model=2026_01.ckpt", "input=a b", "models=b", "model") == [
        *("checkpoint='2026_01.ckpt'", "input='a b'", "models=b", "model")
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_reads_its_own_keys_as_typed(command, monkeypatch):
    model = settings_model(command)
    paths, several, lists = (keys_with(model, role) for role in (Role.PATH, Role.PATHS, Role.WORDS))
    paths = [key for key in paths if key not in several]
    words = dict.fromkeys(paths, "1.10") | dict.fromkeys((*several, *lists), "1.10,b")
    *typed, other = rewritten(monkeypatch, command, *(f"{key}={word}" for key, word in words.items()), "other=1.10")
    assert value(other) == 1.1
    for key, word in zip(words, typed, strict=True):
        assert word.startswith(f"{key}=")
        assert value(word) == ("1.10" if key in paths else ["1.10", "b"] if key in several else [1.1, "b"])


def refusal(monkeypatch, capsys, command: str, *typed: str) -> list[str]:
    """The lines that a command ends with."""
    monkeypatch.setattr(sys, "argv", [command, *typed])
    with pytest.raises(SystemExit) as ended:
        prepare(command)
    assert ended.value.code == 2
    return capsys.readouterr().err.removeprefix("Error ").splitlines()


@pytest.mark.parametrize(
    ("command", "typed", "said"),
    [
        ("train", ["+epochs=3"], ["+epochs=3: there is no such setting; did you mean recipe.epochs?"]),
        ("train", ["recipe.epoch=3"], ["recipe.epoch=3: there is no such setting; did you mean recipe.epochs?"]),
        (
            "train",
            ["++foo=1", "seed=x", "+bar=1"],
            [
                "++foo=1: there is no such setting",
                "+bar=1: there is no such setting",
                "seed=x: a whole number from 0 to 4294967295",
            ],
        ),
        ("train", ["--multirun", "seed=1,x"], ["seed=x: a whole number from 0 to 4294967295"]),
        ("train", ["data.only_defective=no", "trainer=cpu"], ["data.only_defective=no: true or false"]),
        ("train", ["model.atrous_rates=[]"],
         ["model.atrous_rates=[]: three whole numbers, 1 or more: the dilations of the ASPP"]),
        ("explore", ["sheet=-1", "twins=2"], ["sheet=-1: a whole number, 0 or more", "twins=2: true or false"]),
        (
            "predict",
            ["model=a.onnx", "input=b", "ouput=x", "quality=101"],
            ["ouput=x: there is no such setting; did you mean output?", "quality=101: a whole number from 1 to 100"],
        ),
        (
            "predict",
            ["quality=5"],
            [
                "model: has no value; it takes a model file, or several checkpoints: [a.ckpt,b.ckpt]",
                "input: has no value; it takes a path",
            ],
        ),
        ("export", ["checkpoint=a.ckpt", "precision=int4", "parity.fp32.pixels=2"],
         ["precision=int4: one or more of fp32, bf16, int8, int8-bf16", "parity.fp32.pixels=2: a number from 0 to 1"]),
        ("evaluate", ["checkpoint=a.ckpt", "tuning.min_areas=[]", "figures=maybe"],
         ["tuning.min_areas=[]: a list of whole numbers of pixels, 0 or more", "figures=maybe: true or false"]),
        ("benchmark", ["rounds=0", "train.size=[100,100]"],
         ["rounds=0: a whole number, 1 or more",
          "train.size=[100,100]: [height, width] in pixels, multiples of 16 (the net's output stride)"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_once(monkeypatch, capsys, command, typed, said):
    assert sorted(refusal(monkeypatch, capsys, command, *typed)) == sorted(said)


def test_faults_of_a_file_and_of_the_command_line_are_told_together(monkeypatch, capsys, tmp_path):
    recipe = tmp_path / "recipe" / "mine.yaml"
    recipe.parent.mkdir()
    recipe.write_text(
        "defaults: [paper, _self_]\nlearning_rate: 0.5\nepoch: 3\noptimizer: adamm\nmomentum: 2\n"
        "augment:\n  also: {mixup: 0.2}\n"
    )
    typed = ["--config-dir", str(tmp_path), "recipe=mine", "data.size=[100,100]", "sed=1", "speed=2"]
    lines = refusal(monkeypatch, capsys, "train", *typed)
    keys = [re.split("[=:]", line)[0] for line in lines]
    assert keys[0] == "sed"
    of_file = ["learning_rate", "epoch", "optimizer", "momentum", "augment.also.mixup"]
    assert sorted(keys[1:]) == sorted(["data.size", "speed", *(f"recipe.{key}" for key in of_file)])
    told = [key for key, line in zip(keys, lines, strict=True) if line.endswith(f"  ({recipe})")]
    assert sorted(told) == sorted(f"recipe.{key}" for key in of_file)


def test_a_recipe_that_lacks_keys_is_told_which(monkeypatch, capsys, tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "lone.yaml").write_text("name: lone\nlr: 0.1\n")
    lines = refusal(monkeypatch, capsys, "train", "--config-dir", str(tmp_path), "recipe=lone")
    assert "recipe.optimizer: has no value; it takes sgd or adamw" in lines


CHOICES = [
    (command, f"{group}={path.relative_to(Path(CONF_DIR) / group).with_suffix('').as_posix()}")
    for command in COMMANDS
    if command != "download"  # which takes no other data than Severstal's
    for group in own_groups(command)
    for path in sorted((Path(CONF_DIR) / group).rglob("*.yaml"))
]
NEEDED = {
    "audit": {"checkpoint": "a.ckpt"},
    "predict": {"checkpoint": "a.ckpt", "input": "strips"},
    "report": {"runs": "study"},
    "evaluate": {"checkpoint": "a.ckpt"},
    "export": {"checkpoint": "a.ckpt"},
}


@pytest.mark.parametrize(("command", "choice"), [*((command, "") for command in COMMANDS), *CHOICES])
def test_every_key_of_conf_is_one_of_the_model(command, choice):
    """And every key of a model that has no value of its own is in conf, or it would be missing here."""
    words = ["encoder.name=resnet18"] if choice == "encoder=any" else []
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose(command, [choice, *words] if choice else words)
    values = OmegaConf.to_container(cfg, resolve=False) | NEEDED.get(command, {})
    assert read(settings_model(command), values)


def test_a_file_that_would_not_be_read_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "paper.yaml").write_text("lr: 1\n")
    (line,) = refusal(monkeypatch, capsys, "train", "--config-dir", str(tmp_path))
    assert "recipe/paper.yaml: conf/ has a file of that name" in line


def test_broken_yaml_is_named(monkeypatch, capsys, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broken.yaml").write_text("name: [a\nroot: b\n")
    (line,) = refusal(monkeypatch, capsys, "train", "--config-dir", str(tmp_path), "data=broken")
    assert "broken.yaml, line" in line


def test_the_version_is_this_project_s(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["command", "--version"])
    with pytest.raises(SystemExit) as ended:
        prepare("train")
    assert not ended.value.code
    assert capsys.readouterr().out == f"steel_defects {metadata.version('steel-defects')}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["+data.synthetic.size=[64,400]", "data=synthetic"],
        ["experiment=demo"],
        ["++recipe.lr=0.1"],
        ["+recipe.augment.weights.horizontal_flip=1"],
        ["seed=3"],
        ["logger=[wandb,mlflow]"],
        ["--multirun", "encoder=glob(resnet*)", "seed=range(1,3)"],
    ],
)
def test_keys_that_may_be_given(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["command", *words])
    prepare("train")
