"""`--help`: every setting with its value and its comment, the command's own groups, its docstring."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.cli.manual import manual, read_comments

pytestmark = pytest.mark.slow

CONF = Path(CONF_DIR)
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
CASES = [(name, ()) for name in COMMANDS] + [
    ("train", ("recipe=strong", "seed=7")),
    ("train", ("experiment=demo",)),
    ("train", ("experiment=paper/baseline", "data=strip_steel", "trainer=ddp")),
    ("train", ("logger=[wandb,tensorboard]", "encoder=densenet201")),
    ("evaluate", ("data=synthetic", "part=val")),
]


def composed(command: str, *overrides: str) -> tuple[dict, str]:
    """Settings as plain values, and the manual."""
    with initialize_config_dir(CONF_DIR, version_base="1.3", job_name=command):
        cfg = compose(command, list(overrides), return_hydra_config=True)
        text = manual(cfg, 100)
    values = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]))
    return values, text


def flat(values: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def own_defaults(path: Path) -> list[tuple[str, object]]:
    items = (yaml.safe_load(path.read_text()) or {}).get("defaults", [])
    return [pair for item in items if isinstance(item, dict) for pair in item.items()]


def chosen(command: str, overrides: tuple[str, ...]) -> dict[str, list[str]]:
    """The choices in force, from the files and what is typed: experiments override defaults, the typed both."""
    groups = {key: value for key, value in own_defaults(CONF / f"{command}.yaml") if not key.startswith("override ")}
    typed = {key: yaml.safe_load(value) for key, value in (word.split("=", 1) for word in overrides) if key in groups}
    if experiment := typed.get("experiment"):
        for key, value in own_defaults(CONF / "experiment" / f"{experiment}.yaml"):
            groups[key.removeprefix("override /")] = value
    groups |= typed
    return {key: value if isinstance(value, list) else [value] * (value is not None) for key, value in groups.items()}


def trailing_comments(path: Path) -> dict[str, str]:
    """Line by line, by the keys' indentation; what goes on in further lines is left out."""
    stack, found = [], {}
    for line in path.read_text().splitlines():
        if match := re.match(r"( *)(\w+):(?: .*?)??(?:\s+# (.*))?$", line):
            stack[len(match[1]) // 2 :] = [match[2]]
            if match[3]:
                found[".".join(stack)] = match[3]
    return {key: said for key, said in found.items() if key.split(".")[0] not in ("defaults", "hydra")}


def expected_comments(command: str, overrides: tuple[str, ...]) -> dict[str, str]:
    said = trailing_comments(CONF / f"{command}.yaml")

    def add(group: str, name: str) -> None:
        path = CONF / group / f"{name}.yaml"
        for parent in (yaml.safe_load(path.read_text()) or {}).get("defaults", []):
            if isinstance(parent, str) and parent != "_self_":
                add(group, parent)
        prefix = "" if group == "experiment" else f"{group}."
        said.update({f"{prefix}{key}": comment for key, comment in trailing_comments(path).items()})

    for group, names in chosen(command, overrides).items():
        for name in names:
            add(group, name)
    return said


@pytest.mark.parametrize(("command", "overrides"), CASES)
def test_every_setting_with_its_value(command, overrides):
    values, text = composed(command, *overrides)
    for key, value in flat(values):
        shown = re.search(rf"^  {re.escape(key)}=(.*?)(?:  .*)?$", text, re.MULTILINE)
        assert shown, key
        if isinstance(value, str) and "${" in value:  # resolved
            assert "${" not in shown[1]
        elif isinstance(value, str):
            assert shown[1] == value
        else:
            assert OverridesParser.create().parse_override(f"{key}={shown[1]}").value() == value


@pytest.mark.parametrize(("command", "overrides"), CASES)
def test_every_comment_of_the_files(command, overrides):
    values, text = composed(command, *overrides)
    shown, leaves = " ".join(text.split()), dict(flat(values))
    groups = chosen(command, overrides)
    expected = expected_comments(command, overrides)
    assert len(expected) >= 3
    for key, comment in expected.items():
        if key in groups:
            assert comment in shown
        elif key in leaves:
            assert re.search(rf"(?<!\S){re.escape(key)}=(?:(?! [\w.]+=).)*? {re.escape(comment)}", shown), key
        else:
            assert f" {key} {comment}" in shown or not any(leaf.startswith(f"{key}.") for leaf in leaves), key


@pytest.mark.parametrize(("command", "overrides"), CASES)
def test_no_setting_is_without_a_word(command, overrides):
    """Of its own, or of the block it stands in."""
    values, text = composed(command, *overrides)
    lines = text.splitlines()
    explained = {line.split()[0] for line in lines if re.match(r"  [a-z][\w.]*  +\S", line)}
    for key, _ in flat(values):
        at = next(i for i, line in enumerate(lines) if line.startswith(f"  {key}="))
        own = re.search(r"=.*?  +\S", lines[at]) or re.match(r" {10}", [*lines, ""][at + 1])
        blocks = {".".join(key.split(".")[:i]) for i in range(1, key.count(".") + 1)}
        assert own or blocks & explained or key.split(".")[0] == "logger", key


@pytest.mark.parametrize(("command", "overrides"), CASES)
def test_groups_are_the_commands_own(command, overrides):
    _, text = composed(command, *overrides)
    groups = chosen(command, overrides)
    if not groups:
        assert "Groups" not in text
        return
    table = text.split("Groups: ")[1].split("\n\n")[1]
    listed: dict[str, list[str]] = {}
    for line in table.splitlines():
        words = line.split()
        if re.match(r"  \S", line):
            name = words.pop(0)
        listed.setdefault(name, []).extend(words)
    assert list(listed) == list(groups)
    for group, names in groups.items():
        files = {path.relative_to(CONF / group).with_suffix("").as_posix() for path in (CONF / group).rglob("*.yaml")}
        assert {word.lstrip("*") for word in listed[group]} == files
        assert [word[1:] for word in listed[group] if word.startswith("*")] == sorted(names)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_docstring_is_the_manual_and_hydra_asks_for_it(command):
    _, text = composed(command)
    name = f"steel_defects.{command}.__main__"
    docstring = importlib.util.find_spec(name).loader.get_code(name).co_consts[0]
    assert text.startswith(inspect.cleandoc(docstring) + "\n\n")
    assert f"python -m steel_defects.{command}" in text
    chosen = dict(own_defaults(CONF / f"{command}.yaml"))
    assert chosen["override hydra/help"] == "steel"
    assert chosen["override hydra/job_logging"] in ("plain", "console")


def test_overrides_show():
    _, text = composed("train", "recipe=strong", "recipe.lr=0.5")
    assert re.search(r"^  recipe\.schedule=one_cycle +moves the momentum", text, re.MULTILINE)
    assert re.search(r"^  recipe\.lr=0\.5 +", text, re.MULTILINE)
    assert "recipe=strong\nOurs: AdamW" in text
    _, text = composed("train", "encoder=any")
    assert re.search(r"^  encoder\.name=\?\?\? ", text, re.MULTILINE)
    assert re.search(r"^  system=\$\{model.architecture\}-\$\{encoder.name\}$", text, re.MULTILINE)


def test_a_folder_of_the_users_own(steel, tmp_path):
    """What `--config-dir` adds is listed, and its comments are read."""
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text("# Mine.\ndefaults: [paper, _self_]\n\nlr: 0.3   # rather bold\n")
    result = steel("train", "--config-dir", tmp_path, "recipe=mine", "--help")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^  recipe +\*mine  paper  strong$", result.stdout, re.MULTILINE)
    assert re.search(r"^  recipe\.lr=0\.3 +rather bold$", result.stdout, re.MULTILINE)
    assert "recipe=mine\nMine.\n" in result.stdout


def test_dollars_stay_as_they_are(steel, monkeypatch):
    monkeypatch.setenv("HOME", "/h")
    result = steel("predict", "output=a$b$CONFIG", "decision=${oc.env:HOME}/x.json", "input=${nowhere}", "--help")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^  output=a\$b\$CONFIG +folder", result.stdout, re.MULTILINE)
    assert "  decision=/h/x.json" in result.stdout
    assert "  input=${nowhere}" in result.stdout
    assert 'eval "$(steel-predict -sc install=bash)"' in result.stdout
    assert "$$" not in result.stdout
    assert not re.search(r"\$$", result.stdout, re.MULTILINE)
    assert "powered by Hydra" not in result.stdout


def test_comments_of_a_file():
    text = """# @package _global_
# The head
#   of the file
first: 1
block:                 # of the block
  # Above,
  # twice.
  key: [1, 2]          # behind,
                       # and below
    # no part of it
  flow: {a: 1, b: "x # y"}   # of both

# apart from the next by an empty line

last: "a: b"           # end
alone:
"""
    found = read_comments(text)
    assert found.head == ["The head", "  of the file"]
    assert found.keys == {
        "block": "of the block",
        "block.key": "Above, twice. behind, and below",
        "block.flow": "of both",
        "last": "end",
    }
    assert read_comments("# only a head\n").head == ["only a head"]
    assert read_comments("").keys == {}
