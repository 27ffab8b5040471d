"""Small data sets in Kaggle's layout, and what is found in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from steel_defects.data.settings import DataSettings
from steel_defects.explore.collect import Exploration, collect


@pytest.fixture(scope="session")
def write():
    """Write a label file and, unless they are None, images."""

    def write(
        root: Path,
        rows: Iterable[str],
        images: Mapping[str, np.ndarray] | None = None,
        header: str = "ImageId,ClassId,EncodedPixels",
    ) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        (root / "train.csv").write_text("\n".join([header, *rows]) + "\n")
        if images is not None:
            (root / "train_images").mkdir()
        for name, image in (images or {}).items():
            assert cv2.imwrite(str(root / "train_images" / name), np.ascontiguousarray(image))
        return root

    return write


@pytest.fixture(scope="session")
def explore():
    """Collect the tables of a data set with these settings, at a training size of 32x32 if no other is given."""
    values = {"name": "made up", "csv": "train.csv", "image_dir": "train_images", "classes": ["pits", "streaks"]}

    def explore(root: Path, *, twins: bool = True, **changes) -> Exploration:
        return collect(
            DataSettings(**values | {"root": str(root), "size": [32, 32]} | changes), twins=twins, progress=False
        )

    return explore
