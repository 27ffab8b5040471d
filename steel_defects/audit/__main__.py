"""Find labels that look wrong, worst first, and bring a reviewer's verdicts back into the labels.

    python -m steel_defects.audit checkpoint=<run>/checkpoints/best.ckpt                 nets trained out of fold
    python -m steel_defects.audit checkpoint=<run>/checkpoints/best.ckpt folds=0         the run's own held-out images
    python -m steel_defects.audit checkpoint=<run>/checkpoints/best.ckpt spoil=0.05      how far can it be trusted?
    python -m steel_defects.audit reviewed=<audit>/audit.csv data=severstal              corrected labels

Nets learn wrong labels, too: so each image is judged by a net that has not seen it. That takes `folds` trainings with
the settings of the checkpoint's run. Started again with the same `hydra.run.dir`, it goes on where it stopped.

The output folder holds audit.html (overlays, worst first), audit.csv (a row a finding, with an empty column for the
verdict), audit.json (what was judged, by what) and audit.coco.json (labels and suggestions as COCO's masks, for CVAT
or FiftyOne). Verdicts are keep, accept and exclude: `reviewed=` writes a train.csv with what was accepted,
`data.exclude=` leaves out, in any command, the images to exclude.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("audit", "train")

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from tqdm import tqdm

from steel_defects import CONF_DIR
from steel_defects.audit.assemble import assemble
from steel_defects.audit.coco import write_coco
from steel_defects.audit.correct import correct
from steel_defects.audit.finding import Finding, ranked, table
from steel_defects.audit.folds import assign_folds, fold_settings, train_folds
from steel_defects.audit.judge import judge
from steel_defects.audit.review import has_verdicts
from steel_defects.audit.settings import AuditSettings
from steel_defects.audit.sheets import show
from steel_defects.audit.spoil import measure, spoil, write_labels
from steel_defects.cli.arguments import start
from steel_defects.cli.console import stopping
from steel_defects.core.errors import UserError
from steel_defects.core.files import write_table
from steel_defects.core.machine import available_cores
from steel_defects.core.packages import versions
from steel_defects.core.runs import RunFolder, write_json
from steel_defects.core.settings import read
from steel_defects.data.catalog import Sample, data_hash
from steel_defects.data.datamodule import StripDataModule
from steel_defects.data.settings import DataSettings
from steel_defects.inference.checkpoint import CheckpointEngine
from steel_defects.inference.loading import open_engine
from steel_defects.inference.run_data import asked_data, data_settings, load_run_data, part_samples
from steel_defects.inference.stream import ordered_map
from steel_defects.page.html import write_page
from steel_defects.train.settings import TrainSettings


@hydra.main(config_path=CONF_DIR, config_name="audit", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """One audit, or what came of its review."""
    job = HydraConfig.get()
    folder = RunFolder(job.runtime.output_dir)
    with stopping(folder):
        settings = read(AuditSettings, cfg)
        chosen, changes = asked_data(cfg, job.runtime.choices.get("data"), job.overrides.task)
        if settings.reviewed:
            correct(Path(settings.reviewed), settings.model, folder.path, chosen, changes)
        else:
            audit(settings, folder.path, chosen, changes)


def audit(
    settings: AuditSettings,
    folder: Path,
    chosen: DataSettings | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Judge the labels of a data set.

    Args:
        settings: settings of the command; their `data` is not looked at.
        folder: the folder to write into.
        chosen, changes: what was asked for of the data, see `load_run_data`.

    Returns:
        What was found, worst first.

    Raises:
        UserError: for what the user can mend.
    """
    _refuse_to_overwrite(folder)
    checkpoint = settings.model
    assert checkpoint is not None, "the settings ask for it where there is nothing to correct"
    card = _open(checkpoint, settings).card  # before hours of training: it knows what cannot be had
    data = load_run_data([checkpoint], card, chosen, changes, divided=not settings.folds)
    if settings.folds:
        samples = data.catalog.samples
    else:
        parts = [part for part in ("val", "test") if data.samples(part)]
        if not parts:
            raise UserError(f"The run of {checkpoint} has no validation or test images here; folds=5 judges all images")
        samples = [sample for part in parts for sample in part_samples(data, part, [checkpoint], card)]
    ways: dict[str, str] = {}
    if settings.spoil:
        if data.settings.only_defective:
            raise UserError(
                "spoil removes labels, and data.only_defective would then leave the images out: set only one of them"
            )
        samples, ways = spoil(samples, settings.spoil, len(data.classes), settings.seed)
        if not ways:
            raise UserError(
                f"spoil={settings.spoil:g} of these {len(samples)} images is less than one image: take a larger share"
            )

    if settings.folds:
        training = fold_settings(settings, checkpoint, data_settings([checkpoint], card, chosen, changes))
        judged = _out_of_fold(settings, training, folder, data, samples)
    else:
        judged = _judged(settings, [(checkpoint, samples, None)], len(samples))
    findings = ranked([finding for finding in judged if finding.score >= settings.least])

    by_id = {sample.image_id: sample for sample in samples}
    measured = measure(judged, list(by_id), ways) if ways else None
    facts = _facts(settings, checkpoint, data, len(samples), len(ways), card.system)
    write_table(folder / "audit.csv", table(findings, data.classes))
    write_coco(folder / "audit.coco.json", findings, by_id, data.classes)
    report = assemble(findings, by_id, data.classes, facts, settings.title, settings.shown, len(samples), measured)
    size = write_page(report, folder / "audit.html")
    about = {"facts": facts, "settings": settings.plain(), "spoiled": ways, "versions": versions()}
    write_json(folder / "audit.json", about)
    show(report, findings, data.classes, folder, size)
    return findings


