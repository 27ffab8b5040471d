"""Scores of a model on labelled images, by one or several ways to decide, at the net's size and at the images' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from steel_defects.core.files import write_table
from steel_defects.data.catalog import Sample
from steel_defects.data.images import resize
from steel_defects.inference.decision import Decision
from steel_defects.inference.engine import Engine
from steel_defects.inference.stream import ordered_map
from steel_defects.models.metrics import image_confusions
from steel_defects.models.scores import Confusions


def score_samples(
    engine: Engine, samples: Sequence[Sample], decisions: Mapping[str, Decision]
) -> dict[str, Confusions]:
    """Run a model over samples, once, and count what each decision makes of it.

    Args:
        engine: runs the model.
        samples: labelled images, at least one.
        decisions: decisions to count, by a name.

    Returns:
        For each decision the confusions of all samples.
    """
    size, num_classes = engine.card.size, len(engine.card.classes)

    def score(sample: Sample) -> list[tuple[np.ndarray, np.ndarray]]:
        image, truth = sample.image(), sample.mask()
        small, native = engine.both(image)
        _, small_truth = resize(image, truth, size)
        scale = small_truth.size / truth.size
        return [
            (
                confusion(decision.mask(small, scale), small_truth, num_classes),
                confusion(decision.mask(native), truth, num_classes),
            )
            for decision in decisions.values()
        ]

    # One more than the engine takes reads the next image while the others wait for it.
    results = ordered_map(score, samples, engine.parallel + 1)
    counted = list(tqdm(results, "Scoring", len(samples), unit="image", disable=None))
    return {
        name: Confusions(*(np.stack([image[k][at] for image in counted]) for at in (0, 1)))
        for k, name in enumerate(decisions)
    }


def write_per_image(
    path: Path, samples: Sequence[Sample], confusions: Mapping[str, Confusions], classes: Sequence[str]
) -> pd.DataFrame:
    """Write a row an image as in a run folder; what a tuned decision makes of it, too, as `tuned_*`.

    Returns:
        `ImageId` and the columns of the decision in use, without `tuned_`.
    """
    names = pd.Series([sample.image_id for sample in samples], name="ImageId")
    tables = {name: counted.per_image(classes) for name, counted in confusions.items()}
    columns = [table.add_prefix("" if name == "argmax" else f"{name}_") for name, table in tables.items()]
    write_table(path, pd.concat([names, *columns], axis=1))
    return pd.concat([names, tables.get("tuned", tables["argmax"])], axis=1)


def confusion(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrix of one image, as `metrics.image_confusions` counts it.

    Args:
        prediction: class indices, uint8 [H, W], 0 the background.
        truth: likewise.
        num_classes: defect classes, background not counted.

    Returns:
        int64 [C + 1, C + 1]: pixels by truth (rows) and prediction (columns).
    """
    predicted, true = (torch.from_numpy(np.ascontiguousarray(mask))[None] for mask in (prediction, truth))
    return image_confusions(predicted, true, num_classes)[0].numpy()
