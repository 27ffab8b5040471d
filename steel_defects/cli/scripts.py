"""What `steel-train` and the others do: the same as `python -m steel_defects.train`, and the same code.

Questions, from `--help` to the shell's for completions, are answered from conf/ alone, without PyTorch.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import NAMES, QUESTIONS, prepare, start
from steel_defects.cli.checking import settings_model
from steel_defects.cli.console import require
from steel_defects.cli.manual import own_groups
from steel_defects.core.settings import Role, keys_with

_COMPLETION = {"-sc", "--shell-completion"}
# What Tab offers.
_FLAGS = ("--help", "--cfg", "--multirun", "--config-dir", "--info", "--hydra-help", "--shell-completion")


def run(command: str) -> None:
    """Do what was typed, as a main program: launchers, and Lightning's processes, start it again by its name."""
    answer_questions(command)  # here, where the program's name is still that of the script
    runpy.run_module(f"steel_defects.{command}", run_name="__main__", alter_sys=True)


def begin(command: str, extra: str = "") -> None:
    """Answer a question, or tell every mistake, before a command loads its libraries; otherwise return.

    Args:
        command: its name.
        extra: the extra without which it cannot run, `pages` or `train`; it is named where its packages are missing.
    """
    answer_questions(command)
    prepare(command)
    if extra:
        require(extra)


def answer_questions(command: str) -> None:
    """Answer what Hydra can without the command, and end; return where nothing was asked."""
    words = {word.partition("=")[0] for word in sys.argv[1:]}
    if words & _COMPLETION:
        complete(command)
    elif words & QUESTIONS:
        answer(command)
    else:
        return
    sys.exit()


train = partial(run, "train")
evaluate = partial(run, "evaluate")
predict = partial(run, "predict")
export = partial(run, "export")
benchmark = partial(run, "benchmark")
explore = partial(run, "explore")
audit = partial(run, "audit")
report = partial(run, "report")
download = partial(run, "download")
dashboard = partial(run, "dashboard")


def answer(command: str) -> None:
    """Let Hydra answer what it can without the command."""
    prepare(command)
    OmegaConf.register_new_resolver("run_dir", _run_dir, replace=True)
    OmegaConf.register_new_resolver("job_dir", _job_dir, replace=True)

    def nothing(_: DictConfig) -> None:
        raise AssertionError("a question is no job")

    start(hydra.main(config_path=CONF_DIR, config_name=command, version_base="1.3")(nothing))


def complete(command: str) -> None:
    """Answer the shell; what it installs for one command, it installs for all."""
    asked = {word.partition("=")[0]: word.partition("=")[2] for word in sys.argv[1:]}
    if "query" in asked:
        print(*sorted(completions(command, os.environ["COMP_LINE"])))
        return
    answer(command)
    if asked.get("install") == "bash":
        print(f"complete -o nospace -o default -F hydra_bash_completion {_others(command)}")
    if asked.get("uninstall") == "bash":
        print(f"complete -r {Path(sys.argv[0]).name} {_others(command)} 2> /dev/null")


def completions(command: str, line: str) -> set[str]:
    """What the last word of a line can become. Hydra knows; but it offers the groups of all commands, and no choices in
    folders, and where it cannot read a word (`format=onnx,openvino`), nothing.
    """
    program, *words = line.split()
    last = words.pop() if words and not line[-1].isspace() else ""
    groups, names = own_groups(command), NAMES.get(command, {})
    if last.startswith("-"):
        return set(_FLAGS)
    users = _config_dir(words)
    key, sign, value = last.partition("=")
    if sign and key in groups:
        return {f"{key}={choice}" for choice in _choices(key, users)}
    if sign and names.get(key, key) in keys_with(settings_model(command), Role.PATH | Role.PATHS):
        return {f"{key}={path}" for path in _paths(value)}
    # Of the other words, only choices change what keys there are; Hydra says nothing where one of them does not exist.
    chosen = [word for word in words if word.partition("=")[0] in groups]
    chosen = [word for word in chosen if word.partition("=")[2] in _choices(word.partition("=")[0], users)]
    sys.argv += [] if users is None else ["--config-dir", str(users)]
    os.environ["COMP_LINE"] = " ".join([program, *chosen, _renamed(last, names)])
    with contextlib.redirect_stdout(io.StringIO()) as output:
        answer(command)
    offered = set(output.getvalue().split())
    keys = {_renamed(word, {key: name for name, key in names.items()}) for word in offered if not _group(word)}
    hydras = {word for word in offered if _group(word) == "hydra"} if last.startswith("h") else set()
    return keys | hydras | {f"{name}=" for name in (*groups, *names) if name.startswith(last)}


def _paths(typed: str) -> list[str]:
    """What a path that is begun can become, as it is typed; folders end in a slash."""
    folder, name = os.path.split(typed)
    try:
        paths = sorted(path for path in Path(folder or ".").expanduser().iterdir() if path.name.startswith(name))
    except OSError:  # no such folder
        return []
    shown = [path for path in paths if name.startswith(".") or not path.name.startswith(".")]
    return [os.path.join(folder, path.name) + ("/" if path.is_dir() else "") for path in shown]  # noqa: PTH118 (keeps ./)


def _config_dir(words: Sequence[str]) -> Path | None:
    """The folder of the user's own configuration; None where none is named, or it is not there."""
    for i, word in enumerate(words):
        flag, sign, folder = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            path = Path(folder if sign else next(iter(words[i + 1 :]), ""))
            return path if path.is_dir() else None
    return None


def _choices(group: str, users: Path | None) -> set[str]:
    """All that a group can be given, those of the user's own folder, too."""
    folders = [folder / group for folder in (Path(CONF_DIR), users) if folder]
    return {path.relative_to(top).with_suffix("").as_posix() for top in folders for path in top.rglob("*.yaml")}


def _group(word: str) -> str:
    """The group that a completion is of, or of a folder in; empty for a key."""
    group = re.split("[=/]", word, maxsplit=1)[0]
    return group if (Path(CONF_DIR) / group).is_dir() else "hydra" if group == "hydra." else ""


def _renamed(word: str, names: Mapping[str, str]) -> str:
    key, sign, value = word.partition("=")
    return f"{names.get(key, key)}{sign}{value}"


def _others(command: str) -> str:
    return " ".join(f"steel-{name}" for name in _commands() if name != command)


def _commands() -> list[str]:
    return sorted(path.stem for path in Path(CONF_DIR).glob("*.yaml"))


# Of conf/train.yaml; settings.py imports Lightning, and few questions are about folders.
def _run_dir(resume: object, now: str) -> str:
    from steel_defects.train.settings import run_dir

    return run_dir(resume, now)


def _job_dir(*, _root_: DictConfig) -> str:
    from steel_defects.train.settings import job_dir

    return job_dir(_root_=_root_)
