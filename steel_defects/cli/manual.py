"""A command's manual as Hydra prints it for `--help`; conf/hydra/help/steel.yaml asks for it."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steel_defects import CONF_DIR
from steel_defects.core.settings import as_typed

_COLUMN = 44  # where comments begin, at most
_COMMENT = re.compile(r"\s*#\s?(.*?)\s*$")


def register() -> None:
    """Have Hydra resolve `${manual:}`."""
    OmegaConf.register_new_resolver("manual", _resolve, replace=True)


def _resolve(*, _root_: DictConfig) -> str:
    columns = shutil.get_terminal_size(fallback=(120, 24)).columns
    # Hydra puts its own words in for $NAME.
    return manual(_root_, min(max(columns, 80), 120)).replace("$", "$$")


def manual(cfg: DictConfig, width: int) -> str:
    """The manual of a command: its module's docstring, its groups and its settings.

    Args:
        cfg: the command's composed configuration with Hydra's own, while Hydra is there.
        width: the lines', in characters; values and command lines may be longer.
    """
    loader = GlobalHydra.instance().config_loader()
    folders = [Path(source.path) for source in cfg.hydra.runtime.config_sources if source.schema == "file"]
    name = cfg.hydra.job.config_name
    overrides: Any = OmegaConf.to_container(cfg.hydra.overrides)  # unresolved: interpolations are typed for elsewhere
    typed = [*overrides["hydra"], *overrides["task"]]
    composed = loader.compute_defaults_list(name, typed, RunMode.RUN).defaults
    inside = [default.config_path for default in composed if default.parent == name and default.config_path]
    groups = {
        group: [path.removeprefix(f"{group}/") for path in inside if path.startswith(f"{group}/")]
        for group in own_groups(name)
    }
    parts = [docstring(f"steel_defects.{cfg.hydra.job.name}.__main__")]
    if groups:
        parts.append(_group_table(groups, {group: list(_options(loader, group)) for group in groups}, width))
    parts += _settings(cfg, groups, list(_read(composed, folders)), width)
    return "\n\n".join(filter(None, parts)) + "\n"


def own_groups(command: str) -> list[str]:
    """The groups that a command's YAML file chooses from, in its order."""
    defaults = yaml.safe_load(Path(CONF_DIR, f"{command}.yaml").read_text(encoding="utf-8")).get("defaults", [])
    keys = [key for item in defaults if isinstance(item, dict) for key in item]
    return [key for key in keys if not key.startswith("override ")]


def docstring(module: str) -> str:
    """A module's docstring, read without importing the module; empty where there is none."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    return inspect.cleandoc(ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or "")


def _read(composed: Sequence[ResultDefault], folders: Sequence[Path]) -> Iterator[tuple[str, str, Comments]]:
    """Of each file, in the order they are merged: its name, the path of its keys, its comments."""
    for default in composed:
        name, package = default.config_path or "", default.package or ""
        path = next((path for folder in folders if (path := folder / f"{name}.yaml").is_file()), None)
        if path and not package.startswith("hydra"):
            yield name, f"{package}." if package else "", read_comments(path.read_text(encoding="utf-8"))


def _options(loader: ConfigLoader, group: str) -> Iterator[str]:
    """All that a group can be given, those in folders of it as folder/name."""
    yield from loader.get_group_options(group, ObjectType.CONFIG)
    for folder in loader.get_group_options(group, ObjectType.GROUP):
        yield from (f"{folder}/{name}" for name in _options(loader, f"{group}/{folder}"))


def _group_table(groups: Mapping[str, Sequence[str]], options: Mapping[str, Sequence[str]], width: int) -> str:
    lines = ["Groups: group=choice takes a file of conf/<group>/; * is in force", ""]
    longest = max(map(len, groups))
    for group, chosen in groups.items():
        words = "  ".join(f"{'*' if name in chosen else ''}{name}" for name in options[group])
        lines += _beside(f"  {group:{longest}}", words, longest + 4, width)
    return "\n".join(lines)


def _settings(
    cfg: DictConfig, groups: Mapping[str, Sequence[str]], files: Sequence[tuple[str, str, Comments]], width: int
) -> Iterator[str]:
    """Sections of settings: the command's own, then those of each group."""
    comments = {f"{prefix}{key}": said for _, prefix, file in files for key, said in file.keys.items()}
    heads = {name: file.head for name, _, file in files}
    settings = list(leaves(cfg, leave_out=("hydra",)))
    column = min(_COLUMN, 4 + max((len(f"{key}={value}") for key, value in settings), default=0))

    def section(title: list[str], inside: Sequence[tuple[str, str]], top: str | None = None) -> str:
        lines, shown = [*title, ""], {top}
        for key, value in inside:
            for above in _parents(key):
                if above in comments and above not in shown:
                    lines += _beside(f"  {above}", comments[above], column, width)
                    shown.add(above)
            lines += _beside(f"  {key}={value}", comments.get(key, ""), column, width)
        return "\n".join(lines)

    yield section(["Settings: key=value"], [(key, value) for key, value in settings if key.split(".")[0] not in groups])
    for group, chosen in groups.items():
        inside = [(key, value) for key, value in settings if key.startswith(f"{group}.")]
        title = [f"{group}={chosen[0] if len(chosen) == 1 else as_typed(chosen) if chosen else 'null'}"]
        title += [line for choice in chosen for line in heads.get(f"{group}/{choice}", [])]
        title += textwrap.wrap(comments.get(group, ""), width)
        if inside:
            yield section(title, inside, group)
        elif chosen:
            yield "\n".join(title)


