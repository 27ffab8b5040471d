"""steel-train and the others: what `python -m` does, and completions in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from steel_defects import CONF_DIR
from steel_defects.cli import scripts

pytestmark = pytest.mark.slow

CONF = Path(CONF_DIR)
BIN = Path(sys.executable).parent
HEAVY = ["torch", "pytorch_lightning", "pandas", "matplotlib", "cv2", "albumentations", "wandb"]


def run(*words: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300, **more)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "model=a b.ckpt,c", "input=2026_01_31", "--cfg", "job"),
        ("predict",),  # what is missing is a mistake, exit code 2
        ("predict", "--multirun", "input=a,b"),
    ],
)
def test_a_script_does_what_python_does(words, tmp_path):
    name, *rest = words
    results = []
    for start in ([BIN / f"steel-{name}"], [sys.executable, "-m", f"steel_defects.{name}"]):
        folder = tmp_path / str(len(results))
        folder.mkdir()
        result = run(*start, *rest, cwd=folder)
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        assert "Traceback" not in result.stderr
        said = result.stdout.replace(str(folder), "."), result.stderr.replace(str(folder), ".")
        results.append((result.returncode, *said, files))
    assert results[0] == results[1]


QUESTIONS = [
    ["-sc", "query=bash"],
    ["--help"],
    ["--cfg", "job"],
    ["--cfg", "all"],
    ["--info", "defaults"],
    ["--version"],
]


@pytest.mark.parametrize("command", ["train", "explore"])
def test_questions_are_answered_without_torch(command):
    code = f"""
import sys
from steel_defects.cli import scripts
for question in {QUESTIONS!r}:
    sys.argv = ["steel-{command}", *question]
    try:
        scripts.{command}()
    except SystemExit as end:
        assert not end.code, end
    print("answered", *question, *({{*sys.modules}} & {{*{HEAVY!r}}}))
"""
    result = run(sys.executable, "-c", code, env=os.environ | {"COMP_LINE": f"steel-{command} "})
    assert result.returncode == 0, result.stderr
    rest = result.stdout
    for question in QUESTIONS:
        answer, end, rest = rest.partition(f"answered {' '.join(question)}\n")
        assert answer.strip()
        assert end


def test_folders_can_be_asked_for():
    resolved = yaml.safe_load(run(BIN / "steel-train", "--cfg", "all", "--resolve", "seed=5").stdout)
    assert resolved["hydra"]["run"]["dir"].startswith("outputs/")
    assert resolved["hydra"]["sweep"]["subdir"].startswith("deeplabv3plus-efficientnet-b1-seed5-")


def test_what_is_not_installed_is_named():
    code = """
