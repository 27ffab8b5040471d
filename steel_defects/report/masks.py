"""Test images with their true and their predicted defects, read from the data set and from finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from steel_defects.core.errors import UserError
from steel_defects.data.images import ImageError, read_grey
from steel_defects.data.labels import label_mask, read_annotations
from steel_defects.data.rle import RLEError
from steel_defects.report.records import Run


class LabelledImages:
    """The images that some runs of the same data were tested on, with their labels.

    Args:
        runs: runs with `per_image`, at least one; the data set is where the first one had it.
        root: folder of the data set, where it is elsewhere by now.

    Raises:
        UserError: where there is no run, or the data set or its labels are missing or broken.
    """

    def __init__(self, runs: Sequence[Run], root: Path | None = None) -> None:
        if not runs:
            raise UserError("no run has both per_image.csv and predictions.csv")
        settings, self._classes = runs[0].settings, runs[0].classes
        missing = [key for key in ("data.root", "data.csv", "data.image_dir") if not isinstance(settings.get(key), str)]
        if missing:
            raise UserError(f"{runs[0].folder.config} does not say where the images lie ({', '.join(missing)})")
        root = Path(settings["data.root"] if root is None else root).expanduser()
        self._csv, self._folder = root / settings["data.csv"], root / settings["data.image_dir"]
        if not self._folder.is_dir():
            raise UserError(f"{self._folder}, the folder of the images, does not exist")
        annotations, faults = read_annotations(self._csv, len(self._classes))
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise UserError(f"{self._csv.parent}: {faults[0]}{more}")
        self._labels = annotations.rows
        # What was true in the test: runs may have been tested on different parts of the data.
        tested = pd.concat([run.true_pixels(native=True) for run in runs])
        self._tested = tested[~tested.index.duplicated()]

    def load(self, image_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Read an image and draw its labels.

        Args:
            image_id: name of an image that one of the runs was tested on.

        Returns:
            The grey image and its mask of class indices, uint8 [H, W] both.

        Raises:
            UserError: where the image is missing or broken, or where its labels are not those of the test.
        """
        try:
            image = read_grey(self._folder / image_id)
        except ImageError as error:
            raise UserError(f"{self._folder / image_id} {error}") from error
        codes = {c: label.rle for c, label in self._labels.get(image_id, {}).items()}
        try:
            mask = label_mask(codes, *image.shape)
        except RLEError as error:
            raise UserError(f"{self._csv}: image {image_id}: {error}") from error
        pixels = np.bincount(mask.ravel(), minlength=len(self._classes) + 1)[1:]
        for name, now, then in zip(self._classes, pixels, self._tested.loc[image_id], strict=True):
            if now != then:
                raise UserError(
                    f"{self._csv}: image {image_id} has {now:,} pixels of {name}, but had {then:,} when it was "
                    "tested: the labels have changed since"
                )
        return image, mask


class PredictedMasks:
    """What a run predicts in its test images.

    Args:
        run: a run with both tables, `per_image` and `predictions`.

    Raises:
        UserError: where `predictions.csv` names an image that was not tested or a class that there is not, or an image
            and class twice.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        known = {str(c): c for c in range(1, len(run.classes) + 1)}
        self._codes: dict[str, dict[int, tuple[str, str]]] = {}
        rows = run.predictions
        assert rows is not None, f"{run.folder.predictions} is missing"
        for image_id, given, native, resized in zip(
            rows.index, rows["ClassId"], rows["EncodedPixels"], rows["ResizedPixels"], strict=True
        ):
            place = f"{run.folder.predictions}: image {image_id}, class {given}"
            if image_id not in run.tested.index:
                raise UserError(f"{place}: this image is not in {run.folder.per_image.name}")
            if str(given) not in known:
                raise UserError(f"{place}: there is no such class; the run has {', '.join(known)}")
            codes = self._codes.setdefault(image_id, {})
            if known[str(given)] in codes:
                raise UserError(f"{place}: there is an earlier row for both")
            codes[known[str(given)]] = (str(native), str(resized))

    def native(self, image_id: str, size: tuple[int, int]) -> np.ndarray:
        """What is predicted in an image of a `size` of (height, width): class indices, uint8 [height, width].

        Raises:
            UserError: where a code is broken or does not fit the image.
        """
        return self._draw(image_id, size, 0)

    def resized(self, image_id: str) -> np.ndarray:
        """Likewise at the size that the net works at, `run.size`."""
        return self._draw(image_id, self.run.size, 1)

    def _draw(self, image_id: str, size: tuple[int, int], column: int) -> np.ndarray:
        mask = np.zeros(size, np.uint8)
        for c, codes in sorted(self._codes.get(image_id, {}).items()):
            try:
                mask = np.maximum(mask, label_mask({c: codes[column]}, *size))
            except RLEError as error:
                place = f"image {image_id}, class {c}, {('EncodedPixels', 'ResizedPixels')[column]}"
                raise UserError(f"{self.run.folder.predictions}: {place}: {error}") from error
        return mask