def leaves(cfg: DictConfig, prefix: str = "", leave_out: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Every setting's dotted key and its value as it would be typed, interpolations resolved where they can be."""
    plain: Any = OmegaConf.to_container(cfg, resolve=False)
    for key in map(str, cfg):
        if key in leave_out:
            continue
        try:
            value = cfg[key]
        except OmegaConfBaseException:  # missing, or made of one that is
            value = plain[key]
        if isinstance(value, DictConfig) and len(value):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", as_typed(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _parents(key: str) -> Iterator[str]:
    parts = key.split(".")
    return (".".join(parts[:i]) for i in range(1, len(parts)))


def _beside(left: str, right: str, column: int, width: int) -> list[str]:
    """A text beside another from a column on; below it where that is too long."""
    lines = textwrap.wrap(right, width - column, break_on_hyphens=False, break_long_words=False)
    if lines and len(left) + 2 <= column:
        left = left.ljust(column) + lines.pop(0)
    return [left, *(" " * column + line for line in lines)]


@dataclass(frozen=True)
class Comments:
    """What a file says of itself and of its keys.

    Args:
        head: the lines it begins with.
        keys: the keys by dotted path. A comment is what stands behind the value, or behind the key of a block, and goes
            on in lines below at the same column; before it comes what stands in lines of its own right above the key.
    """

    head: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)


def read_comments(text: str) -> Comments:
    """Read the comments of a YAML file, `@package` of Hydra's and the keys of its `defaults` left out."""
    lines = text.splitlines()
    head = _said(itertools.takewhile(_COMMENT.match, lines))
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = dict(_keys(root, lines, len(head), "")) if isinstance(root, yaml.MappingNode) else {}
    return Comments([line for line in head if not line.startswith("@package")], keys)


def _keys(node: yaml.MappingNode, lines: list[str], first: int, prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.value:
        if not prefix and key.value == "defaults":
            continue
        path = f"{prefix}{key.value}"
        block = isinstance(value, yaml.MappingNode) and not value.flow_style
        end = key.end_mark if block else value.end_mark
        if said := " ".join([*_above(key, lines, first), *_behind(lines, end.line, end.column)]):
            yield path, said
        if isinstance(value, yaml.MappingNode):
            yield from _keys(value, lines, first, f"{path}.")


def _above(key: yaml.Node, lines: list[str], first: int) -> list[str]:
    """Comments in lines of their own right above a key, at its column; the head of the file is nobody's."""
    line, column = key.start_mark.line, key.start_mark.column
    if lines[line][:column].strip():  # inside of {...}
        return []
    start = " " * column + "#"
    return _said(itertools.takewhile(lambda above: above.startswith(start), reversed(lines[first:line])))[::-1]


def _behind(lines: list[str], line: int, column: int) -> list[str]:
    """The comment behind a place, with the lines below that go on with it."""
    behind = lines[line][column:].removeprefix(":")
    if not _COMMENT.match(behind):
        return []
    at = lines[line].index("#", column)
    below = itertools.takewhile(lambda text: text.find("#") == at and not text[:at].strip(), lines[line + 1 :])
    return _said([behind, *below])


def _said(lines: Iterable[str]) -> list[str]:
    return [match[1] for match in map(_COMMENT.match, lines) if match]
