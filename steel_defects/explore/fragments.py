"""Into how many segments defects fall, how large those are, and what resizing leaves of them; from the tables.

Regions of images whose size is not known are passed over. Shares run from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from steel_defects.explore.numbers import QUANTILES, by_class

# The last segment count of each bin.
_BINS = {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6-10": 10, ">10": np.inf}
MORE_THAN = (1, 3, 5, 10)  # segments, as in the paper's section 8


def segment_bins(regions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Regions of each class (index) by how many segments they have (columns "1" to "5", "6-10", ">10")."""
    edges = [0, *_BINS.values()]
    rows = [np.histogram(_counts(own), bins=np.array(edges) + 0.5)[0] for _, own in by_class(regions, classes)]
    return pd.DataFrame(rows, index=pd.Index(classes, name="class"), columns=list(_BINS))


def fragmented(regions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Share of the regions of each class (index) with more segments than each of `MORE_THAN` (columns); NaN of none."""
    rows = []
    for _, own in by_class(regions, classes):
        counts = _counts(own)
        rows.append([float((counts > least).mean()) if len(counts) else np.nan for least in MORE_THAN])
    return pd.DataFrame(rows, index=pd.Index(classes, name="class"), columns=list(MORE_THAN))


def segment_sizes(segments: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Areas of the segments of each class (index): `segments`, `mean` and a column for each of `QUANTILES`, pixels."""
    rows = []
    for _, own in by_class(segments, classes):
        area = own["area_px"].astype(float)
        rows.append({"segments": len(area), "mean": area.mean(), **area.quantile(list(QUANTILES)).to_dict()})
    return pd.DataFrame(rows, index=pd.Index(classes, name="class"))


def survival(
    regions: pd.DataFrame, segments: pd.DataFrame, classes: Sequence[str], size: tuple[int, int]
) -> pd.DataFrame:
    """What is left of each class at the training size.

    Args:
        regions, segments: tables of an exploration.
        classes: names.
        size: training (height, width) in pixels.

    Returns:
        Indexed by class; NaN where the class has no region.
        `pixels`: pixels at the training size over those at the images' own; a resize that shrinks images leaves as
        much of every class, and of the background.
        `area`: the same with both as shares of the image: 1 where the class keeps its share of the area.
        `segments`, `regions`: share of which at least one pixel is left.
        `vanished_segments`, `vanished_regions`: how many have none.
    """
    rows = []
    for (_, own), (_, pieces) in zip(by_class(regions, classes), by_class(segments, classes), strict=True):
        own = own[own["resized_px"].notna()]
        kept, gone = own["resized_px"].sum(), pieces["resized_px"] == 0
        before, area = own["area_px"].sum(), own["area_percent"].sum() / 100
        rows.append(
            {
                "pixels": float(kept / before) if before else np.nan,
                "area": float(kept / (size[0] * size[1]) / area) if before else np.nan,
                "segments": 1 - float(gone.mean()) if len(gone) else np.nan,
                "regions": 1 - float(own["vanished"].mean()) if len(own) else np.nan,
                "vanished_segments": int(gone.sum()),
                "vanished_regions": int(own["vanished"].sum()),
            }
        )
    return pd.DataFrame(rows, index=pd.Index(classes, name="class"))


def vanished(regions: pd.DataFrame) -> pd.DataFrame:
    """The regions of which no pixel is left at the training size, the largest first."""
    gone = regions[regions["vanished"].fillna(False).astype(bool)]
    return gone.sort_values(["area_px", "ImageId", "class_id"], ascending=[False, True, True], ignore_index=True)


def _counts(regions: pd.DataFrame) -> np.ndarray:
    return regions["segments"].dropna().to_numpy(np.int64)
