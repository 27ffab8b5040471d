"""The report: the same panels under headings, with a few words to each."""

from __future__ import annotations

import wandb_workspaces.reports.v2 as wr

from steel_defects.dashboard.panels import Theme, themes
from steel_defects.dashboard.view import View
from steel_defects.loggers import keys

_WIDTH = 24  # of W&B's grid
_RUNS = "Runs"


def build_report(view: View, entity: str, project: str, name: str) -> wr.Report:
    """Build a report; nothing is asked of the network.

    Args:
        view: what it compares.
        entity: user or team it will belong to.
        project: whose runs it shows.
        name: its title.
    """
    blocks: list = [
        wr.P(
            f"All runs on {view.data}, grouped by system: runs that differ in nothing but their seed go by one name. "
            "The numbers are those the runs logged; they change as runs are added."
        ),
        wr.TableOfContents(),
        wr.H2("What the scores mean"),
        wr.P(
            "For an image and a class of defect, IoU is the area where prediction and truth agree, divided by the area "
            "that either covers. An image's IoU is the mean over the classes that are there or predicted; the "
            "background never counts. Scores whose name begins with native_ are taken at the images' own size, the "
            "others at the size that the net sees."
        ),
        wr.MarkdownBlock(keys.definitions()),
    ]
    for theme in themes(view):
        blocks += [wr.H2(theme.title), wr.P(theme.text), _grid(theme, view)]
    return wr.Report(
        entity=entity,
        project=project,
        title=name,
        description=f"{', '.join(view.classes)}: which net finds them, and what it costs",
        blocks=blocks,
        width="fluid",
    )


def _grid(theme: Theme, view: View) -> wr.PanelGrid:
    width = _WIDTH // theme.columns
    for i, panel in enumerate(theme.panels):
        row, column = divmod(i, theme.columns)
        panel.layout = wr.Layout(x=column * width, y=row * theme.height, w=width, h=theme.height)
    colours: dict[str | wr.RunsetGroup, str | dict] = {
        wr.RunsetGroup(_RUNS, (wr.RunsetGroupKey(wr.Config(keys.SYSTEM), system),)): colour
        for system, colour in view.colours().items()
    }
    runs = wr.Runset(
        # Of the project that the report is in: where one is named, the library asks W&B for it.
        name=_RUNS,
        filters=view.expression(),
        groupby=[] if theme.each_run else [f"config.{keys.SYSTEM}"],
        order=[wr.OrderBy(wr.SummaryMetric("test/miou"), ascending=False)],
    )
    return wr.PanelGrid(runsets=[runs], panels=list(theme.panels), custom_run_colors={} if theme.each_run else colours)
