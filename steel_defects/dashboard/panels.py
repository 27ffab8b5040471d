"""The panels, theme by theme; workspace and report lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import wandb_workspaces.reports.v2 as wr

from steel_defects.dashboard import heat_map
from steel_defects.dashboard.view import SPREADS, View
from steel_defects.loggers import keys

MOST = 100  # runs or systems in a panel; W&B would stop at ten
_BY_SYSTEM = wr.Config(keys.SYSTEM)
_MATRIX = "wandb/confusion_matrix/v1"
_HISTOGRAM = "wandb/histogram/v0"


@dataclass(frozen=True)
class Theme:
    """Panels that answer one question.

    Args:
        title: of the section.
        text: what they show, for a reader who sees them for the first time.
        panels: of W&B's library; each belongs to one page, so that a second page needs others.
        columns: how many stand side by side.
        height: of a panel in a report, in units of its grid; 6 is usual.
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


def themes(view: View) -> list[Theme]:
    """All panels of a dashboard, made anew."""
    return [_systems(view), _curves(view), _costs(), _classes(view), _pictures(), _runs(), _hardware(view)]


def _systems(view: View) -> Theme:
    titles = {
        "test/miou": "mIoU of the test images",
        "test/dice": "Dice of the test images",
        "test/native_miou": "mIoU at the images' own size",
    }
    return Theme(
        "Backbones side by side",
        "Scores of the test images. A bar is the mean over the seeds of a system, the line on it their "
        f"{SPREADS[view.spread]}. Where the lines of two systems overlap, the difference may be chance.",
        [_bars(view, title, [key]) for key, title in titles.items()],
    )


def _curves(view: View) -> Theme:
    titles = {
        "train/loss": "Training loss",
        "val/loss": "Validation loss",
        "val/miou": "Validation mIoU",
        "val/dice": "Validation Dice",
        "train/lr": "Learning rate",
    }
    return Theme(
        "Curves",
        f"Epoch by epoch: the mean over the seeds of a system, the band their {SPREADS[view.spread]}. A training loss "
        "that goes on falling while the validation loss rises is a net that learns its images by heart.",
        [_lines(view, title, key) for key, title in titles.items()],
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
            _points("The same at own size", "speed/original_ms_per_image", front=True, y="test/native_miou"),
            _points("mIoU by images/s, batch 1", "speed/resized_images_per_s", front=False),
            _points("mIoU by parameters", "net/parameters", front=True),
            _points("mIoU by GMACs of an image", "net/gmacs", front=True),
            _points("mIoU by peak memory (bytes)", "memory/peak_bytes", front=True),
        ],
    )


def _classes(view: View) -> Theme:
    titles = {"jaccard": "Jaccard index", "detection": "Detection"}
    if view.heat_map:
        shown = [
            _chart(keys.CLASSES, view.heat_map, heat_map.FIELDS, {"title": title, "score": score})
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
            *(_bars(view, name, [f"test/{score}_{name}" for score in titles]) for name in view.classes),
        ],
        height=8,
    )


def _pictures() -> Theme:
    return Theme(
        "Worst images",
        "Test images of all runs, the worst first in each run; a click on the head of a column sorts by it, and the "
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


def _hardware(view: View) -> Theme:
    titles = ("GPU in use (%)", "GPU memory (%)", "CPU in use (%)", "Memory of the process (MB)")
    return Theme(
        "Throughput and hardware",
        "How fast the training went and what it took. Speeds are comparable only between runs on the same machine with "
        "nothing beside them. What the machine did is measured by W&B every few seconds, by the clock of the run.",
        [
            _lines(view, "Steps a second", "train/it_per_s"),
            _lines(view, "Seconds an epoch", "train/seconds"),
            _bars(view, "Steps a second, median", ["speed/train_it_per_s"]),
            _bars(view, "Peak memory (bytes)", ["memory/peak_bytes"]),
            *(
                wr.LinePlot(title=title, x="RelativeTime(Process)", y=[key], max_runs_to_show=MOST)
                for key, title in zip(keys.MACHINE, titles, strict=True)
            ),
        ],
        columns=4,
        open=False,
    )


def _bars(view: View, title: str, metrics: Sequence[str]) -> wr.BarPlot:
    return wr.BarPlot(
        title=title,
        metrics=list(metrics),
        groupby=_BY_SYSTEM,
        groupby_aggfunc="mean",
        groupby_rangefunc=view.spread,
        max_runs_to_show=MOST,
        max_bars_to_show=MOST,
    )


def _lines(view: View, title: str, metric: str) -> wr.LinePlot:
    return wr.LinePlot(
        title=title,
        x=keys.EPOCH,
        y=[metric],
        title_x="epoch",
        groupby=_BY_SYSTEM,
        groupby_aggfunc="mean",
        groupby_rangefunc=view.spread,
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
