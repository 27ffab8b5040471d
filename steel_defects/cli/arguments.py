"""The command line as people type it, brought into the form that Hydra reads; called before Hydra is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Mapping

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steel_defects import __version__
from steel_defects.cli.checking import check, settings_model
from steel_defects.cli.console import stop
from steel_defects.cli.manual import register
from steel_defects.core.errors import UserError
from steel_defects.core.settings import Role, keys_with

# What is typed for a key, by command: conf/model/ makes `model` a group.
NAMES: Mapping[str, Mapping[str, str]] = {"predict": {"model": "checkpoint"}}

# Commands that make no jobs, and why.
_ALONE = {
    "predict": "all jobs would share one output folder. Call it once a model",
    "download": "call it once a folder",
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
    """Bring `sys.argv` from what people type for a command into what Hydra reads."""
    model, names = settings_model(command), NAMES.get(command, {})
    for name, key in names.items():
        rename(name, key)
    for key in keys_with(model, Role.PATHS):
        read_paths(key)
    read_lists(keys_with(model, Role.WORDS))
    quote(keys_with(model, Role.PATH))


def start(main: Callable[[], object]) -> None:
    """Call a command's main function. What Hydra refuses beside `--help`, too, it then says without a traceback."""
    try:
        main()
    except HydraException as error:
        stop(UserError(str(error)))


def plain(cfg: DictConfig) -> dict:
    """A composed configuration as plain values.

    Raises:
        UserError: where a setting has no value, such as the name of `encoder=any`.
    """
    try:
        return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        missing = str(error).splitlines()[0]
        hint = ". encoder=any takes one of any library: encoder.name=tu-resnet50d" if "encoder.name" in missing else ""
        raise UserError(f"A setting has no value: {missing}{hint}") from error


def quote(keys: Collection[str]) -> None:
    """Make paths what they are typed as, whatever characters they have, for the keys named.

    Lists (`[a,b]`), `null`, what is quoted already, and the choices of a --multirun stay as they are.
    """
    if _SWEEPS & set(sys.argv[1:]):
        return
    for i, word in enumerate(sys.argv[1:], start=1):
        key, sign, value = word.partition("=")
        if sign and key in keys and value not in ("", "null") and value[0] not in "['\"":
            sys.argv[i] = f"{key}={_quoted(value)}"


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"'{escaped}'"


def read_paths(key: str) -> None:
    """Make `key=a,b` mean the list of these paths, and `key=a` that of one, each what it is typed as."""
    for i, word in enumerate(sys.argv[1:], start=1):
        name, sign, value = word.partition("=")
        if sign and name == key and value not in ("", "null") and value[0] not in "['\"":
            paths = [path.strip() for path in re.split(r",(?![^\[]*\])", value)]  # not at commas in brackets
            sys.argv[i] = f"{key}=[{','.join(_quoted(path) for path in paths if path)}]"


def read_lists(keys: Collection[str]) -> None:
    """Make `key=a,b` mean the list `key=[a,b]` for the keys named; Hydra would take it for jobs of a --multirun."""
    for i, word in enumerate(sys.argv[1:], start=1):
        key, sign, value = word.partition("=")
        if sign and key in keys and "," in value and not value.startswith(("[", "'", '"')):
            sys.argv[i] = f"{key}=[{value}]"


def rename(typed: str, key: str) -> None:
    """Make `typed=value` mean `key=value`, where Hydra would take `typed` for a group of configurations."""
    sys.argv[1:] = [key + word.removeprefix(typed) if word.startswith(f"{typed}=") else word for word in sys.argv[1:]]
