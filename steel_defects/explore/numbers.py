"""The numbers of an exploration's page, from its tables; nothing is formatted here. Shares run from 0 to 1.

What needs the size of an image passes over the regions of those whose size is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

LIGHT = ("brightness", "contrast", "black_percent", "margin_left", "margin_right", "margin_top", "margin_bottom")
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
MORE_THAN = (1, 3, 5, 10)  # segments, as in the paper's section 8
# The last segment count of each bin.
_BINS = {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6-10": 10, ">10": np.inf}


class Totals(NamedTuple):
    """Counts of a data set.

    Args:
        images: number of all there are.
        defective: number of those with at least one class.
        regions: number of (image, class) pairs.
        area_px: defect pixels of all regions.
    """

    images: int
    defective: int
    regions: int
    area_px: int


def totals(images: pd.DataFrame) -> Totals:
    """Count images, regions and pixels."""
    regions = images["regions"]
    return Totals(len(images), int((regions > 0).sum()), int(regions.sum()), int(images["area_px"].sum()))


def class_table(regions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """How often each class occurs, and how much area it has.

    Returns:
        Indexed by class name, in the order of `classes`: `images` with the class, each being a region; `share` of all
        regions; `area_px`; `area_share` of all defect pixels; `median_px` of a region; `mean_percent`, the mean area of
        a region in percent of its image (where that size is known). NaN where there is nothing to divide by.
    """
    return _table(
        {
            name: {
                "images": len(of),
                "share": _ratio(len(of), len(regions)),
                "area_px": int(of["area_px"].sum()),
                "area_share": _ratio(of["area_px"].sum(), regions["area_px"].sum()),
                "median_px": float(of["area_px"].median()),
                "mean_percent": float(of["area_percent"].mean()),
            }
            for name, of in by_class(regions, classes).items()
        }
    )


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
        Indexed by the columns of `LIGHT`, in their units: `images`, `mean`, and a column for each of `QUANTILES`. NaN
        where no image was read.
    """
    known = images[list(LIGHT)].dropna().astype(float)
    return pd.DataFrame({"images": len(known), "mean": known.mean()}).join(known.quantile(list(QUANTILES)).T)


def margin_share(images: pd.DataFrame) -> float:
    """Share of the images that could be read that have a black margin at any side; NaN if none was."""
    margins = images[[name for name in LIGHT if name.startswith("margin")]].dropna().astype(float)
    return float((margins > 0).any(axis=1).mean())


def segment_bins(regions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Regions of each class (index) by how many segments they have (columns "1" to "5", "6-10", ">10")."""
    edges = np.array([0, *_BINS.values()]) + 0.5
    counts = {name: np.histogram(_segments(of), bins=edges)[0] for name, of in by_class(regions, classes).items()}
    return _table({name: dict(zip(_BINS, of, strict=True)) for name, of in counts.items()})


def fragmented(regions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Share of the regions of each class (index) with more segments than each of `MORE_THAN` (columns); NaN of none."""
    counts = {name: _segments(of) for name, of in by_class(regions, classes).items()}
    return _table({name: {n: _share(of > n) for n in MORE_THAN} for name, of in counts.items()})


def segment_sizes(segments: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Areas of the segments of each class (index): how many `segments`; a column for each of `QUANTILES`, in pixels."""
    areas = {name: of["area_px"].astype(float) for name, of in by_class(segments, classes).items()}
    return _table({name: {"segments": len(of), **of.quantile(list(QUANTILES)).to_dict()} for name, of in areas.items()})


def survival(
    regions: pd.DataFrame, segments: pd.DataFrame, classes: Sequence[str], size: tuple[int, int]
) -> pd.DataFrame:
    """What is left of each class at the training size.

    Args:
        regions, segments: tables of an exploration.
        classes: names of the classes.
        size: training (height, width) in pixels.

    Returns:
        Indexed by class; NaN where the class has no region.
        `pixels`: pixels at the training size over those at the images' own; a resize that shrinks images leaves as
        much of every class, and of the background.
        `area`: the same with both as shares of the image: 1 where the class keeps its share of the area.
        `segments`, `regions`: share of which at least one pixel is left.
        `vanished_segments`, `vanished_regions`: how many have none.
    """
    rows = {}
    pieces = by_class(segments, classes)
    for name, of in by_class(regions, classes).items():
        known = of[of["resized_px"].notna()]
        kept, gone = known["resized_px"].sum(), pieces[name]["resized_px"] == 0
        rows[name] = {
            "pixels": _ratio(kept, known["area_px"].sum()),
            "area": _ratio(kept / (size[0] * size[1]), known["area_percent"].sum() / 100),
            "segments": _share(~gone),
            "regions": _share(~known["vanished"].astype(bool)),
            "vanished_segments": int(gone.sum()),
            "vanished_regions": int(known["vanished"].sum()),
        }
    return _table(rows)


def vanished(regions: pd.DataFrame) -> pd.DataFrame:
    """The regions of which no pixel is left at the training size, the largest first."""
    gone = regions[regions["vanished"].fillna(False).astype(bool)]
    return gone.sort_values(["area_px", "ImageId", "class_id"], ascending=[False, True, True], ignore_index=True)


def by_class(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Rows of each class by its name, also of those without a row."""
    return {name: table[table["class_id"] == class_id] for class_id, name in enumerate(classes, start=1)}


def _table(rows: Mapping[str, Mapping]) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), index=list(rows))


def _segments(regions: pd.DataFrame) -> np.ndarray:
    """Number of segments of each region, int64 [N], where it is known."""
    return regions["segments"].dropna().to_numpy(np.int64)


def _share(those: np.ndarray | pd.Series) -> float:
    return float(those.mean()) if len(those) else np.nan


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else np.nan