import sys
from steel_defects.cli import scripts
from steel_defects.core import packages
find = packages.find_spec
packages.find_spec = lambda name: None if name == "timm" else find(name)
sys.argv = ["steel-evaluate", "checkpoint=best.ckpt"]
scripts.evaluate()
"""
    result = run(sys.executable, "-c", code)
    assert result.returncode == 2
    assert 'this command needs timm, not installed here: pip install "steel-defects[train]"' in result.stderr


BASH = """
eval "$(steel-train -sc install=bash)"
words=($COMP_LINE)
COMP_CWORD=$(( ${#words[@]} - 1 ))
case "$COMP_LINE" in *" ") COMP_CWORD=${#words[@]};; esac
complete -p ${words[0]} | grep -q -- '-F hydra_bash_completion' || exit 3
hydra_bash_completion
printf '%s\\n' "${COMPREPLY[@]}"
eval "$(steel-train -sc uninstall=bash)"
! complete -p ${words[0]} 2> /dev/null
"""


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("steel-train data=severstal recipe.mo", ["recipe.momentum="]),
        ("steel-train --mu", ["--multirun"]),
        ("steel-predict model=./ta", ["model=./tab.sh"]),
    ],
)
def test_tab_in_bash(tmp_path, line, offered):
    """What bash makes of a line when Tab is pressed at its end, once Hydra's completion is installed as it says."""
    if not shutil.which("bash"):
        pytest.skip("no bash")
    (tmp_path / "tab.sh").write_text(BASH)
    environment = os.environ | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    result = run("bash", "--norc", "tab.sh", env=environment, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == offered


@pytest.fixture
def tab(monkeypatch, capsys):
    """What the last word of a line can become; bash leaves out what does not begin as it does."""

    def press(line: str) -> list[str]:
        program, *words = f"{line} ".split(" ")
        monkeypatch.setattr(sys, "argv", [program, "-sc", "query=bash"])
        monkeypatch.setenv("COMP_LINE", line)
        with pytest.raises(SystemExit) as ended:
            getattr(scripts, program.removeprefix("steel-"))()
        assert not ended.value.code
        return [word for word in capsys.readouterr().out.split() if word.startswith(words[-2])]

    return press


def choices(group: str) -> list[str]:
    paths = (path.relative_to(CONF / group).with_suffix("").as_posix() for path in (CONF / group).rglob("*.yaml"))
    return sorted(f"{group}={path}" for path in paths)


def keys(node: dict, prefix: str) -> list[str]:
    return sorted(f"{prefix}{key}{'.' if isinstance(value, dict | list) else '='}" for key, value in node.items())


@pytest.mark.parametrize(
    ("line", "group"),
    [
        ("steel-train encoder=", "encoder"),
        ("steel-train recipe=strong experiment=", "experiment"),
        ("steel-explore data=", "data"),
        ("steel-evaluate checkpoint=a.ckpt data=", "data"),
    ],
)
def test_tab_lists_the_choices_of_a_group(tab, line, group):
    assert sorted(tab(line)) == choices(group)


def test_tab_knows_choices_of_ones_own(tab, tmp_path):
    own = tmp_path / "my_conf" / "data" / "rust.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults: [severstal, _self_]\nname: rust\nmine: 1\n")
    line = f"steel-train --config-dir {own.parents[1]}"
    assert sorted(tab(f"{line} data=")) == sorted([*choices("data"), "data=rust"])
    assert tab(f"{line} data=rust data.mi") == ["data.mine="]
    assert tab("steel-train data=nowhere recipe.mo") == ["recipe.momentum="], "what cannot be found is passed over"


def test_tab_lists_keys(tab):
    recipe = yaml.safe_load((CONF / "recipe" / "paper.yaml").read_text())
    assert sorted(tab("steel-train recipe.")) == keys(recipe, "recipe.")
    assert sorted(tab("steel-train data=severstal recipe.mo")) == ["recipe.momentum="]
    parity = yaml.safe_load((CONF / "export.yaml").read_text())["parity"]
    # Lists as the command takes them are no grammar of Hydra's.
    assert sorted(tab("steel-export format=onnx,openvino precision=fp32 parity.")) == keys(parity, "parity.")


def test_tab_offers_what_the_command_has(tab):
    assert sorted(tab("steel-explore ")) == ["data.", "data=", "sheet=", "title=", "twins="]
    assert sorted(tab("steel-report da")) == ["data."]  # a block of settings there, and no group
    assert "trainer=" in tab("steel-train ")
    assert "hydra/launcher=joblib" in tab("steel-train --multirun hydra/launcher=")
    assert "--multirun" in tab("steel-train --mu")


def test_tab_knows_names_as_they_are_typed(tab):
    offered = tab("steel-predict ")
    assert {"model=", "input=", "tta="} <= set(offered)
    assert "checkpoint=" not in offered
    assert tab("steel-predict mod") == ["model="]


def test_tab_finds_files(tab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tab.sh").touch()
    (tmp_path / ".hidden").touch()
    assert tab("steel-evaluate checkpoint=./") == tab("steel-evaluate checkpoint=./ta") == ["checkpoint=./tab.sh"]
    assert tab("steel-evaluate checkpoint=ta") == ["checkpoint=tab.sh"]
    assert tab("steel-evaluate checkpoint=.hi") == ["checkpoint=.hidden"]
    assert tab(f"steel-train resume={CONF}/reci") == [f"resume={CONF}/recipe/"]
    assert tab("steel-report runs=nowhere/") == []
