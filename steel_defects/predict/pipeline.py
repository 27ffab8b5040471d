"""Many images from file to result: each start to end in one thread, a few at a time, in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
from tqdm import tqdm

from steel_defects.inference.stream import ordered_map
from steel_defects.predict.handler import Handler, Job
from steel_defects.predict.inputs import output_names
from steel_defects.predict.journal import Journal
from steel_defects.predict.tables import Totals, write_tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Args:
        images: number of all images that were asked for.
        predicted: number of images looked at by this run; with `resume`, others were done already.
        seconds: time from the first image to the last, without the tables.
        totals: what was found, in all images done.
        interrupted: whether Ctrl-C ended it; the tables hold what was done until then.
    """

    images: int
    predicted: int
    seconds: float
    totals: Totals
    interrupted: bool = False

    @property
    def images_per_second(self) -> float:
        """Images that this run looked at in a second; 0 where it had nothing to do."""
        return self.predicted / self.seconds if self.predicted else 0.0


def predict_images(paths: Mapping[str, Path], handler: Handler, journal: Journal, progress: bool = False) -> Summary:
    """Predict images, write their masks and overlays, and the tables of all.

    Memory does not grow with the number of images, apart from their names. What the journal has already, with files
    and pictures as they were, is not done again.

    Args:
        paths: name -> file, in the order of the tables.
        handler: takes each from its file to its record.
        journal: takes the records; in the handler's output folder.
        progress: show a bar, on a terminal.

    Returns:
        what was done. After Ctrl-C, too: then with `interrupted`, and tables of what was done until then.

    Raises:
        UserError: where the output folder cannot be written to.
    """
    cv2.setNumThreads(1)  # each image has its thread; OpenCV's own would only fight them for the cores
    model, pictures = handler.model, output_names(paths)
    predicted, interrupted = 0, False
    if journal.dropped:
        log.warning("%d records of the journal are damaged; their images are done again", journal.dropped)
    jobs = [Job(image, path, pictures[image]) for image, path in paths.items()]
    jobs = [job for job in jobs if not handler.is_done(job, journal.get(job.image))]
    bar = tqdm(
        desc="Predicting",
        total=len(paths),
        initial=len(paths) - len(jobs),
        unit="image",
        disable=None if progress else True,
    )
    started = time.perf_counter()
    try:
        with bar, closing(ordered_map(handler, jobs, model.parallel + 1)) as records:
            for record in records:
                journal.append(record)
                predicted += 1
                bar.update()
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.perf_counter() - started
    totals = write_tables(handler.output, paths, journal, model.classes)
    return Summary(len(paths), predicted, seconds, totals, interrupted)
