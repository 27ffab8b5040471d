"""Which runs a dashboard compares, and how they are told apart."""

from __future__ import annotations

from steel_defects.dashboard.settings import DashboardSettings
from steel_defects.loggers import keys
from steel_defects.page.overlay import class_colour


def colours(settings: DashboardSettings) -> dict[str, str]:
    """Hex colour of each system that has one of its own, from the palette of all pictures of this project."""
    return {system: class_colour(i) for i, system in enumerate(settings.systems, start=1)}


def expression(settings: DashboardSettings) -> str:
    """The filter of the runs, in the words of W&B's library."""
    # As W&B's own pages write it: what a run calls data.name is kept as data, its value, name.
    parts = [f"Config({_literal(_stored(keys.DATA))}) == {_literal(settings.data.name)}"]
    if settings.group is not None:
        parts.append(f"Metric('Group') == {_literal(settings.group)}")
    if settings.tags:
        parts.append(f"Tags() in [{', '.join(map(_literal, settings.tags))}]")
    return " and ".join(parts)


def query(settings: DashboardSettings) -> dict:
    """The same filter for W&B's API, which counts runs."""
    query: dict = {f"config.{_stored(keys.DATA)}": settings.data.name}
    if settings.group is not None:
        query["group"] = settings.group
    if settings.tags:
        query["tags"] = {"$in": list(settings.tags)}
    return query


def _stored(key: str) -> str:
    """Where W&B keeps a value of a run's configuration: below the first part of its key, in `value`."""
    first, *rest = key.split(".")
    return ".".join([first, "value", *rest])


def _literal(text: str) -> str:
    """A text in quotes, with signs written as their numbers.

    The library makes `==` of every `=` and `>=` of every `>` before it reads the expression, inside quotes, too; and
    tags are full of `=`.
    """
    return "'" + "".join(c if c.isalnum() or c in " _-./" else f"\\U{ord(c):08x}" for c in text) + "'"
