"""Which runs a dashboard compares, and how they are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steel_defects.loggers import keys
from steel_defects.page.overlay import class_colour

SPREADS = {"stddev": "standard deviation", "minmax": "range", "stderr": "standard error"}


@dataclass(frozen=True)
class View:
    """What is compared.

    Args:
        data: name of the data set; runs of others are left out.
        classes: names of its defect classes.
        group: of the sweep whose runs alone are shown; None for all.
        tags: runs with one of these alone are shown; none for all.
        systems: that get a colour of their own, the same everywhere; W&B chooses those of others.
        spread: over the seeds: one of `SPREADS`.
        heat_map: the W&B chart that draws scores by class as a heat map, `entity/name`; None for bars.
    """

    data: str
    classes: Sequence[str]
    group: str | None = None
    tags: Sequence[str] = ()
    systems: Sequence[str] = ()
    spread: Literal["stddev", "minmax", "stderr"] = "stddev"
    heat_map: str | None = None

    def colours(self) -> dict[str, str]:
        """Hex colour of each system, from the palette of all pictures of this project."""
        return {system: class_colour(i) for i, system in enumerate(self.systems, start=1)}

    def expression(self) -> str:
        """The filter in the words of W&B's library."""
        # As W&B's own pages write it: what a run calls data.name is kept as data, its value, name.
        parts = [f"Config({_literal(_stored(keys.DATA))}) == {_literal(self.data)}"]
        if self.group is not None:
            parts.append(f"Metric('Group') == {_literal(self.group)}")
        if self.tags:
            parts.append(f"Tags() in [{', '.join(map(_literal, self.tags))}]")
        return " and ".join(parts)

    def query(self) -> dict:
        """The same filter for W&B's API, which counts runs."""
        query: dict = {f"config.{_stored(keys.DATA)}": self.data}
        if self.group is not None:
            query["group"] = self.group
        if self.tags:
            query["tags"] = {"$in": list(self.tags)}
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
