"""Workspace and report: two layouts of the same panels. Nothing is asked of the network."""

from __future__ import annotations

import math

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from steel_defects.dashboard.panels import MOST, Theme, themes
from steel_defects.dashboard.settings import DashboardSettings
from steel_defects.dashboard.view import colours, expression
from steel_defects.loggers import keys

_WIDTH = 24  # of the grid of a report
_RUNS = "Runs"


def build_workspace(settings: DashboardSettings, entity: str) -> ws.Workspace:
    """The workspace: a section a theme over the runs of a project; `entity` is the user or team it will belong to."""
    return ws.Workspace(
        entity=entity,
        project=settings.project,
        name=settings.name,
        sections=[_scores(), *map(_section, themes(settings))],
        settings=ws.WorkspaceSettings(x_axis=keys.EPOCH, smoothing_type="none", max_runs=MOST),
        runset_settings=ws.RunsetSettings(
            filters=expression(settings),
            groupby=[ws.Config(keys.SYSTEM)],
            order=[ws.Ordering(ws.Summary("test/miou"), ascending=False)],
            group_colors=dict[object, object](colours(settings).items()),
            pinned_columns=[f"summary:{key}" for key in ("test/miou", "test/native_miou", "test/dice")],
        ),
    )


def _section(theme: Theme) -> ws.Section:
    return ws.Section(
        name=theme.title,
        panels=list(theme.panels),
        is_open=theme.open,
        layout_settings=ws.SectionLayoutSettings(
            columns=theme.columns, rows=math.ceil(len(theme.panels) / theme.columns)
        ),
        panel_settings=ws.SectionPanelSettings(x_axis=keys.EPOCH),
    )


def _scores() -> ws.Section:
    text = f"Runs are grouped by system, their seeds together.\n\n{keys.definitions()}"
    return ws.Section(
        name="What the scores mean",
        panels=[wr.MarkdownPanel(markdown=text)],
        layout_settings=ws.SectionLayoutSettings(columns=1, rows=1),
    )


def build_report(settings: DashboardSettings, entity: str) -> wr.Report:
    """The report: the same panels under headings, with a few words to each; arguments as for `build_workspace`."""
    blocks: list = [
        wr.P(
            f"All runs on {settings.data.name}, grouped by system: runs that differ in nothing but their seed "
            "go by one name. The numbers are those the runs logged; they change as runs are added."
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
    for theme in themes(settings):
        blocks += [wr.H2(theme.title), wr.P(theme.text), _grid(theme, settings)]
    return wr.Report(
        entity=entity,
        project=settings.project,
        title=settings.name,
        description=f"{', '.join(settings.data.classes)}: which net finds them, and what it costs",
        blocks=blocks,
        width="fluid",
    )


def _grid(theme: Theme, settings: DashboardSettings) -> wr.PanelGrid:
    width = _WIDTH // theme.columns
    for i, panel in enumerate(theme.panels):
        row, column = divmod(i, theme.columns)
        panel.layout = wr.Layout(x=column * width, y=row * theme.height, w=width, h=theme.height)
    by_system: dict[str | wr.RunsetGroup, str | dict] = {
        wr.RunsetGroup(_RUNS, (wr.RunsetGroupKey(wr.Config(keys.SYSTEM), system),)): colour
        for system, colour in colours(settings).items()
    }
    runs = wr.Runset(
        # Of the project that the report is in: where one is named, the library asks W&B for it.
        name=_RUNS,
        filters=expression(settings),
        groupby=[] if theme.each_run else [f"config.{keys.SYSTEM}"],
        order=[wr.OrderBy(wr.SummaryMetric("test/miou"), ascending=False)],
    )
    return wr.PanelGrid(
        runsets=[runs], panels=list(theme.panels), custom_run_colors={} if theme.each_run else by_system
    )
