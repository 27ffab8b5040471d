"""What a W&B run page shows of a tested run beside curves: tables, charts, pictures, the best checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from steel_defects.loggers import keys
from steel_defects.loggers.base import Results

if TYPE_CHECKING:  # imported where it is used: it takes long, and most runs do without it
    import wandb


def mask_labels(classes: Sequence[str]) -> dict[int, str]:
    """Names of the class indices of a mask, background included."""
    return dict(enumerate(["background", *classes]))


def image(picture: np.ndarray, masks: Mapping[str, np.ndarray], labels: Mapping[int, str], caption: str) -> wandb.Image:
    """A grey image with masks that are switched on and off in W&B, each and class by class.

    W&B chooses the masks' colours: its library takes names of classes, and no colours.

    Args:
        picture: uint8 [H, W].
        masks: name -> class indices [H, W].
        labels: names of the class indices.
        caption: below the picture.
    """
    import wandb

    layers = {name: {"mask_data": mask.astype(np.uint8), "class_labels": dict(labels)} for name, mask in masks.items()}
    classes = [{"id": index, "name": name} for index, name in labels.items()]
    return wandb.Image(picture, masks=layers, classes=classes, caption=caption, mode="L", file_type="jpg")


def shown_images(rows: pd.DataFrame, classes: Sequence[str], count: int) -> pd.DataFrame:
    """Which test images the table shows: the worst half, and from the others some of each quality.

    Args:
        rows: a row for each test image, the same as `per_image.csv`.
        classes: names of the defect classes.
        count: number of images to show.

    Returns:
        Rows, worst first by IoU at the image's own size; clean images count 1 if predicted clean, else 0.
    """
    order = rows.assign(quality=rows["native_iou"].fillna(1.0)).sort_values("quality", kind="stable")
    if len(order) <= count:
        return order
    worst = count // 2
    others = np.linspace(worst, len(order) - 1, count - worst).round().astype(int)
    return order.iloc[[*range(worst), *others]]


def image_table(results: Results, count: int) -> wandb.Table:
    """A row a test image: picture with truth and prediction, scores, and pixels of each class, at its own size."""
    import wandb

    classes = results.summary["data"]["classes"]
    labels = mask_labels(classes)
    per_class = [(part, name) for name in classes for part in ("iou", "true", "predicted")]
    table = wandb.Table(
        columns=["image_id", "image", "iou", "dice", "defects", *(f"{part}_{name}" for part, name in per_class)]
    )
    for _, row in shown_images(results.rows, classes, count).iterrows():
        name = row["ImageId"]
        masks = {"truth": results.samples[name].mask(), "prediction": results.prediction(name)}
        table.add_data(
            name,
            image(results.samples[name].image(), masks, labels, f"{name}  IoU {row['native_iou']:.2f}"),
            _number(row["native_iou"]),
            float(np.mean([row[f"native_dice_{class_name}"] for class_name in classes])),
            ", ".join(class_name for class_name in classes if row[f"native_true_{class_name}"]) or "none",
            *(_number(row[f"native_{part}_{class_name}"]) for part, class_name in per_class),
        )
    return table


def charts(results: Results) -> dict[str, object]:
    """Scores by class, the confusion of pixels, the distribution of IoU."""
    import wandb

    summary = results.summary
    classes, test = summary["data"]["classes"], summary["test"]
    parts = ("jaccard", "detection", "native_jaccard", "native_detection")
    by_class = wandb.Table(
        columns=["system", "seed", "class", "score", "value"],
        data=[
            [summary["system"], summary["seed"], name, part, _number(test[f"{part}_{name}"])]
            for part in parts
            for name in classes
        ],
    )
    bars = wandb.Table(
        columns=["class", "jaccard"], data=[[name, _number(test[f"jaccard_{name}"])] for name in classes]
    )
    iou = results.rows.loc[results.rows[[f"true_{name}" for name in classes]].any(axis=1), "iou"]
    return {
        keys.CLASSES: by_class,
        "test/jaccard_by_class": wandb.plot.bar(bars, "class", "jaccard", title="Jaccard index by class"),
        keys.CONFUSION: _confusion(np.asarray(summary["confusion"]), ["background", *classes]),
        keys.IOU: wandb.plot.histogram(
            wandb.Table(columns=["iou"], data=[[float(value)] for value in iou]),
            "iou",
            title="IoU of the test images with a defect",
        ),
    }


def _confusion(counts: np.ndarray, names: Sequence[str]) -> object:
    """Where the pixels of each true class went, in percent: the background would else hide everything."""
    import wandb

    with np.errstate(invalid="ignore"):
        percent = 100 * counts / counts.sum(axis=1, keepdims=True)
    data: list[Iterable[Any]] = [
        [true, predicted, _number(round(percent[i, j], 2))]
        for i, true in enumerate(names)
        for j, predicted in enumerate(names)
    ]
    return wandb.plot_table(
        "wandb/confusion_matrix/v1",
        wandb.Table(columns=["true", "predicted", "percent"], data=data),
        {"Actual": "true", "Predicted": "predicted", "nPredictions": "percent"},
        {"title": "Pixels of each true class, by predicted class (%)"},
    )


def figures(results: Results) -> dict[str, wandb.Image]:
    """The pictures of the run folder, in the colours that this project gives the classes."""
    import wandb

    return {f"figures/{path.stem}": wandb.Image(str(path)) for path in sorted(results.run.figures.glob("*.png"))}


def model_artifact(results: Results, run_id: str) -> tuple[wandb.Artifact, list[str]]:
    """The best checkpoint, with what makes a folder it is downloaded into one that evaluate, predict and export take.

    Returns:
        The artifact, and the aliases it goes by beside W&B's own `latest`.
    """
    import wandb

    summary = results.summary
    name = re.sub(r"[^\w.-]+", "-", f"{summary['system']}-{run_id}")[-128:]
    artifact = wandb.Artifact(
        name,
        type="model",
        description=f"{summary['system']} on {summary['data']['name']}, best of {summary['epochs']} epochs",
        metadata={
            **{key: summary[key] for key in ("system", "architecture", "encoder", "recipe", "seed", "best_epoch")},
            "data": {key: summary["data"][key] for key in ("name", "classes", "size", "data_hash", "split_hash")},
            "test": {key: _number(value) for key, value in summary["test"].items()},
        },
    )
    for path in results.run.portable():
        # The file in the run folder is what is uploaded: no second copy on this disk.
        artifact.add_file(str(path), path.relative_to(results.run.path).as_posix(), policy="immutable")
    miou = summary["test"]["miou"]
    return artifact, ["best", *([f"miou-{miou:.3f}"] if miou == miou else [])]


def _number(value: float) -> float | None:
    """A table's cell: empty where a score is not defined."""
    return None if value != value else float(value)
