"""The command line as people type it, brought into the form that Hydra reads; called before Hydra is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping

from hydra.errors import HydraException

from steel_defects import __version__
from steel_defects.cli.checking import check, settings_model
from steel_defects.cli.console import stop
from steel_defects.cli.manual import register
from steel_defects.core.errors import UserError
from steel_defects.core.settings import Role, former_names, keys_with

# What is typed for a key, by command: conf/model/ makes `model` a group.
NAMES: Mapping[str, Mapping[str, str]] = {"predict": {"model": "checkpoint"}}

# Commands that make no jobs, and why.
_ALONE = {
    "predict": "all jobs would share one output folder. Call it once per model",
    "download": "call it once per folder",
}

# What Hydra answers without the command.
QUESTIONS = {"-h", "--version", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion"}
_SWEEPS = {"-m", "--multirun"}
# Hydra reads these as they are typed; of others it would make numbers (1.10, 2026_01_31) or refuse them (a space, ü).
_PLAIN = re.compile(
    r"(?=.*[A-Za-z./])(?!(?:true|false|null|nan|inf)$)[A-Za-z_./][\w./:%+@-]*", re.ASCII | re.IGNORECASE
)


def prepare(command: str) -> None:
    """Make Hydra read what was typed for a command, and have it answer `--help` with the command's manual."""
    if "--version" in sys.argv[1:]:  # Hydra would tell its own
        print(f"steel_defects {__version__}")
        sys.exit()
    if command in _ALONE and _SWEEPS & set(sys.argv[1:]):  # before Hydra leaves a folder behind
        stop(UserError(f"--multirun makes no sense here: {_ALONE[command]}"))
    rewrite(command)
    register()
    if not any(word.partition("=")[0] in QUESTIONS for word in sys.argv[1:]):
        try:
            check(command, NAMES.get(command, {}))
        except UserError as error:
            stop(error)


def rewrite(command: str) -> None:
    """Bring `sys.argv` from what people type for a command into what Hydra reads.

    A path is what is typed, whatever characters it has; `key=a,b` is the list of a and b where a key takes one, and not
    the jobs of a --multirun. Lists in brackets, `null`, what is quoted already, and the choices of a --multirun among
    paths stay as they are.
    """
    model, names = settings_model(command), NAMES.get(command, {})
    names = {**former_names(model), **names}
    paths, several, lists = (keys_with(model, role) for role in (Role.PATH, Role.PATHS, Role.WORDS))
    sweep = _SWEEPS & set(sys.argv[1:])
    for i, word in enumerate(sys.argv[1:], start=1):
        name, sign, value = word.partition("=")
        key = names.get(name, name) if sign else name
        if value not in ("", "null") and value[0] not in "['\"":
            if key in several:
                parts = [part.strip() for part in re.split(r",(?![^\[]*\])", value)]  # not at commas in brackets
                value = f"[{','.join(_quoted(part) for part in parts if part)}]"
            elif key in lists and "," in value:
                value = f"[{value}]"
            elif key in paths and not sweep:
                value = _quoted(value)
        sys.argv[i] = f"{key}{sign}{value}"


def start(main: Callable[[], object]) -> None:
    """Call a command's main function. What Hydra refuses beside `--help`, too, it then says without a traceback."""
    try:
        main()
    except HydraException as error:
        stop(UserError(str(error)))


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = re.sub(r"(\\*)('|$)", lambda end: end[1] * 2 + ("\\'" if end[2] else ""), value)
    return f"'{escaped}'"
