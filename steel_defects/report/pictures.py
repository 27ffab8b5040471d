"""Pictures of test images with what is true and what every system predicts: for the gallery and for comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from steel_defects.core.errors import UserError
from steel_defects.data.images import resize
from steel_defects.page.content import Comparison, Omission, Picture, Shown
from steel_defects.page.pictures import WIDTH, labelled_picture, overlay_layer
from steel_defects.report.choose import shown_runs, typical, worst
from steel_defects.report.masks import LabelledImages, PredictedMasks
from steel_defects.report.records import Run, Study


def read_predicted(study: Study) -> tuple[dict[str, PredictedMasks], list[Omission]]:
    """What the shown run of each system predicts, by the system's name; and systems whose table is at fault."""
    predicted, left = {}, []
    for name, run in shown_runs(study).items():
        try:
            predicted[name] = PredictedMasks(run)
        except UserError as error:
            left.append(Omission(name, f"{error}; not in the pictures"))
    return predicted, left


def picture(
    image_id: str, images: LabelledImages, predicted: Mapping[str, PredictedMasks], width: int = WIDTH
) -> Picture:
    """A test image with its layers, scored and drawn at its own size.

    Args:
        image_id: of an image that some of the systems were tested on; the others are not in the picture.
        images: to read it from.
        predicted: by the names of the systems.
        width: pixels; a wider image is shown smaller.

    Raises:
        UserError: where the image, its labels or a prediction are missing, broken or not those of the test.
    """
    image, truth = images.load(image_id)
    masks = {name: masks.native(image_id, image.shape) for name, masks in _tested(predicted, image_id).items()}
    return _picture(image_id, image, truth, masks, predicted, width, "native_")


def resized_picture(
    image_id: str, images: LabelledImages, predicted: Mapping[str, PredictedMasks], width: int = WIDTH
) -> Picture:
    """A test image with its layers, scored and drawn at the size that the nets work at, as in training.

    Args:
        image_id, images, width: as for `picture`.
        predicted: by the names of the systems, at least one; those whose net works at another size than the first
            one's are not in the picture.

    Raises:
        UserError: as `picture`.
    """
    size = next(iter(predicted.values())).run.size
    image, truth = resize(*images.load(image_id), size)
    alike = {name: masks for name, masks in _tested(predicted, image_id).items() if masks.run.size == size}
    masks = {name: masks.resized(image_id) for name, masks in alike.items()}
    return _picture(image_id, image, truth, masks, predicted, width, "")


def _tested(predicted: Mapping[str, PredictedMasks], image_id: str) -> dict[str, PredictedMasks]:
    return {name: masks for name, masks in predicted.items() if image_id in masks.run.tested.index}


def _picture(
    image_id: str,
    image: np.ndarray,
    truth: np.ndarray,
    masks: Mapping[str, np.ndarray],
    predicted: Mapping[str, PredictedMasks],
    width: int,
    prefix: str,
) -> Picture:
    classes = next(iter(predicted.values())).run.classes
    shown = [
        _shown(name, overlay_layer(mask, width), predicted[name].run.tested.loc[image_id], classes, prefix)
        for name, mask in masks.items()
    ]
    return labelled_picture(image_id, image, truth, classes, shown, width)


def _shown(name: str, overlay: str, row: pd.Series, classes: Sequence[str], prefix: str) -> Shown:
    iou, by_class = row[f"{prefix}iou"], {name: row[f"{prefix}iou_{name}"] for name in classes}
    return Shown(
        group=name,
        overlay=overlay,
        score=None if pd.isna(iou) else float(iou),
        class_scores={name: float(value) for name, value in by_class.items() if not pd.isna(value)},
    )


def gallery(
    study: Study, images: LabelledImages, predicted: Mapping[str, PredictedMasks], per_group: int
) -> tuple[list[Picture], list[Omission]]:
    """Pictures of the images in which systems do badly, see `worst`; and those that cannot be drawn."""
    bar = tqdm(worst(study, per_group), "Drawing test images", unit="image", disable=None)
    return _drawn(bar, lambda image_id: picture(image_id, images, predicted))


def _drawn(image_ids: Iterable[str], draw: Callable[[str], Picture]) -> tuple[list[Picture], list[Omission]]:
    pictures, left = [], []
    for image_id in image_ids:
        try:
            pictures.append(draw(image_id))
        except UserError as error:
            left.append(Omission(image_id, f"{error}; not shown"))
    return pictures, left


def comparisons(
    study: Study, images: LabelledImages, predicted: Mapping[str, PredictedMasks]
) -> tuple[list[Comparison], list[Omission]]:
    """Some images through all systems: with one type of defect, with several, and at the nets' size (see `typical`).

    Returns:
        Those of the three that the data has images for, the last only where the nets do not work at the images' size;
        and the images that cannot be drawn.
    """
    chosen = typical(study)
    seeds = _seeds({name: masks.run for name, masks in predicted.items()})
    rule = "the test image whose IoU at its own size, averaged over the systems, is the median of its kind"
    kinds = "; ".join(" and ".join(kind) for kind in chosen.several)
    one = f"For each class, of the images with that defect alone, {rule}. {seeds}"
    several = f"For the most frequent combinations of defects ({kinds}), {rule}. {seeds}"
    found, left, shown = [], [], []
    for name, title, note, own in (
        ("one-type", "One defect type", one, chosen.one),
        ("several-types", "Several defect types", several, chosen.several),
    ):
        pictures, missing = _drawn(own.values(), lambda image_id: picture(image_id, images, predicted))
        left += missing
        if pictures:
            found.append(Comparison(name, title, note, pictures))
            shown += [drawn.image_id for drawn in (pictures if own is chosen.one else pictures[:1])]
    resized, missing = _resized(shown, images, predicted, seeds)
    return found + resized, left + missing


def _resized(
    shown: Sequence[str], images: LabelledImages, predicted: Mapping[str, PredictedMasks], seeds: str
) -> tuple[list[Comparison], list[Omission]]:
    """The comparison at the size that most systems' nets work at, if it is another one than the images'."""
    if not shown:
        return [], []
    size = Counter(masks.run.size for masks in predicted.values()).most_common(1)[0][0]
    alike = {name: masks for name, masks in predicted.items() if masks.run.size == size}
    chosen = [image_id for image_id in shown if images.load(image_id)[0].shape != size]
    note = (
        f"Images of the comparisons above at the size that the nets work at, {size[0]}x{size[1]} pixels; truth, "
        f"prediction and IoU are those at this size. {seeds}"
    )
    others = [f"{name} ({masks.run.size[0]}x{masks.run.size[1]})" for name, masks in predicted.items()]
    others = [text for text, name in zip(others, predicted, strict=True) if name not in alike]
    if others:
        note += f" Not shown, as their nets work at another size: {', '.join(others)}."
    pictures, left = _drawn(chosen, lambda image_id: resized_picture(image_id, images, alike))
    return [Comparison("resized", "Resized", note, pictures)] if pictures else [], left


def _seeds(runs: Mapping[str, Run]) -> str:
    seeds = {run.seed for run in runs.values()}
    if len(seeds) == 1:
        return f"Of each system, the run with seed {seeds.pop()} is shown."
    return f"Shown are the runs with these seeds: {', '.join(f'{name} {run.seed}' for name, run in runs.items())}."
