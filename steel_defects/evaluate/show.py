"""What evaluate prints: what is scored and on what, what tuning chose, the scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from steel_defects.cli.console import print_scores
from steel_defects.core.runs import RunFolder
from steel_defects.data.datamodule import StripDataModule
from steel_defects.evaluate.settings import EvaluateSettings
from steel_defects.evaluate.tune import Tuning
from steel_defects.inference.decision import Decision
from steel_defects.inference.engine import Engine
from steel_defects.page.sheet import plural

log = logging.getLogger(__name__)


def announce_scoring(
    settings: EvaluateSettings,
    models: Sequence[Path],
    engine: Engine,
    data: StripDataModule,
    images: int,
    decision: Decision,
) -> None:
    """Say what is about to be scored, on what."""
    card = engine.card
    height, width = card.size
    pairs = zip(card.classes, decision.thresholds, decision.min_area, strict=True)
    tuned = ", ".join(f"{name} from {threshold:g}, {area} pixels" for name, threshold, area in pairs)
    lines = {
        "model": f"{card.system}, {', '.join(map(str, models))}",
        "engine": f"{engine.about['engine']} on {engine.about['device']}, {card.precision}, at {height}x{width}"
        + (", with mirror images" if settings.tta else ""),
        "data": f"{data.name} in {data.root}: {plural(images, 'image')}, part={settings.part}",
        "decision": "to be tuned" if settings.tune else "argmax" if decision.is_argmax else tuned,
    }
    for key, value in lines.items():
        log.info("%-8s %s", key, value)


def show_tuning(tuning: Tuning, classes: Sequence[str], path: Path, part: str) -> None:
    """Say what was chosen for each class, and what it gained on the images it was chosen by."""
    result = tuning.summary(classes)
    for (name, values), place in zip(result["classes"].items(), tuning.chosen, strict=True):
        if not values["images"]:
            log.warning("No image of the val split has %s: it is left at argmax", name)
            continue
        images = plural(values["images"], "image")
        if place == tuning.argmax:
            log.info("%-8s %s: nothing gains more than chance; dice %.4f (%s)", "argmax", name, values["tuned"], images)
            continue
        log.info(
            "%-8s %s: threshold %g, at least %s; dice %.4f, by argmax %.4f (%s)",
            "tuned",
            name,
            values["threshold"],
            plural(values["min_area"], "pixel"),
            values["tuned"],
            values["argmax"],
            images,
        )
    log.info(
        "%-8s native_dice on %s of validation %.4f, by argmax %.4f; written to %s",
        "total",
        plural(result["images"], "image"),
        result["tuned"],
        result["argmax"],
        path,
    )
    if part in ("val", "all"):
        log.warning("The scores below include the images it was tuned on; part=test is an honest measure")


def show_scores(summary: Mapping, folder: RunFolder) -> None:
    """Print the scores, and where the rest is."""
    height, width = summary["model"]["size"]
    columns = {}
    for name, values in summary["scores"].items():
        resized = {key: value for key, value in values.items() if not key.startswith("native_")}
        columns[f"{name}\n{height}x{width}"] = resized
        columns[f"{name}\nnative size"] = {key: values[f"native_{key}"] for key in resized}
    data = summary["data"]
    part = "all images" if data["part"] == "all" else f"the {data['part']} images"
    print_scores(f"Scores of {summary['model']['system']} on {part} of {data['name']} ({data['images']})", columns)
    log.info("%.1f images/s. Written to %s", summary["images_per_s"], folder.path)
