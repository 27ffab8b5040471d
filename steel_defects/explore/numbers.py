"""The numbers of an exploration's page, from its tables; nothing is formatted here. Shares run from 0 to 1.

Images, classes and light; segments and what resizing leaves of them are in `fragments`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LIGHT = ("brightness", "contrast", "black_percent", "margin_left", "margin_right", "margin_top", "margin_bottom")
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Totals:
    """Counts of a data set.

    Args:
        images: all there are.
        defective: with at least one class.
        clean: the others.
        regions: (image, class) pairs.
        area_px: defect pixels of all regions.
        segments: connected; None where they could be counted in no image, though there are regions.
    """

    images: int
    defective: int
    clean: int
    regions: int
    area_px: int
    segments: int | None


def totals(images: pd.DataFrame) -> Totals:
    """Count images, regions, pixels and segments. Segments are those of the images whose size is known."""
    defective = int((images["regions"] > 0).sum())
    uncounted = defective > 0 and images.loc[images["regions"] > 0, "segments"].isna().all()
    return Totals(
        len(images),
        defective,
        len(images) - defective,
        int(images["regions"].sum()),
        int(images["area_px"].sum()),
        None if uncounted else int(images["segments"].sum()),
    )


def class_table(regions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """How often each class occurs, and how much area it has.

    Returns:
        Indexed by class name, in the order of `classes`: `class_id`; `images` with the class, each being a region;
        `share` of all regions; `area_px`; `area_share` of all defect pixels; `mean_px` and `median_px` of a region;
        `mean_percent` and `median_percent`, a region's area in percent of its image (where that size is known). NaN
        where there is nothing to divide by.
    """
    rows = []
    for class_id, own in by_class(regions, classes):
        rows.append(
            {
                "class_id": class_id,
                "images": len(own),
                "share": _ratio(len(own), len(regions)),
                "area_px": int(own["area_px"].sum()),
                "area_share": _ratio(own["area_px"].sum(), regions["area_px"].sum()),
                "mean_px": float(own["area_px"].mean()),
                "median_px": float(own["area_px"].median()),
                "mean_percent": float(own["area_percent"].mean()),
                "median_percent": float(own["area_percent"].median()),
            }
        )
    return pd.DataFrame(rows, index=pd.Index(classes, name="class"))


def classes_per_image(images: pd.DataFrame) -> dict[int, int]:
    """How many images have 0, 1, 2, … classes, up to the most that one has."""
    return dict(enumerate(np.bincount(images["regions"].to_numpy(np.int64), minlength=1).tolist()))


def co_occurrence(regions: pd.DataFrame, num_classes: int) -> np.ndarray:
    """Images that show both of two classes, int64 [C, C]; on the diagonal, those that show the class."""
    of_image, names = pd.factorize(regions["ImageId"])
    shows = np.zeros((len(names), num_classes), np.int64)
    shows[of_image, regions["class_id"].to_numpy(np.int64) - 1] = 1
    return shows.T @ shows


def image_sizes(images: pd.DataFrame) -> pd.DataFrame:
    """Columns `height`, `width` in pixels and `images` of that size, most first; of those whose size is known."""
    known = images[["height", "width"]].dropna().astype(np.int64)
    counts = known.groupby(["height", "width"]).size().reset_index(name="images")
    return counts.sort_values(["images", "height", "width"], ascending=[False, True, True], ignore_index=True)


def light_summary(images: pd.DataFrame) -> pd.DataFrame:
    """How light and margins spread over the images that could be read.

    Returns:
        Indexed by the columns of `LIGHT`, in their units: `images`, `mean`, `std` (n - 1), and a column for each of
        `QUANTILES`. NaN where no image was read.
    """
    known = images[list(LIGHT)].dropna().astype(float)
    summary = pd.DataFrame({"images": len(known), "mean": known.mean(), "std": known.std()})
    return summary.join(known.quantile(list(QUANTILES)).T)


def margin_shares(images: pd.DataFrame) -> dict[str, float]:
    """Share of the images that could be read that have a black margin at each side, and at `any`; NaN if none was."""
    sides = ["left", "right", "top", "bottom"]
    black = images[[f"margin_{side}" for side in sides]].dropna().astype(float) > 0
    shares = {side: float(black[f"margin_{side}"].mean()) for side in sides}
    return {**shares, "any": float(black.any(axis=1).mean())}


def by_class(table: pd.DataFrame, classes: Sequence[str]) -> list[tuple[int, pd.DataFrame]]:
    """Rows of each class by its number, also of those without a row."""
    return [(class_id, table[table["class_id"] == class_id]) for class_id in range(1, len(classes) + 1)]


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else np.nan
