"""The command's settings: what makes no sense is refused, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from steel_defects.core.errors import UserError
from steel_defects.core.settings import Flag, Role, Settings, Text, Words
from steel_defects.dashboard.address import Address, read_address
from steel_defects.dashboard.view import SPREADS, View
from steel_defects.data.settings import DataSettings, check_names

KINDS = ("workspace", "report")


Name = Annotated[Text, Words("a name"), Role.PATH]
Names = Annotated[tuple[Name, ...], Words("a list of texts, each in quotes where it looks like a number"), Role.PATHS]


class DashboardSettings(Settings):
    """All of conf/dashboard.yaml."""

    project: Name
    entity: Name | None
    kind: Literal["workspace", "report", "both"]
    name: Name
    group: Name | None
    tags: Names
    systems: Names
    spread: Literal["stddev", "minmax", "stderr"]
    heat_map: Name | None
    update: Names
    dry_run: Flag
    data: DataSettings


def check(settings: Mapping) -> dict[str, Address]:
    """Refuse, all at once, settings that make no sense; returns what is to be replaced, by kind."""
    wrong = []
    kinds = chosen_kinds(settings)
    wrong += [] if kinds else [f"kind={settings['kind']}: workspace, report or both"]
    for key, optional in (("project", False), ("name", False), ("entity", True), ("group", True), ("heat_map", True)):
        value = settings[key]
        if not (isinstance(value, str) and value.strip()) and not (optional and value is None):
            wrong.append(f"{key}={value}: a name")
    for key in ("project", "entity"):
        if isinstance(settings[key], str) and "/" in settings[key]:
            wrong.append(f"{key}={settings[key]}: without a slash; entity= and project= are given apart")
    if isinstance(settings["name"], str) and len(settings["name"]) > 128:
        wrong.append(f"name={settings['name']}: W&B takes 128 characters at most")
    chart = settings["heat_map"]
    if isinstance(chart, str) and chart != "create" and chart.count("/") != 1:
        wrong.append(f"heat_map={chart}: create, or a chart that is there, <entity>/<name>")
    for key in ("tags", "systems", "update"):
        names = settings[key]
        if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
            wrong.append(f"{key}={names}: a list of texts, each in quotes where it looks like a number")
        elif len(set(names)) < len(names):
            wrong.append(f"{key}={names}: each once")
    if settings["spread"] not in list(SPREADS):
        wrong.append(f"spread={settings['spread']}: {', '.join(SPREADS)}")
    if not isinstance(settings["dry_run"], bool):
        wrong.append(f"dry_run={settings['dry_run']}: true or false")
    try:
        check_names(settings["data"]["classes"])
    except UserError as error:
        wrong.append(str(error))
    update, faults = read_update(settings, kinds)
    if wrong + faults:
        raise UserError("\n".join(wrong + faults))
    return update


def chosen_kinds(settings: Mapping) -> tuple[str, ...]:
    """What is to be built; nothing where `kind` is not one of the choices."""
    return KINDS if settings["kind"] == "both" else tuple(kind for kind in KINDS if kind == settings["kind"])


def read_update(settings: Mapping, kinds: tuple[str, ...]) -> tuple[dict[str, Address], list[str]]:
    """What is to be replaced, by kind, and what is wrong with it."""
    update: dict[str, Address] = {}
    faults = []
    for url in settings["update"] if isinstance(settings["update"], list) else []:
        try:
            found = read_address(str(url))
        except UserError as error:
            faults.append(str(error))
            continue
        for key, there in (("project", found.project), ("entity", found.entity)):
            if settings[key] is not None and settings[key] != there:
                faults.append(f"update={url}: is in {key} {there}, but {key}={settings[key]}")
        if kinds and found.kind not in kinds:
            faults.append(f"update={url}: is a {found.kind}, but kind={settings['kind']}")
        for key, there in (("project", found.project), ("entity", found.entity)):
            if any(getattr(other, key) != there for other in update.values()):
                faults.append(f"update={url}: is in another {key} than the address before")
        if found.kind in update:
            faults.append(f"update={url}: a second {found.kind}")
        update[found.kind] = found
    return update, faults


def make_view(settings: Mapping) -> View:
    """What is compared; `heat_map` is still what was set."""
    data = settings["data"]
    return View(
        data=str(data["name"]),
        classes=data["classes"],
        **{key: settings[key] for key in ("group", "tags", "systems", "spread", "heat_map")},
    )
