"""The command line as people type it, brought into the form that Hydra reads; called before Hydra is."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steel_defects import CONF_DIR, __version__
from steel_defects.cli.console import stop
from steel_defects.cli.manual import leaves, own_groups, register
from steel_defects.core.errors import UserError

# Keys of all commands that read data.
DATA_PATHS = ("data.root", "data.csv", "data.image_dir", "data.exclude", "data.split.file")


@dataclass(frozen=True)
class Typed:
    """Keys of one command that are typed otherwise than Hydra reads them.

    Args:
        paths: see `quote`.
        path_lists: see `read_paths`.
        lists: see `read_lists`.
        names: what is typed for a key, see `rename`.
    """

    paths: Collection[str] = ()
    path_lists: Collection[str] = ()
    lists: Collection[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)


TYPED = {
    "train": Typed(paths=("resume", *DATA_PATHS)),
    "evaluate": Typed(paths=("checkpoint", "decision", *DATA_PATHS)),
    "predict": Typed(
        paths=("checkpoint", "input", "output", "decision", "submission"),
        names={"model": "checkpoint"},  # conf/model/ makes `model` a group
    ),
    "export": Typed(paths=("checkpoint", "output", *DATA_PATHS), lists=("format", "precision")),
    "benchmark": Typed(lists=("systems", "engines", "end_to_end")),
    "explore": Typed(paths=("title", *DATA_PATHS)),
    "audit": Typed(paths=("checkpoint", "reviewed", "title", *DATA_PATHS)),
    "report": Typed(paths=("data.root", "title"), path_lists=("runs",)),
    "download": Typed(paths=DATA_PATHS),
    "dashboard": Typed(
        paths=("project", "entity", "name", "group", "heat_map"), path_lists=("tags", "systems", "update")
    ),
}

# Keys that may be added: what they are of does not list all it may have.
_OPEN = ("data.synthetic.size", "recipe.augment.weights.")

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
    typed = TYPED[command]
    for name, key in typed.names.items():
        rename(name, key)
    for key in typed.path_lists:
        read_paths(key)
    read_lists(typed.lists)
    quote(typed.paths)
    refuse_unknown(command)
    register()


def refuse_unknown(command: str) -> None:
    """Refuse `+key=value` for a key that conf/ does not know: Hydra, whose own message suggests it, would add the key,
    and nobody would read it.
    """
    added = [word.lstrip("+").partition("=")[0] for word in sys.argv[1:] if word.startswith("+")]
    own = Path(CONF_DIR) / f"{command}.yaml"
    groups = own_groups(own)
    added = [key for key in added if key not in groups and not key.startswith(("hydra", *_OPEN))]
    if not added:
        return
    known = [key for key, _ in leaves(OmegaConf.load(own), leave_out=("hydra", "defaults"))]
    for group in (name for name in groups if name != "experiment"):  # whose files are of all groups
        for path in (Path(CONF_DIR) / group).glob("*.yaml"):
            known += [f"{group}.{key}" for key, _ in leaves(OmegaConf.load(path), leave_out=("defaults",))]
    wrong = []
    for key in added:
        if key not in known:
            alike = [one for one in known if one.split(".")[-1] == key.split(".")[-1]]
            alike = sorted(set(alike or difflib.get_close_matches(key, known, n=3, cutoff=0.8)))
            wrong.append(f"+{key}: there is no setting {key}" + (f"; there is {', '.join(alike)}" if alike else ""))
    if wrong:
        stop(UserError("\n".join(wrong)))


def start(main: Callable[[], object]) -> None:
    """Call a command's main function. What Hydra refuses beside `--help`, too, it then says without a traceback."""
    try:
        main()
    except HydraException as error:
        print(error, file=sys.stderr)
        sys.exit(1)


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
