"""The Python API: a model file, and what it finds in images. Exported files need no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np

from steel_defects.data.images import ImageError, decode_grey, read_grey
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, read_decision
from steel_defects.inference.defects import Defect, find_defects
from steel_defects.inference.engine import Engine
from steel_defects.inference.loading import open_engine
from steel_defects.inference.stream import ordered_map
from steel_defects.page.overlay import overlay

ImageLike: TypeAlias = "str | PathLike[str] | bytes | bytearray | np.ndarray"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found in an image.

    Args:
        image: the grey image itself, uint8 [H, W].
        mask: uint8 [H, W], 0 background, c = class c.
        confidence: float32 [H, W], 0..1: how sure the net is of the likeliest defect class, rather than the background;
            also where the mask is 0.
        defects: each connected one; those of the first class first, those of a class from left to right.
        codes: Kaggle's run-length code of each class that was found, by its number.
        classes: names of the classes; the first is class 1.
    """

    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    confidence: np.ndarray = field(repr=False)
    defects: list[Defect]
    codes: dict[int, str] = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)

    @property
    def is_clean(self) -> bool:
        """Whether there is no defect."""
        return not self.defects

    def overlay(self) -> np.ndarray:
        """The image with its defects drawn in, a colour for each class: uint8 [H, W, 3], RGB."""
        return overlay(self.image, self.mask)


class Model:
    """Finds defects; made by `load_model`. Calls may come from several threads.

    Attributes:
        card: what the model file says of itself: system, encoder, data, scores, versions.
        classes: names of the defect classes; the first is class 1.
        size: (height, width) in pixels that images are brought to inside; results have the image's own.
        decision: thresholds and minimum areas, one a class.
        about: engine, device, precision, threads and versions.
        parallel: number of images at once that make full use of the machine.
    """

    def __init__(self, engine: Engine, decision: Decision) -> None:
        self._engine = engine
        self.card: ModelCard = engine.card
        self.classes: tuple[str, ...] = engine.card.classes
        self.size: tuple[int, int] = engine.card.size
        self.decision = decision
        self.about: dict = engine.about
        self.parallel: int = engine.parallel

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Model {self.card.system} at {height}x{width}, {self.about.get('engine')}: {', '.join(self.classes)}>"

    def predict(self, image: ImageLike, *, white: int | None = None) -> Prediction:
        """Find the defects of an image of any size.

        Args:
            image: a file (JPEG, PNG, BMP or TIFF, grey or colour), the bytes of one, or grey values, uint8 [H, W].
            white: the value that counts as white in files of more than 8 bits a pixel (1 to 65535): 4095 for a 12-bit
                camera. None takes the largest that fits. 8-bit files and arrays are taken as they are.

        Raises:
            ImageError: a UserError that names the file, where it cannot be read, or the net gives no number.
            TypeError: where the image is nothing of these, or an array not of uint8.
            ValueError: where an array is not [H, W], or `white` out of range.

        Example:
            >>> from steel_defects import load_model
            >>> from steel_defects.data.synthetic.strip import draw_strip
            >>> model = load_model("tests/fixtures/v0.1.0/run/checkpoints/best.ckpt", device="cpu")
            >>> strip, _ = draw_strip(seed=0, index=0, classes=(3,), height=64, width=400)
            >>> found = model.predict(strip)
            >>> found.mask.shape, found.mask.dtype, found.overlay().shape
            ((64, 400), dtype('uint8'), (64, 400, 3))
            >>> {defect.class_name for defect in found.defects}
            {'scratches'}
            >>> found.is_clean
            False
        """
        try:
            return self._predict(_grey(image, white))
        except ImageError as error:
            name = image if isinstance(image, str | PathLike) else "the image"
            raise ImageError(error.reason, str(name)) from None

    def predict_many(self, images: Iterable[ImageLike], *, white: int | None = None) -> Iterator[Prediction]:
        """Find the defects of many images, several at a time, with few of them in memory.

        Args:
            images: images in the forms that `predict` takes; from a generator, each is taken when there is room for it.
            white: the same as for `predict`.

        Returns:
            predictions in the order of the images. One that cannot be read raises in its turn, as in `predict`, and
            nothing comes after it.

        Raises:
            TypeError: where `images` is a single one.

        Example:
            >>> import numpy as np
            >>> from steel_defects import load_model
            >>> model = load_model("tests/fixtures/v0.1.0/run/export/deeplabv3plus-tu-test_efficientnet-fp32.onnx")
            >>> strips = (np.zeros((64, width), np.uint8) for width in (400, 200, 300))
            >>> [found.mask.shape for found in model.predict_many(strips)]
            [(64, 400), (64, 200), (64, 300)]
        """
        if isinstance(images, str | PathLike | bytes | bytearray):
            raise TypeError("predict_many takes several images; for a single one use predict")
        # One more than the engine takes reads the next image while the others wait for it.
        return ordered_map(partial(self.predict, white=white), images, self.parallel + 1)

    def _predict(self, grey: np.ndarray) -> Prediction:
        maps = self._engine(grey)
        if not np.isfinite(maps.confidence.max()):
            raise ImageError("gets no number from the net; look at the model, or at its precision")
        mask = self.decision.mask(maps)
        codes, defects = find_defects(mask, maps.confidence, self.classes)
        return Prediction(grey, mask, maps.confidence, defects, codes, self.classes)


