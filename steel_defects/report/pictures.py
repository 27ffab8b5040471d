"""Pictures of test images with what is true and what every system predicts: for the gallery and for comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd
from tqdm import tqdm

from steel_defects.core.errors import UserError
from steel_defects.data.images import resize
from steel_defects.page.content import Comparison, Omission, Picture, Shown
from steel_defects.page.pictures import WIDTH, labelled_picture, overlay_layer
from steel_defects.report.choose import Typical
from steel_defects.report.masks import LabelledImages, PredictedMasks
from steel_defects.report.records import Run


def read_predicted(shown: Mapping[str, Run]) -> tuple[dict[str, PredictedMasks], list[Omission]]:
    """What the run that stands for each system predicts, by the system's name; and systems whose table is at fault."""
    predicted, faulty = {}, []
    for name, run in shown.items():
        try:
            predicted[name] = PredictedMasks(run)
        except UserError as error:
            faulty.append(Omission(name, f"{error}; not in the pictures"))
    return predicted, faulty


def picture(
    image_id: str,
    images: LabelledImages,
    predicted: Mapping[str, PredictedMasks],
    net_size: tuple[int, int] | None = None,
    width: int = WIDTH,
) -> Picture:
    """A test image with its layers.

    Args:
        image_id: name of the image; systems that were not tested on it are not in the picture.
        images: the images, to read it from.
        predicted: predictions by the names of the systems, at least one.
        net_size: (height, width) in pixels that it is scored and drawn at, as in training; systems whose nets work at
            another size are not in the picture. None stands for the image's own size.
        width: pixels; a wider image is shown smaller.

    Raises:
        UserError: where the image, its labels or a prediction are missing, broken or not those of the test.
    """
    image, truth = images.load(image_id)
    if net_size:
        image, truth = resize(image, truth, net_size)
    shown = []
    for name, masks in predicted.items():
        if image_id in masks.run.tested.index and net_size in (None, masks.run.size):
            mask = masks.resized(image_id) if net_size else masks.native(image_id, image.shape)
            row = masks.run.tested.loc[image_id]
            shown.append(
                _shown(name, overlay_layer(mask, width), row, masks.run.classes, "" if net_size else "native_")
            )
    classes = next(iter(predicted.values())).run.classes
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
    image_ids: Sequence[str], images: LabelledImages, predicted: Mapping[str, PredictedMasks]
) -> tuple[list[Picture], list[Omission]]:
    """Pictures of some images; and the images that cannot be drawn."""
    bar = tqdm(image_ids, "Drawing test images", unit="image", disable=None)
    return _drawn(bar, lambda image_id: picture(image_id, images, predicted))


def _drawn(image_ids: Iterable[str], draw: Callable[[str], Picture]) -> tuple[list[Picture], list[Omission]]:
    pictures, missing = [], []
    for image_id in image_ids:
        try:
            pictures.append(draw(image_id))
        except UserError as error:
            missing.append(Omission(image_id, f"{error}; not shown"))
    return pictures, missing


def comparisons(
    chosen: Typical, images: LabelledImages, predicted: Mapping[str, PredictedMasks]
) -> tuple[list[Comparison], list[Omission]]:
    """Some images through all systems: with one type of defect, with several, and at the nets' size.

    Returns:
        Those of the three that there are images for, the last only where the nets do not work at the images' size; and
        the images that cannot be drawn.
    """
    seeds = _seeds({name: masks.run for name, masks in predicted.items()})
    rule = "the test image whose IoU at its own size, averaged over the systems, is the median of its kind"
    kinds = "; ".join(" and ".join(kind) for kind in chosen.several)
    single = f"For each class, of the images with that defect alone, {rule}. {seeds}"
    several = f"For the most frequent combinations of defects ({kinds}), {rule}. {seeds}"
    compared, missing, resized = [], [], []
    for name, title, note, image_ids, most_resized in (
        ("one-type", "One defect type", single, chosen.one.values(), None),
        ("several-types", "Several defect types", several, chosen.several.values(), 1),
    ):
        pictures, gone = _drawn(image_ids, lambda image_id: picture(image_id, images, predicted))
        missing += gone
        if pictures:
            compared.append(Comparison(name, title, note, pictures))
            resized += [drawn.image_id for drawn in pictures[:most_resized]]
    size = Counter(masks.run.size for masks in predicted.values()).most_common(1)[0][0]
    resized = [image_id for image_id in resized if images.load(image_id)[0].shape != size]
    pictures, gone = _drawn(resized, lambda image_id: picture(image_id, images, predicted, size))
    if pictures:
        note = (
            f"Images of the comparisons above at the size that the nets work at, {size[0]}x{size[1]} pixels; truth, "
            f"prediction and IoU are those at this size. {seeds}"
        )
        sizes = {name: masks.run.size for name, masks in predicted.items() if masks.run.size != size}
        if sizes:
            others = ", ".join(f"{name} ({height}x{width})" for name, (height, width) in sizes.items())
            note += f" Not shown, as their nets work at another size: {others}."
        compared.append(Comparison("resized", "Resized", note, pictures))
    return compared, missing + gone


def _seeds(runs: Mapping[str, Run]) -> str:
    seeds = {run.seed for run in runs.values()}
    if len(seeds) == 1:
        return f"Of each system, the run with seed {seeds.pop()} is shown."
    return f"Shown are the runs with these seeds: {', '.join(f'{name} {run.seed}' for name, run in runs.items())}."
