"""Pictures of a run: curves, the distribution of IoU, and predictions beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from steel_defects.data.catalog import Sample
from steel_defects.page.drawing import whole_ticks
from steel_defects.page.overlay import PALETTE, class_colour, overlay


def draw_curves(history: pd.DataFrame, path: Path) -> None:
    """Loss and mean IoU over the epochs (paper, figure 3)."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, ious = figure.subplots(1, 2)
    epochs = history["epoch"] + 1
    for column, label, colour in (("train/loss", "training", PALETTE[6]), ("val/loss", "validation", PALETTE[5])):
        if column in history:
            losses.plot(epochs, history[column], label=label, color=colour, marker=".")
    losses.margins(y=0.1)
    losses.set(title="Loss", xlabel="epoch", ylim=(0, None))
    for column, colour, style in (("val/miou", PALETTE[2], "-"), ("val/miou_all", PALETTE[0], "--")):
        if column in history:
            ious.plot(
                epochs, history[column], label=column.removeprefix("val/"), color=colour, marker=".", linestyle=style
            )
    ious.set(title="Mean IoU on validation", xlabel="epoch", ylim=(0, 1))
    for axes in (losses, ious):
        axes.grid(alpha=0.3)
        axes.set_xlim(0.5, max(len(epochs), 1) + 0.5)
        whole_ticks(axes.xaxis, min_n_ticks=1)
        axes.legend()
    figure.savefig(path, dpi=120)


def draw_iou_histogram(iou: np.ndarray, path: Path, title: str = "IoU of the test images with a defect") -> None:
    """Distribution of the images' IoU (paper, figure 4).

    Args:
        iou: float [N]; NaN is left out.
        path: PNG to write.
        title: title of the chart.
    """
    iou = np.asarray(iou, float)
    iou = iou[~np.isnan(iou)]
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.hist(iou, bins=np.linspace(0, 1, 21).tolist(), color=PALETTE[6], edgecolor="white")
    if len(iou):
        axes.axvline(iou.mean(), color=PALETTE[5], label=f"mean {iou.mean():.3f}")
        axes.legend()
    axes.set(title=title, xlabel="IoU", ylabel="images", xlim=(0, 1))
    whole_ticks(axes.yaxis)
    figure.savefig(path, dpi=120)


def draw_tuning(
    dice: np.ndarray,
    thresholds: Sequence[float],
    areas: Sequence[int],
    classes: Sequence[str],
    chosen: Sequence[tuple[int, int]],
    path: Path,
) -> None:
    """Dice against the threshold, a chart for each class, a line for each of a few minimum areas.

    Args:
        dice: float [C, T, A].
        thresholds, areas: what the places of T and A stand for.
        classes: names of the C classes.
        chosen: for each class the place (t, a) taken, which is marked.
        path: PNG to write.
    """
    figure = Figure(figsize=(3.6 * len(classes), 3.6), layout="constrained")
    for axes, name, grid, (best, area) in zip(
        figure.subplots(1, len(classes), squeeze=False)[0], classes, dice, chosen, strict=True
    ):
        # No area, the one taken, and one between: more lines would lie upon each other, or far below.
        for k, a in enumerate(sorted({0, area, len(areas) // 2})):
            axes.plot(thresholds, grid[:, a], color=PALETTE[(0, 6, 2)[k]], label=f"{areas[a]} pixels or more")
        axes.plot(thresholds[best], grid[best, area], "o", color=PALETTE[5], label="taken")
        axes.set(title=name, xlabel="threshold", xlim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.supylabel("dice on validation", fontsize=10)
    figure.savefig(path, dpi=120)


def draw_gallery(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]], classes: Sequence[str], path: Path, title: str
) -> None:
    """Images with their true and predicted defects, one below the other (paper, figures 5 to 7).

    Args:
        rows: tuples of caption, image uint8 [H, W], true and predicted class indices uint8 [H, W].
        classes: names of the defect classes, for the legend.
        path: PNG to write.
        title: title of the picture.
    """
    height, width = rows[0][1].shape
    wide = width >= 2 * height  # strips go below each other, square images side by side
    across = 1 if wide else 3
    cell_width = 9.0 if wide else 3.0
    cell_height = cell_width * height / width + 0.22
    down = len(rows) * (3 if wide else 1)
    figure = Figure(figsize=(cell_width * across, cell_height * down + 0.8), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for i, (caption, image, truth, prediction) in enumerate(rows):
        panels = [(caption, np.zeros_like(truth)), ("truth", truth), ("prediction", prediction)]
        for axis, (label, mask) in zip(axes[3 * i : 3 * i + 3], panels, strict=True):
            axis.imshow(overlay(image, mask), interpolation="nearest" if width < 400 else None)
            axis.set_title(label, fontsize=8, loc="left", pad=2)
            axis.set_axis_off()
    handles = [Patch(color=class_colour(c), label=name) for c, name in enumerate(classes, start=1)]
    figure.suptitle(title, fontsize=10)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def draw_examples(
    folder: Path,
    rows: pd.DataFrame,
    samples: Sequence[Sample],
    classes: Sequence[str],
    predict: Callable[[np.ndarray], np.ndarray],
    part: str = "test",
) -> None:
    """The distribution of IoU, and the best, middle and worst images with a defect.

    Args:
        folder: folder to write the PNGs to; it is made where it is missing.
        rows: rows of the images, as `per_image.csv`.
        samples: these images.
        classes: names of the defect classes.
        predict: function from a grey image, uint8 [H, W], to class indices, uint8 [H, W].
        part: part of the split, for the titles.
    """
    folder.mkdir(exist_ok=True)
    defective = rows[rows[[f"true_{name}" for name in classes]].any(axis=1)]
    defective = defective.sort_values("iou", kind="stable")
    title = f"IoU of the {part} images with a defect"
    draw_iou_histogram(defective["iou"].to_numpy(), folder / "iou_histogram.png", title)

    middle = max(0, len(defective) // 2 - 1)
    choices = {
        "worst": defective.iloc[:3],
        "middle": defective.iloc[middle : middle + 3],
        "best": defective.iloc[::-1].iloc[:3],
    }
    by_id = {sample.image_id: sample for sample in samples}
    for name, chosen in choices.items():
        panels = []
        for row in chosen.itertuples():
            sample = by_id[row.ImageId]
            image = sample.image()
            caption = f"{row.ImageId}  IoU {row.iou:.2f}, at full size {row.native_iou:.2f}"
            panels.append((caption, image, sample.mask(), predict(image)))
        if panels:
            draw_gallery(panels, classes, folder / f"{name}.png", f"{name.capitalize()} {part} images by IoU")
