"""The workspace: a section a theme over the runs of a project."""

from __future__ import annotations

import math

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from steel_defects.dashboard.panels import MOST, Theme, themes
from steel_defects.dashboard.view import View
from steel_defects.loggers import keys


def build_workspace(view: View, entity: str, project: str, name: str) -> ws.Workspace:
    """Build a workspace; nothing is asked of the network.

    Args:
        view: what it compares.
        entity: user or team it will belong to.
        project: whose runs it shows.
        name: it goes by.
    """
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[_scores(), *map(_section, themes(view))],
        settings=ws.WorkspaceSettings(x_axis=keys.EPOCH, smoothing_type="none", max_runs=MOST),
        runset_settings=ws.RunsetSettings(
            filters=view.expression(),
            groupby=[ws.Config(keys.SYSTEM)],
            order=[ws.Ordering(ws.Summary("test/miou"), ascending=False)],
            group_colors=dict[object, object](view.colours().items()),
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
