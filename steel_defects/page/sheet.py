"""A table, on the console and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Sheet:
    """A table.

    Args:
        title: heading.
        headings: headings of the columns.
        lines: rows of text, as many fields as headings.
        left: indices of the columns that are text and not numbers.
    """

    title: str
    headings: Sequence[str]
    lines: Sequence[Sequence[str]]
    left: Sequence[int] = (0,)

    def rich(self) -> Table:
        """For the console; a column that is empty is left out."""
        shown = [i for i in range(len(self.headings)) if any(line[i] for line in self.lines)]
        table = Table(
            title=escape(self.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
        )
        table.padding = (0, 1, 0, 0)
        for i in shown:
            table.add_column(escape(self.headings[i]), justify="left" if i in self.left else "right", overflow="fold")
        for line in self.lines:
            table.add_row(*(escape(line[i]) for i in shown))
        return table

    def markdown(self) -> str:
        """The table in Markdown, under its title."""
        rule = ["---" if i in self.left else "---:" for i in range(len(self.headings))]
        rows = [self.headings, rule, *([text.replace("|", "\\|") for text in line] for line in self.lines)]
        return "\n".join([f"### {self.title}", "", *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def plural(count: int, noun: str) -> str:
    """A number of things: `1 image`, `1,234 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