def load_model(
    model: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    threads: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    tta: bool = False,
    size: Sequence[int] | None = None,
    decision: str | PathLike[str] | Mapping[str, Sequence[float]] = "auto",
) -> Model:
    """Open a model file, ready to predict.

    Args:
        model: a `.ckpt`, an exported `.onnx` or OpenVINO `.xml`; or several `.ckpt` of one set of classes, to be
            averaged.
        threads: threads of the CPU; None takes all.
        device: `auto` (a GPU if there is one), `cpu` or `cuda` for a checkpoint; exported files run on the CPU.
        precision: `fp32` or `bf16` for a checkpoint (`fp16` on a GPU); an exported file has its own, and takes None.
        tta: average over the image and its three mirror images (checkpoints only).
        size: (height, width) the net works at, other than the one it was trained at (checkpoints only).
        decision: `auto` for the model's own, which `evaluate` may have tuned; `argmax` for the likeliest class,
            however small the defect; or thresholds (0..1) and minimum areas (pixels), one a class: a JSON file, or a
            mapping such as `{"thresholds": [0.5, 0.7], "min_area": [0, 100]}`.

    Raises:
        UserError: where the file, its engine, or what is asked of it cannot be had.

    Example:
        >>> from steel_defects import load_model
        >>> model = load_model("tests/fixtures/v0.1.0/run/export/deeplabv3plus-tu-test_efficientnet-fp32.onnx")
        >>> model.classes
        ('pits', 'streaks', 'scratches', 'patches')
        >>> model.size, model.about["engine"]
        ((64, 64), 'ONNX Runtime')
    """
    paths = [Path(path) for path in ([model] if isinstance(model, str | PathLike) else model)]
    engine = open_engine(paths, precision=precision, threads=threads, device=device, tta=tta, size=size)
    return Model(engine, _decision(engine.card, decision))


def _decision(card: ModelCard, asked: str | PathLike[str] | Mapping[str, Sequence[float]]) -> Decision:
    if isinstance(asked, Mapping):
        return Decision.from_dict(asked, len(card.classes))
    if asked == "auto":
        return card.decision
    if asked == "argmax":
        return Decision.argmax(len(card.classes))
    return read_decision(Path(asked).expanduser(), card.classes)


def _grey(image: ImageLike, white: int | None) -> np.ndarray:
    """Grey values, uint8 [H, W], that nobody else will change.

    Raises:
        ImageError, TypeError, ValueError: see `Model.predict`.
    """
    if isinstance(image, str | PathLike):
        return read_grey(Path(image).expanduser(), white)
    if isinstance(image, bytes | bytearray):
        return decode_grey(bytes(image), white)
    if not isinstance(image, np.ndarray):
        raise TypeError(f"an image is a path, the bytes of a file or an array, not {type(image).__name__}")
    message = f"an array must be grey values, uint8 [height, width]; this one is {image.dtype} {list(image.shape)}"
    if image.dtype != np.uint8:
        raise TypeError(message)
    if image.ndim != 2 or not image.size:
        raise ValueError(message)
    return np.array(image, order="C")  # a copy: a camera will soon write over its own
