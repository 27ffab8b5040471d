"""From files to files: how fast JPEGs are read, and images go all the way to masks and tables."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np

from steel_defects.benchmark.rows import size_name
from steel_defects.benchmark.timing import Timing, time_calls
from steel_defects.core.errors import UserError
from steel_defects.data.images import ImageError, read_grey
from steel_defects.data.synthetic import allocate, write_synthetic
from steel_defects.data.synthetic.strip import MIN_SIDE, draw_strip
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.engine import Engine
from steel_defects.inference.model import Model
from steel_defects.predict.handler import Handler
from steel_defects.predict.inputs import find_images
from steel_defects.predict.journal import Journal
from steel_defects.predict.pipeline import predict_images

_DRAWN = 16  # answers for each shape of image


class Pictures:
    """Image files, with what is needed to predict them again and again.

    Args:
        paths: name -> file.
        about: what they are, in a few words.

    Raises:
        UserError: where one cannot be read.
    """

    def __init__(self, paths: dict[str, Path], about: str) -> None:
        self.paths, self.about = paths, about
        self.few: list[np.ndarray] = []  # some of them in memory
        self.shapes: set[tuple[int, int]] = set()
        for name, path in paths.items():
            try:
                image = read_grey(path)
            except ImageError as error:
                raise UserError(f"input: {name} {error}") from error
            self.shapes.add(image.shape)
            if len(self.few) < 8:
                self.few.append(image)

    @classmethod
    def drawn(cls, size: tuple[int, int], count: int, root: Path) -> Pictures:
        """Draw strips of one size; JPEG of quality 95, which makes files about as large as Kaggle's."""
        write_synthetic(root, count, size=size)
        paths = {path.name: path for path in sorted((root / "train_images").iterdir())}
        return cls(paths, f"{count} drawn strips of {size_name(size)}")

    @classmethod
    def given(cls, source: str, count: int) -> Pictures:
        """The user's own, evenly taken from the order of their names where there are more than `count`."""
        paths = find_images(source, Path(source))
        names = list(paths)
        taken = [names[i * len(names) // count] for i in range(count)] if len(names) > count else names
        return cls({name: paths[name] for name in taken}, f"{len(taken)} images of {source}")

    def repeated(self, count: int) -> dict[str, Path]:
        """`count` names -> files, the same files again where there are not so many."""
        files = itertools.cycle(self.paths.values())
        return {f"{i:06d}{path.suffix}": path for i, path in zip(range(count), files, strict=False)}


class TypicalAnswers(Engine):
    """Runs an engine, and answers with defects as they are on real strips.

    A net with random weights sees thousands of specks in every image, to outline and to write down, which a trained net
    does not; so what it says is thrown away, once it has been computed in full. Half of the answers show no defect.

    Args:
        engine: what is run.
        shapes: (height, width) of all images there will be.
    """

    def __init__(self, engine: Engine, shapes: Collection[tuple[int, int]]) -> None:
        self.engine = engine
        self.card, self.parallel, self.about = engine.card, engine.parallel, engine.about
        self._turn = itertools.count()
        self._answers = {shape: [_answer(shape, *job) for job in enumerate(allocate(_DRAWN))] for shape in shapes}

    def __call__(self, image: np.ndarray) -> Maps:
        """Run the net on an image, uint8 [H, W], and answer with drawn maps of its size."""
        self.engine(image)
        return self._answers[image.shape][next(self._turn) % _DRAWN]


def _answer(shape: tuple[int, int], index: int, classes: tuple[int, ...]) -> Maps:
    height, width = (max(side, MIN_SIDE) for side in shape)
    mask = draw_strip(0, index, classes, height, width)[1][: shape[0], : shape[1]]
    return Maps(np.maximum(mask, 1), np.where(mask > 0, 0.9, 0.1).astype(np.float32))


def time_loading(pictures: Pictures, threads: int, seconds: float) -> Timing:
    """Read and decode files, which the system has in its cache by then."""
    return time_calls(read_grey, list(pictures.paths.values()), threads, seconds)


def time_prediction(engine: TypicalAnswers, pictures: Pictures, count: int, overlays: bool, scratch: Path) -> float:
    """Predict `count` images in this process, from files to masks and tables; images/s, the tables included."""
    model = Model(engine, Decision.argmax(len(engine.card.classes)))
    paths = pictures.repeated(count)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        started = time.perf_counter()
        output = Path(folder) / "out"
        with Journal(output, {}) as journal:
            summary = predict_images(paths, Handler(model, output, overlays=overlays), journal)
        seconds = time.perf_counter() - started
    if summary.interrupted:  # there, Ctrl-C ends in tables of what was done; here it ends the benchmark
        raise KeyboardInterrupt
    return count / seconds


def images_for(rate: float, seconds: float, parallel: int) -> int:
    """How many images an engine needs to be busy for that long; so many that the end, when it idles, does not count."""
    return parallel * max(4, math.ceil(rate * seconds / parallel))
