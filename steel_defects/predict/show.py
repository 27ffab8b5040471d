"""What predict prints: what is about to run, and what was found."""

from __future__ import annotations

import logging
from pathlib import Path

from steel_defects.cli.console import print_table
from steel_defects.inference.model import Model
from steel_defects.page.sheet import plural
from steel_defects.predict.pipeline import Summary
from steel_defects.predict.settings import PredictSettings

log = logging.getLogger(__name__)


def announce(settings: PredictSettings, model: Model, count: int, output: Path) -> None:
    """Say what is about to be done, to how many images, with what."""
    card, decision, (height, width) = model.card, model.decision, model.size
    about = [f"{model.about.get('engine')} on {model.about.get('device')}"]
    if threads := model.about.get("threads"):
        about.append(plural(threads, "thread"))
    if decision.is_argmax:
        how = "argmax"
    else:
        rules = zip(card.classes, decision.thresholds, decision.min_area, strict=True)
        how = ", ".join(f"{name} from {least:.3g}, {area} px" for name, least, area in rules)
    where = {"auto": "the model's own", "argmax": "as asked"}.get(settings.decision, f"from {settings.decision}")
    mirrored = ", with mirror images" if model.about.get("tta") else ""
    lines = {
        "model": ", ".join(map(str, settings.models)),
        "net": f"{card.system}, {card.precision}, at {height}x{width}{mirrored}",
        "engine": ", ".join(about),
        "decision": f"{how} ({where})",
        "input": plural(count, "image"),
        "output": str(output),
    }
    for key, value in lines.items():
        log.info("%-8s %s", key, value)


def show(summary: Summary, output: Path) -> None:
    """Print what was found, how fast, which images were bad, and where the results are."""
    totals = summary.totals
    rows = [
        (name, f"{total.images:,}", f"{total.defects:,}", f"{total.area:,}", f"{totals.percent(name):.4f}")
        for name, total in totals.classes.items()
    ]
    print_table(("class", "images with it", "defects", "area (px)", "area (%)"), rows)
    log.info("%s, %d of them clean, %d not readable", plural(totals.images, "image"), totals.clean, totals.bad)
    if summary.predicted > totals.bad:  # those that cannot be read take no time
        speed = f"{summary.images_per_second:.1f} images/s"
        log.info("%d predicted in %.1f s: %s", summary.predicted, summary.seconds, speed)
    if totals.bad:
        lines = [f"  {image}: {reason}" for image, reason in totals.reasons]
        if totals.bad > len(lines):
            lines.append(f"  … and {totals.bad - len(lines)} more, see {output / 'images.csv'}")
        log.warning("%s could not be read:\n%s", plural(totals.bad, "image"), "\n".join(lines))
    log.info("Results: %s", output)
