"""Settings of `download`, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import annotated_types as limits

from steel_defects.core.errors import UserError
from steel_defects.core.settings import Count, Flag, Number, Settings, Text, Words
from steel_defects.data.settings import DataSettings

Gigabytes = Annotated[Number, limits.Ge(0)]


class ExpectSettings(Settings):
    """What must be there in the end; null: counted, but not checked."""

    train_images: Count | None = None
    defective: Count | None = None
    regions: Count | None = None
    regions_by_class: Annotated[tuple[Count, ...] | None, Words("a list of whole numbers, one a class, or null")] = None
    test_images: Annotated[
        Count | dict[str, Count | None] | None, Words("a whole number, some by name, any of which will do, or null")
    ] = None
    sample_submission: Annotated[Text | None, Words("the name of a file, or null")] = None


class SpaceSettings(Settings):
    """What it takes on the disk, in GB."""

    zip: Gigabytes
    unzipped: Gigabytes


class DownloadSettings(Settings):
    """All of conf/download.yaml."""

    competition: Text
    force: Flag
    keep_zip: Flag
    expect: ExpectSettings | None
    space: SpaceSettings
    data: DataSettings


def check(settings: Mapping) -> None:
    """Refuse, all at once, settings that make no sense.

    Args:
        settings: conf/download.yaml, composed, as plain values.

    Raises:
        UserError: naming each, and what it may be.
    """
    data, expect, space = settings["data"], settings["expect"], settings["space"]
    if not isinstance(data, Mapping) or data.get("name") != "severstal":
        name = data.get("name") if isinstance(data, Mapping) else data
        raise UserError(f"data={name}: this command fetches data=severstal; data=synthetic needs no download")
    wrong = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", str(settings["competition"])):
        wrong.append(f"competition={settings['competition']}: its name as in the address kaggle.com/c/<name>")
    flags = {key: settings[key] for key in ("force", "keep_zip")}
    wrong += [f"{key}={value}: true or false" for key, value in flags.items() if not isinstance(value, bool)]
    paths = {key: data[key] for key in ("root", "csv", "image_dir")}
    wrong += [f"data.{key}={value}: a path" for key, value in paths.items() if not _is_text(value)]
    if _is_text(data["root"]) and Path(data["root"]).expanduser().is_file():
        wrong.append(f"data.root={data['root']}: is a file; name the folder that the files go into")
    classes = data["classes"]
    if not isinstance(classes, list) or not classes or not all(map(_is_text, classes)):
        wrong.append(f"data.classes={classes}: a list with one name for each class")
        classes = []
    if not isinstance(expect, Mapping | None):
        wrong.append(f"expect={expect}: numbers by key, see conf/download.yaml, or null")
    else:
        wrong += _wrong_numbers(expect or {}, len(classes))
    sizes = [space.get(key) if isinstance(space, Mapping) else None for key in ("zip", "unzipped")]
    if not all(type(size) in (int, float) and size >= 0 for size in sizes):
        wrong.append(f"space={space}: zip and unzipped, each a number of GB, 0 or more")
    if wrong:
        raise UserError("\n".join(wrong))


def _wrong_numbers(expect: Mapping, num_classes: int) -> list[str]:
    rules: dict[str, tuple[Callable[[object], bool], str]] = {
        "regions_by_class": (
            lambda value: isinstance(value, list) and len(value) == num_classes and all(map(_is_count, value)),
            f"a list of {num_classes} whole numbers, one a class, or null",
        ),
        "test_images": (
            lambda value: all(map(_is_count, value.values() if isinstance(value, Mapping) else [value])),
            "a whole number, some by name, any of which will do, or null",
        ),
        "sample_submission": (_is_text, "the name of a file, or null"),
    }
    wrong = []
    for key, value in expect.items():
        fits, rule = rules.get(key, (_is_count, "a whole number, or null"))
        if value is not None and not fits(value):
            wrong.append(f"expect.{key}={value}: {rule}")
    return wrong


def _is_count(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
