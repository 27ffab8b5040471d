"""Score a trained net on images it has not seen, and tune how its maps become masks.

    python -m steel_defects.evaluate checkpoint=<run>/checkpoints/best.ckpt                the run's own test images
    python -m steel_defects.evaluate checkpoint=<run>/checkpoints/best.ckpt tune=true      thresholds, minimum areas
    python -m steel_defects.evaluate checkpoint=[a.ckpt,b.ckpt] tta=true                   averages, mirror images
    python -m steel_defects.evaluate checkpoint=best.onnx data=severstal data.split.file=<run>/split.csv
    python -m steel_defects.evaluate checkpoint=best.ckpt data=strip_steel data.root=/data/steel part=all

Tuning uses the validation part alone, and writes `best.decision.json` beside the checkpoint, where all commands that
take the checkpoint find it. The output folder holds evaluation.json (scores and what they were made with),
per_image.csv (a row an image), figures/, and tuning.csv (all that was tried) where it was tuned.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("evaluate", "train")

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import stopping
from steel_defects.core.errors import UserError
from steel_defects.core.files import write_table
from steel_defects.core.packages import versions
from steel_defects.core.runs import RunFolder, write_json
from steel_defects.core.settings import read
from steel_defects.data.settings import DataSettings
from steel_defects.evaluate.settings import EvaluateSettings
from steel_defects.evaluate.show import announce_scoring, show_scores, show_tuning
from steel_defects.evaluate.tune import tune, write_decision
from steel_defects.inference.decision import Decision, read_decision
from steel_defects.inference.loading import open_engine
from steel_defects.inference.run_data import asked_data, load_run_data, part_samples
from steel_defects.inference.scoring import score_samples, write_per_image
from steel_defects.models.scores import own_scores
from steel_defects.page.figures import draw_examples, draw_tuning

_CARD = ("system", "architecture", "encoder", "precision", "classes", "size")


@hydra.main(config_path=CONF_DIR, config_name="evaluate", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """One evaluation; of a --multirun, one after the other, up to the first mistake."""
    job = HydraConfig.get()
    folder = RunFolder(job.runtime.output_dir)
    with stopping(folder):
        chosen, changes = asked_data(cfg, job.runtime.choices.get("data"), job.overrides.task)
        evaluate(read(EvaluateSettings, cfg), folder, chosen, changes)


def evaluate(
    settings: EvaluateSettings,
    folder: RunFolder,
    chosen: DataSettings | None = None,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score one model, or the mean of several checkpoints.

    Args:
        settings: settings of the command; its `data` is not looked at.
        folder: the folder to write into.
        chosen, changes: what was said of the data, see `load_run_data`.

    Returns:
        What `evaluation.json` holds.

    Raises:
        UserError: for what the user can mend.
    """
    models, part = settings.models, settings.part
    if settings.tune:
        require_writable(models[0])
    engine = open_engine(
        models,
        precision=settings.precision,
        threads=settings.threads,
        device=settings.device,
        tta=settings.tta,
        size=settings.size,
    )
    further = own_scores(settings.scores, engine.card.classes)
    card, argmax = engine.card, Decision.argmax(len(engine.card.classes))
    decision = card.decision if settings.decision == "auto" else argmax
    if settings.decision not in ("auto", "argmax"):
        decision = read_decision(Path(settings.decision).expanduser(), card.classes)
    data = load_run_data(models, card, chosen, changes, divided=part != "all" or settings.tune)
    samples = part_samples(data, part, models, card)
    announce_scoring(settings, models, engine, data, len(samples), decision)

    tuning = None
    if settings.tune:
        validation = part_samples(data, "val", models, card)
        tuning = tune(engine, validation, settings.tuning)
        decision = tuning.decision
        write_table(folder.path / "tuning.csv", tuning.table(card.classes))
        path = write_decision(tuning, engine, models, data, settings.tta)
        show_tuning(tuning, card.classes, path, part)

    tuned = {"tuned": decision} if tuning or decision != argmax else {}
    started = time.perf_counter()
    confusions = score_samples(engine, samples, {"argmax": argmax} | tuned)
    seconds = time.perf_counter() - started

    summary = {
        "checkpoint": [str(model) for model in models],
        "scores": {name: counted.scores(card.classes, further) for name, counted in confusions.items()},
        "decision": decision.as_dict(),
        "tuning": tuning.summary(card.classes) if tuning else None,
        "model": {key: getattr(card, key) for key in _CARD} | {"trained_on": card.data},
        "engine": engine.about,
        "data": {
            "name": data.name,
            "root": str(data.root),
            "part": part,
            "images": len(samples),
            "data_hash": data.catalog.data_hash,
            "split_hash": data.split_hash if part != "all" else None,
        },
        "seconds": seconds,
        "images_per_s": len(samples) / seconds,
        "versions": versions(),
    }
    write_json(folder.path / "evaluation.json", summary)
    rows = write_per_image(folder.per_image, samples, confusions, card.classes)
    if settings.figures:
        draw_examples(folder.figures, rows, samples, card.classes, lambda image: decision.mask(engine(image)), part)
        if tuning:
            grid = (tuning.dice, tuning.thresholds, tuning.areas)
            draw_tuning(*grid, card.classes, tuning.chosen, folder.figures / "tuning.png")
    show_scores(summary, folder)
    return summary


def require_writable(model: Path) -> None:
    """Refuse to tune where the decision could not be written beside the checkpoint, before anything is computed."""
    if model.is_file() and not os.access(model.parent, os.W_OK):
        raise UserError(f"tune=true writes beside the checkpoint, and {model.parent} cannot be written to")


if __name__ == "__main__":
    start(main)
