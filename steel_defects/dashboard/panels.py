"""The panels, theme by theme; workspace and report lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import wandb_workspaces.reports.v2 as wr

from steel_defects.dashboard.settings import DashboardSettings
from steel_defects.loggers import keys

MOST = 100  # runs or systems in a panel; W&B would stop at ten
_BY_SYSTEM = wr.Config(keys.SYSTEM)
_MATRIX = "wandb/confusion_matrix/v1"
_HISTOGRAM = "wandb/histogram/v0"
_SPREADS = {"stddev": "standard deviation", "minmax": "range", "stderr": "standard error"}

# A W&B chart of our own, as none of W&B's presets draws scores by system and class as a heat map:
# `wandb/confusion_matrix/v1` draws a bar a run in each cell, not a colour. This one takes the rows of `test/classes`,
# and the mean over the seeds.
HEAT_MAP = "steel-defects-classes"
HEAT_MAP_TITLE = "Scores by system and class"
HEAT_MAP_FIELDS = {column: column for column in ("system", "class", "score", "value")}

_MEAN = {"aggregate": "mean", "field": "${field:value}", "type": "quantitative"}

# `wandb`, `${field:}` and `${string:}` are W&B's: the rows, the columns and the texts a panel is given.
HEAT_MAP_SPEC = {
    "$schema": "https://vega.github.io/schema/vega-lite/v4.json",
    "description": "Mean of a score over the runs of each system, by class",
    "data": {"name": "wandb"},
    "title": "${string:title}",
    "transform": [{"filter": "datum['${field:score}'] === '${string:score}'"}],
    "encoding": {
        "x": {"field": "${field:class}", "type": "nominal", "title": None, "axis": {"orient": "top", "labelAngle": 0}},
        "y": {"field": "${field:system}", "type": "nominal", "title": None},
    },
    "layer": [
        {
            "mark": {"type": "rect", "tooltip": True},
            "encoding": {
                "color": {**_MEAN, "title": "mean", "scale": {"domain": [0, 1], "range": ["#FFFFFF", "#56B4E9"]}}
            },
        },
        {"mark": {"type": "text", "color": "#000000"}, "encoding": {"text": {**_MEAN, "format": ".2f"}}},
    ],
}


@dataclass(frozen=True)
class Theme:
    """Panels that answer one question.

    Args:
        title: the section's heading.
        text: what they show, for a reader who sees them for the first time.
        panels: objects of W&B's library; each belongs to one page, so that a second page needs others.
        columns: number of panels side by side.
        height: height of a panel in a report, in units of its grid; 6 is usual.
        each_run: whether runs are shown one by one where the page allows it, and not as one of their system.
        open: whether the section is unfolded at first.
    """

    title: str
    text: str
    panels: Sequence
    columns: int = 3
    height: int = 6
    each_run: bool = False
    open: bool = True


def themes(settings: DashboardSettings) -> list[Theme]:
    """All panels of a dashboard, made anew."""
    return [
        _systems(settings),
        _curves(settings),
        _costs(),
        _classes(settings),
        _pictures(),
        _runs(),
        _hardware(settings),
    ]


def _systems(settings: DashboardSettings) -> Theme:
    titles = {
        "test/miou": "mIoU of the test images",
        "test/dice": "Dice of the test images",
        "test/native_miou": "mIoU at the images' own size",
    }
    return Theme(
        "Backbones side by side",
        "Scores of the test images. A bar is the mean over the seeds of a system, the line on it their "
        f"{_SPREADS[settings.spread]}. Where the lines of two systems overlap, the difference may be chance.",
        [_bars(settings, title, [key]) for key, title in titles.items()],
    )


def _curves(settings: DashboardSettings) -> Theme:
    titles = {
        "train/loss": "Training loss",
        "val/loss": "Validation loss",
        "val/miou": "Validation mIoU",
        "val/dice": "Validation Dice",
        "train/lr": "Learning rate",
    }
    return Theme(
        "Curves",
        f"Epoch by epoch: the mean over the seeds of a system, the band their {_SPREADS[settings.spread]}. A training "
        "loss that keeps falling while the validation loss rises means that the net memorises its images.",
        [_lines(settings, title, key) for key, title in titles.items()],
    )


def _costs() -> Theme:
    # W&B's line joins the best y so far from left to right. Where little on the x axis is good, that is the front of
    # those no other beats in both; where much is good, as with speed, it is not.
    return Theme(
        "Accuracy against cost",
        "Fast or small, and accurate, is up and to the left. The line joins the best found so far as nets become "
        "slower or larger: what lies below it is beaten by a net that costs no more and is no worse. In images/s, fast "
        "and accurate is up and to the right.",
        [
            _points("mIoU by ms an image, batch 1", "speed/resized_ms_per_image", front=True),
            _points("At the images' own size", "speed/original_ms_per_image", front=True, y="test/native_miou"),
            _points("mIoU by images/s, batch 1", "speed/resized_images_per_s", front=False),
            _points("mIoU by parameters", "net/parameters", front=True),
            _points("mIoU by GMACs of an image", "net/gmacs", front=True),
            _points("mIoU by peak memory (bytes)", "memory/peak_bytes", front=True),
        ],
    )


def _classes(settings: DashboardSettings) -> Theme:
    titles = {"jaccard": "Jaccard index", "detection": "Detection"}
    if settings.heat_map:
        shown = [
            _chart(keys.CLASSES, settings.heat_map, HEAT_MAP_FIELDS, {"title": title, "score": score})
            for score, title in titles.items()
        ]
        says = "The colour is the mean over the seeds of a system."
    else:
        columns = {"Actual": "score", "Predicted": "class", "nPredictions": "value"}
        shown = [_chart(keys.CLASSES, _MATRIX, columns, {"title": "Scores by class, a bar a run"})]
        says = (
            "In the chart of all classes, rows are scores and columns classes (W&B writes Actual and Predicted beside "
            "them), with a bar a run in each cell."
        )
    return Theme(
        "Class by class",
        f"Which defects a system finds. {says} In the confusion, rows are true classes and columns what was "
        "predicted, in percent of the true pixels.",
        [
            *shown,
            _chart(
                keys.chart_table(keys.CONFUSION),
                _MATRIX,
                {"Actual": "true", "Predicted": "predicted", "nPredictions": "percent"},
                {"title": "Pixels of each true class, by predicted class (%)"},
            ),
            _chart(
                keys.chart_table(keys.IOU),
                _HISTOGRAM,
                {"value": "iou"},
                {"title": "IoU of the test images with a defect"},
            ),
            *(_bars(settings, name, [f"test/{score}_{name}" for score in titles]) for name in settings.data.classes),
        ],
        height=8,
    )


def _pictures() -> Theme:
    return Theme(
        "Worst images",
        "Test images of all runs, the worst first in each run; a click on the heading of a column sorts by it, and the "
        "filter above the table takes conditions such as a class. Masks of truth and prediction are switched on and "
        "off by class. Below, the same validation images as training goes.",
        [
            wr.WeavePanelSummaryTable(table_name=keys.IMAGES),
            wr.MediaBrowser(
                title="Validation images", media_keys=[keys.OVERLAYS], grid_x_axis="index", grid_y_axis="run"
            ),
        ],
        columns=1,
        height=14,
    )


def _runs() -> Theme:
    columns = [
        wr.ParallelCoordinatesPlotColumn(wr.Config(keys.ENCODER), display_name="encoder"),
        wr.ParallelCoordinatesPlotColumn(wr.Config(keys.RECIPE), display_name="recipe"),
        wr.ParallelCoordinatesPlotColumn(wr.Config(keys.LEARNING_RATE), display_name="learning rate", log=True),
        wr.ParallelCoordinatesPlotColumn(wr.Config(keys.SEED), display_name="seed"),
        wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric("test/miou"), display_name="test mIoU"),
    ]
    return Theme(
        "What was run",
        "A line a run, from its settings to its score; then the settings in which runs differ, side by side.",
        [
            wr.ParallelCoordinatesPlot(title="Settings and score", columns=columns),
            wr.RunComparer(diff_only="split"),
        ],
        columns=1,
        height=9,
        each_run=True,
    )


def _hardware(settings: DashboardSettings) -> Theme:
    titles = ("GPU in use (%)", "GPU memory (%)", "CPU in use (%)", "Memory of the process (MB)")
    return Theme(
        "Throughput and hardware",
        "How fast the training went and what it took. Speeds are comparable only between runs on the same machine with "
        "nothing else running. W&B measures every few seconds, by the clock of the run, what the machine did.",
        [
            _lines(settings, "Steps a second", "train/it_per_s"),
            _lines(settings, "Seconds an epoch", "train/seconds"),
            _bars(settings, "Steps a second, median", ["speed/train_it_per_s"]),
            _bars(settings, "Peak memory (bytes)", ["memory/peak_bytes"]),
            *(
                wr.LinePlot(title=title, x="RelativeTime(Process)", y=[key], max_runs_to_show=MOST)
                for key, title in zip(keys.MACHINE, titles, strict=True)
            ),
        ],
        columns=4,
        open=False,
    )


def _bars(settings: DashboardSettings, title: str, metrics: Sequence[str]) -> wr.BarPlot:
    return wr.BarPlot(
        title=title,
        metrics=list(metrics),
        groupby=_BY_SYSTEM,
        groupby_aggfunc="mean",
        groupby_rangefunc=settings.spread,
        max_runs_to_show=MOST,
        max_bars_to_show=MOST,
    )


def _lines(settings: DashboardSettings, title: str, metric: str) -> wr.LinePlot:
    return wr.LinePlot(
        title=title,
        x=keys.EPOCH,
        y=[metric],
        title_x="epoch",
        groupby=_BY_SYSTEM,
        groupby_aggfunc="mean",
        groupby_rangefunc=settings.spread,
        smoothing_type="none",
        max_runs_to_show=MOST,
    )


def _points(title: str, x: str, front: bool, y: str = "test/miou") -> wr.ScatterPlot:
    return wr.ScatterPlot(
        title=title,
        x=wr.SummaryMetric(x),
        y=wr.SummaryMetric(y),
        running_ymax=front,
        running_ymin=False,
        running_ymean=False,
    )


def _chart(table: str, chart: str, fields: dict, strings: dict) -> wr.CustomChart:
    # What W&B's own library asks for when it logs a chart: the last gives each run the colour it has elsewhere.
    query = {"id": {}, "name": {}, "_defaultColorIndex": {}, "summaryTable": {"tableKey": table}}
    return wr.CustomChart(query=query, chart_name=chart, chart_fields=fields, chart_strings=strings)
