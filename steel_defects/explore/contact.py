"""Contact sheets: labelled images of each class from the smallest defect to the largest, and twins that disagree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steel_defects.data.images import ImageError, read_grey
from steel_defects.data.labels import label_mask
from steel_defects.data.twins import orient
from steel_defects.explore.collect import Exploration
from steel_defects.explore.measure import fitting
from steel_defects.explore.numbers import by_class
from steel_defects.explore.sheets import percent
from steel_defects.page.content import Comparison, Omission, Picture
from steel_defects.page.pictures import WIDTH, labelled_picture
from steel_defects.page.sheet import plural

_SQUARE = 320  # pixels: the width of images that are shown side by side


def contact_sheets(explored: Exploration, sheet: int) -> tuple[list[Comparison], list[Omission]]:
    """Up to `sheet` images of each class, evenly drawn from those with the smallest area of it to the largest.

    Returns:
        A comparison for each class that a readable image shows; and images that can be read no more.
    """
    compared, unread = [], []
    several = explored.images.set_index("ImageId")["regions"] > 1
    known = explored.regions[explored.regions["ImageId"].isin(list(explored.survey.looks))]
    for class_id, (name, regions) in enumerate(by_class(known, explored.classes).items(), start=1):
        ranked = regions.sort_values(["area_px", "ImageId"])
        pictures = []
        for k in _spread(len(ranked), sheet):
            row = ranked.iloc[k]
            caption = f"{plural(row['area_px'], 'pixel')}, {percent(row['area_percent'] / 100)} of the image"
            if row["segments"] > 1:
                caption += f", {row['segments']} segments"
            if several[row["ImageId"]]:
                caption = f"{name}: {caption}"
            try:
                pictures.append(_picture(explored, row["ImageId"], caption))
            except ImageError as error:
                unread.append(_unread(row["ImageId"], error))
        if pictures:
            drawn = f"{len(pictures)} of " if len(pictures) < len(ranked) else ""
            note = f"{drawn}{plural(len(ranked), 'image')}, from the smallest area of {name} to the largest."
            compared.append(Comparison(f"class-{class_id}", name, note, pictures))
    return compared, unread


def twin_sheets(explored: Exploration, pairs: int) -> tuple[list[Comparison], list[Omission]]:
    """Twins whose labels disagree, worst first, up to `pairs` of them: the first is turned as the second lies.

    Returns:
        A comparison for each pair; and images that can be read no more.
    """
    compared, unread = [], []
    for number, row in enumerate(explored.twins[explored.twins["labels"] == "differ"][:pairs].itertuples(), start=1):
        turned = "" if row.orientation == "same" else f"here {row.orientation}"
        note = f"IoU of the labels {row.iou:.3f}."
        if turned:
            note += f" The first is shown {row.orientation}, as the second lies: image and labels."
        try:
            pictures = [_picture(explored, row.first, turned, row.orientation), _picture(explored, row.second)]
        except ImageError as error:
            unread.append(_unread(f"{row.first} / {row.second}", error))
            continue
        compared.append(Comparison(f"pair-{number}", f"{row.first} and {row.second}", note, pictures))
    return compared, unread


def _spread(count: int, wanted: int) -> Sequence[int]:
    """Places of at most `wanted` of so many, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(int)).tolist() if count else []


def _picture(explored: Exploration, image_id: str, caption: str = "", orientation: str = "same") -> Picture:
    """An image with its labels, both turned.

    Raises:
        ImageError: where it can be read no more.
    """
    image = orient(read_grey(explored.survey.paths[image_id]), orientation)
    height, width = explored.survey.looks[image_id].size
    labels = fitting(explored.survey.annotations.rows.get(image_id, {}), (height, width))
    mask = orient(label_mask({c: label.rle for c, label in labels.items()}, height, width), orientation)
    image, mask = np.ascontiguousarray(image), np.ascontiguousarray(mask)
    shown = WIDTH if image.shape[1] >= 2 * image.shape[0] else _SQUARE
    return labelled_picture(image_id, image, mask, explored.classes, width=shown, caption=caption)


def _unread(what: str, error: ImageError) -> Omission:
    return Omission(what, f"{error}; not shown")
