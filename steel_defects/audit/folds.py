"""Nets that each have not seen a part of the images, so that every label is judged by one that did not learn it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from steel_defects.audit.settings import AuditSettings
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder, find_run
from steel_defects.core.settings import read
from steel_defects.data.settings import DataSettings
from steel_defects.data.split import stratify, write_split
from steel_defects.loggers.settings import LOGGERS
from steel_defects.page.sheet import plural
from steel_defects.train.settings import TrainerSettings, TrainSettings
from steel_defects.train.training import train

log = logging.getLogger(__name__)


def assign_folds(class_sets: Sequence[tuple[int, ...]], groups: Sequence[int], folds: int, seed: int) -> np.ndarray:
    """Deal images to folds: twins together, and the sets of classes evenly.

    Args:
        class_sets: classes in each image.
        groups: the number of each image's group of twins.
        folds: number of folds.
        seed: decides the order in which groups are dealt.

    Returns:
        int64 [N], the fold of each image, from 0.

    Raises:
        UserError: where there are fewer groups than folds, or a fold would have a single image.
    """
    sizes = Counter(groups)
    if len(sizes) < folds:
        raise UserError(f"folds={folds} is more than the {len(sizes)} images (twins counted once)")
    strata = stratify(class_sets, groups, seed)
    fold_of: dict[int, int] = {}
    total = [0] * folds
    for stratum in sorted(strata, key=lambda classes: (len(strata[classes]), classes)):  # rare ones first
        dealt = [0] * folds
        for number in strata[stratum]:
            fold = min(range(folds), key=lambda k: (dealt[k], total[k]))
            fold_of[number] = fold
            dealt[fold] += sizes[number]
            total[fold] += sizes[number]
    if min(total) < 2:
        raise UserError(f"folds={folds} leaves one image in a fold, whose run needs one to validate and one to test")
    return np.array([fold_of[number] for number in groups], np.int64)


def fold_settings(settings: AuditSettings, checkpoint: Path, data: DataSettings) -> TrainSettings:
    """Settings of the nets of an audit: those of the checkpoint's run, with what the audit changes.

    Args:
        settings: the audit's.
        checkpoint: the file that lies in the run's folder.
        data: settings of the data that is judged.

    Raises:
        UserError: where the checkpoint lies in no run folder, or the run's settings make no sense by now.
    """
    run = find_run(checkpoint)
    if run is None:
        raise UserError(
            f"{checkpoint} lies in no run folder, so that nothing says how it was trained. Name one in "
            "<run>/checkpoints/; or folds=0 with data.split.file=<its split.csv>"
        )
    saved: Any = OmegaConf.to_container(OmegaConf.load(run.config), resolve=True)
    # A strategy of several processes would start the whole audit in each of them.
    # Stopping early would go by the very labels that the fold is to judge.
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto", "early_stopping": None}
    given = settings.trainer.model_dump(exclude_none=True)
    values = {
        **{key: saved[key] for key in ("system", "seed", "encoder", "model")},
        "data": data.changed({"size": settings.size or data.size, "split.file": None}).plain(),
        "recipe": {**saved["recipe"], "epochs": settings.epochs or saved["recipe"]["epochs"]},
        "trainer": read(TrainerSettings, saved["trainer"]).changed(given | alone).plain(),
        "logger": {"project": "steel_defects", "tags": [], "log_model": False, **dict.fromkeys(LOGGERS, False)},
        "resume": None,
        "figures": False,
        "speed": False,
        "scores": [],
    }
    return read(TrainSettings, values)


def train_folds(
    settings: TrainSettings,
    image_ids: Sequence[str],
    class_sets: Sequence[tuple[int, ...]],
    groups: Sequence[int],
    fold_of: np.ndarray,
    labels: str,
    folder: Path,
) -> Iterator[Path]:
    """Train a net for each fold, on all images but those of the fold.

    Each is a run as `steel_defects.train` makes it, whose validation and test images are those of the fold. Started
    again with the same settings and labels, finished folds are not trained anew, and a broken one goes on from its last
    epoch.

    Args:
        settings: settings of a run.
        image_ids, class_sets, groups: what is said of all images, in the same order.
        fold_of: int [N], as `assign_folds` returns it.
        labels: the hash of pictures and labels.
        folder: the folder for the folds' runs.

    Yields:
        The checkpoint after the last epoch of each fold: that of the best one would have been chosen by the labels
        that it is to judge.
    """
    folds = int(fold_of.max()) + 1
    home = folder / _digest(settings, image_ids, fold_of, labels)
    for fold in range(folds):
        run = RunFolder(home / f"fold-{fold + 1}")
        held_out = np.flatnonzero(fold_of == fold)
        if _is_finished(run):
            log.info("Fold %d of %d is finished, and not repeated: %s", fold + 1, folds, run.path)
            yield run.last
            continue
        parts = np.full(len(image_ids), "train", object)
        parts[held_out] = np.resize(["val", "test"], len(held_out))
        run.config.parent.mkdir(parents=True, exist_ok=True)
        split = home / f"fold-{fold + 1}.csv"
        write_split(split, image_ids, parts.tolist(), class_sets, groups)
        with_split = settings.changed({"data.split.file": str(split)})
        OmegaConf.save(OmegaConf.create(with_split.plain()), run.config)
        effort = f"{plural(settings.recipe.epochs, 'epoch')} on {plural(len(image_ids) - len(held_out), 'image')}"
        log.info("Fold %d of %d: %s, to judge %d", fold + 1, folds, effort, len(held_out))
        summary = train(with_split, run, quiet=True)
        log.info("Fold %d of %d: miou %s on half of its own images", fold + 1, folds, _rounded(summary["test"]["miou"]))
        yield run.last


def _digest(settings: TrainSettings, image_ids: Sequence[str], fold_of: np.ndarray, labels: str) -> str:
    """Names the folder of what was trained just so: with other settings, images, labels or folds it is another."""
    content = json.dumps([settings.plain(), list(image_ids), fold_of.tolist(), labels], sort_keys=True, default=str)
    return hashlib.blake2b(content.encode(), digest_size=4).hexdigest()


def _is_finished(run: RunFolder) -> bool:
    return run.summary.is_file() and run.last.is_file() and run.read_summary().get("status") == "finished"


def _rounded(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
