"""A dashboard in words, taken from what would be sent and not from what it was built of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from steel_defects.page.sheet import plural


@dataclass
class Part:
    """A section of a workspace, or what stands below a heading of a report.

    Args:
        title: its heading.
        panels: title, kind, what is shown and how it is grouped, of each panel.
    """

    title: str
    panels: list[tuple[str, str, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Outline:
    """A workspace or report.

    Args:
        title: kind and name.
        place: entity and project.
        runs: what is said of the runs it shows.
        parts: sections, in their order.
    """

    title: str
    place: str
    runs: list[str]
    parts: list[Part]

    def tree(self, like: Outline | None = None) -> Tree:
        """For the console.

        Args:
            like: an outline that has been printed already; parts that are the same are named only.
        """
        tree = Tree(f"[bold]{escape(self.title)}[/], {escape(self.place)}")
        for line in self.runs:
            tree.add(escape(line))
        for part in self.parts:
            heading = f"[bold]{escape(part.title)}[/]"
            if like and part.panels and part in like.parts:
                tree.add(f"{heading}: {plural(len(part.panels), 'panel')}, as above")
            else:
                tree.add(Group(heading, _table(part)) if part.panels else heading)
        return tree


def outline_workspace(sent: Mapping) -> Outline:
    """The sections and panels of a workspace, as W&B's library writes it."""
    section = sent["spec"]["section"]
    parts = [
        Part(theme["name"], [describe(panel) for panel in theme["panels"]])
        for theme in section["panelBankConfig"]["sections"]
    ]
    runs = _runs(section["runSets"][0], section["customRunColors"])
    return Outline(f"Workspace {sent['displayName']!r}", f"{sent['entity']}/{sent['project']}", runs, parts)


def outline_report(sent: Mapping) -> Outline:
    """The headings and panels of a report, as W&B's library writes it."""
    parts: list[Part] = []
    runs: list[str] = []
    for block in sent["spec"]["blocks"]:
        if block["type"] == "heading":
            parts.append(Part("".join(child["text"] for child in block["children"])))
        elif block["type"] == "panel-grid":
            grid = block["metadata"]
            runs = runs or _runs(grid["runSets"][0], grid["customRunColors"])
            parts[-1].panels += [describe(panel) for panel in grid["panelBankSectionConfig"]["panels"]]
        elif block["type"] == "markdown-block":
            parts[-1].panels.append(("", "text", "", ""))
    place = f"{sent['project']['entityName']}/{sent['project']['name']}"
    return Outline(f"Report {sent['displayName']!r}", place, runs, parts)


def describe(panel: Mapping) -> tuple[str, str, str, str]:
    """Title, kind, what is shown and how it is grouped, of a panel."""
    config = panel["config"]
    title = config.get("chartTitle", "")
    kind = panel["viewType"]
    if kind == "Run History Line Plot":
        return title, "lines", f"{', '.join(config['metrics'])} over {_plain(config['xAxis'])}", _grouping(config)
    if kind == "Bar Chart":
        return title, "bars", ", ".join(config["metrics"]), _grouping(config)
    if kind == "Scatter Plot":
        front = "line of the best so far" if config["showMaxYAxisLine"] else ""
        return title, "points", f"{_plain(config['yAxis'])} over {_plain(config['xAxis'])}", front
    if kind == "Parallel Coordinates Plot":
        return title, "parallel axes", ", ".join(_plain(column["accessor"]) for column in config["columns"]), ""
    if kind == "Vega2":
        (query,) = config["userQuery"]["queryFields"]
        (table,) = (part for part in query["fields"] if part["name"] == "summaryTable")
        title = " ".join(config["stringSettings"].values())
        return title, "chart", f"{config['panelDefId']} of {table['args'][0]['value']}", ""
    if kind == "Weave":
        return "", "table", config["panel2Config"]["exp"]["fromOp"]["inputs"]["key"]["val"], ""
    if kind == "Media Browser":
        return title, "pictures", ", ".join(config["mediaKeys"]), "a row a run"
    return title, {"Markdown Panel": "text", "Run Comparer": "settings that differ"}.get(kind, kind), "", ""


def _table(part: Part) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(4):
        table.add_column(overflow="fold")
    for row in part.panels:
        table.add_row(*map(escape, row))
    return table


def _runs(runs: Mapping, colours: Mapping) -> list[str]:
    conditions = []
    for test in runs["filters"]["filters"]:
        value = ", ".join(map(str, test["value"])) if isinstance(test["value"], list) else test["value"]
        conditions.append(f"{_plain(test['key']['name'])} {'one of' if test['op'] == 'IN' else test['op']} {value}")
    order = [
        f"{key['key']['name']}, {'lowest' if key['ascending'] else 'highest'} first" for key in runs["sort"]["keys"]
    ]
    return [
        f"runs with {' and '.join(conditions)}",
        f"grouped by {', '.join(_plain(key['name']) for key in runs['grouping'])}, by {', '.join(order)}",
        f"{plural(len(colours), 'system')} with a colour of their own",
    ]


def _grouping(config: Mapping) -> str:
    if "groupBy" not in config:
        return ""
    return f"{config['groupAgg']} and {config['groupArea']} by {_plain(config['groupBy'])}"


def _plain(key: str) -> str:
    """A key as it is logged, without what W&B adds: `config:recipe.value.lr` is recipe.lr."""
    key = key.removeprefix("summary:").removeprefix("config:")
    return ".".join(part for part in key.split(".") if part != "value")
