"""Comments of YAML files, key by key; YAML's readers throw them away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

_COMMENT = re.compile(r"\s*#\s?(.*?)\s*$")


@dataclass(frozen=True)
class Comments:
    """What a file says of itself and of its keys.

    Args:
        head: the lines it begins with.
        keys: by dotted path. A comment is what stands behind the value, or behind the key of a block, and goes on in
            lines below at the same column; before it comes what stands in lines of its own right above the key.
    """

    head: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)


def read_comments(text: str) -> Comments:
    """Read the comments of a YAML file, `@package` of Hydra's and the keys of its `defaults` left out."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if not _COMMENT.match(line)), len(lines))
    head = [_COMMENT.match(line)[1] for line in lines[:first]]
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = dict(_keys(root, lines, first, "")) if isinstance(root, yaml.MappingNode) else {}
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
    found: list[str] = []
    while line > first and lines[line - 1].startswith(" " * column + "#"):
        line -= 1
        found.insert(0, _COMMENT.match(lines[line])[1])
    return found


def _behind(lines: list[str], line: int, column: int) -> list[str]:
    """The comment behind a place, with the lines below that go on with it."""
    comment = re.match(r":?\s*#\s?(.*?)\s*$", lines[line][column:])
    if not comment:
        return []
    found, hash_at = [comment[1]], lines[line].index("#", column)
    for below in lines[line + 1 :]:
        if not below.lstrip().startswith("#") or below.index("#") != hash_at:
            break
        found.append(_COMMENT.match(below)[1])
    return found