def _refuse_to_overwrite(folder: Path) -> None:
    """A reviewer's work and a run's files are not to be written over."""
    RunFolder(folder).must_be_free("audit")
    table = folder / "audit.csv"
    if table.is_file() and has_verdicts(table):
        raise UserError(f"{table} has verdicts, which another audit would write over: move it, or name another folder")


def _open(checkpoint: Path, settings: AuditSettings) -> CheckpointEngine:
    engine = open_engine(
        checkpoint,
        precision=settings.precision,
        threads=settings.threads,
        device=settings.device,
        tta=settings.tta,
    )
    assert isinstance(engine, CheckpointEngine), "the settings take no other file"
    return engine


def _out_of_fold(
    settings: AuditSettings, training: TrainSettings, folder: Path, data: StripDataModule, samples: Sequence[Sample]
) -> list[Finding]:
    """Train the nets of all folds, and judge each image by the one that has not seen it."""
    if settings.spoil:
        spoiled = (folder / "spoiled.csv").absolute()
        write_labels(spoiled, samples)
        training = training.changed({"data.csv": str(spoiled)})
    ids, class_sets, groups = [s.image_id for s in samples], [s.classes for s in samples], data.groups
    fold_of = assign_folds(class_sets, groups, settings.folds, settings.seed)
    labels = data_hash(samples, data.catalog.digests)
    nets = list(train_folds(training, ids, class_sets, groups, fold_of, labels, folder / "folds"))
    folds = [[samples[i] for i in np.flatnonzero(fold_of == fold).tolist()] for fold in range(settings.folds)]
    return _judged(settings, zip(nets, folds, range(settings.folds), strict=True), len(samples))


def _judged(
    settings: AuditSettings, jobs: Iterable[tuple[Path, Sequence[Sample], int | None]], images: int
) -> list[Finding]:
    """Judge samples by checkpoints, one checkpoint in memory at a time."""
    judged: list[Finding] = []
    with tqdm(total=images, desc="Judging labels", unit="image", disable=None) as bar:
        for path, samples, fold in jobs:
            engine = _open(path, settings)
            # Comparing costs about as much as predicting, and one net takes one image at a time.
            for findings in ordered_map(_judge_with(engine, path, fold), samples, available_cores() + 1):
                judged += findings
                bar.update()
            del engine
            gc.collect()
            torch.cuda.empty_cache()
    return judged


def _judge_with(engine: CheckpointEngine, checkpoint: Path, fold: int | None) -> Callable[[Sample], list[Finding]]:
    def judge_sample(sample: Sample) -> list[Finding]:
        probabilities = engine.probabilities(sample.image())
        if not np.isfinite(probabilities).all():
            raise UserError(
                f"{checkpoint} gives no numbers for {sample.image_id}: its training went wrong, or precision="
                f"{engine.card.precision} is too narrow for it. Lower recipe.lr, or take precision=fp32"
            )
        return judge(sample.image_id, sample.mask(), probabilities, fold)

    return judge_sample


def _facts(
    settings: AuditSettings, checkpoint: Path, data: StripDataModule, judged: int, spoiled: int, system: str
) -> dict[str, str]:
    """What was judged, and by what."""
    folds = settings.folds
    by = f"{folds} nets, each on the images that it did not train on" if folds else "the checkpoint, on its own"
    return {
        "Data": f"{data.name} in {data.root}, {data.settings.csv}",
        "Classes": ", ".join(data.classes),
        "Images": f"{judged:,}" + ("" if folds else " (the validation and test images of the checkpoint's run)"),
        "Judged by": by,
        "Trained as": f"{system}, {checkpoint}",
        "Size": "x".join(map(str, settings.size or data.size)),
        "Labels spoiled on purpose": f"{spoiled:,} (seed {settings.seed})" if spoiled else "none",
        "Data hash": data.catalog.data_hash,
    }


if __name__ == "__main__":
    start(main)
