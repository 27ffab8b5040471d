r"""Find the defects in images: masks, overlays, and tables of areas and boxes.

    python -m steel_defects.predict model=best.ckpt input=data/severstal/test_images output=predictions
    python -m steel_defects.predict model=model.onnx input="strips/**/*.png" overlays=false
    python -m steel_defects.predict model=model.xml input=strip.tif white=4095      a 12-bit camera's 16-bit files
    python -m steel_defects.predict model=[seed1.ckpt,seed2.ckpt] input=strips tta=true
    python -m steel_defects.predict model=best.ckpt input=strips decision=argmax    or decision=<file>.json
    python -m steel_defects.predict model=model.xml input=strips resume=true        go on where it stopped
    python -m steel_defects.predict model=best.ckpt input=data/severstal/test_images \
        submission=data/severstal/sample_submission.csv                                  Kaggle's submission.csv

The output folder then holds masks/ (PNG: 0 background, c = class c), overlays/ (JPEG), images.csv (a row an image),
defects.csv (a row a connected defect), predictions.csv (Kaggle's run lengths), defects.json (COCO's instances) and
journal.jsonl, from which an interrupted run goes on. Keys are in conf/predict.yaml; `--help` lists them.
Exit code: 0; 1 if images could not be read, which images.csv tells; 2 for a mistake; 130 after Ctrl-C.
PyTorch is needed for checkpoints only: exported files run without.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("predict")

import logging
import shlex
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from steel_defects import CONF_DIR, __version__
from steel_defects.cli.arguments import start
from steel_defects.cli.console import print_table, stopping
from steel_defects.core.errors import UserError
from steel_defects.core.files import content_hash
from steel_defects.core.settings import read
from steel_defects.inference.model import Model, load_model
from steel_defects.page.sheet import plural
from steel_defects.predict.handler import Handler
from steel_defects.predict.inputs import find_images
from steel_defects.predict.journal import SUBMISSION, TABLES, Journal, refuse_used
from steel_defects.predict.pipeline import Summary, predict_images
from steel_defects.predict.settings import PredictSettings
from steel_defects.predict.submission import only_listed, read_sample, write_submission

log = logging.getLogger(__name__)


@hydra.main(config_path=CONF_DIR, config_name="predict", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Predict, and end with the exit code that says how it went."""
    try:
        with stopping():
            settings = read(PredictSettings, cfg)
            summary = predict(settings)
    except KeyboardInterrupt:
        sys.exit(130)
    show(summary, Path(settings.output).expanduser())
    if summary.interrupted:
        words = [word for word in HydraConfig.get().overrides.task if not word.startswith("resume=")]
        command = shlex.join(["python", "-m", "steel_defects.predict", *words, "resume=true"])
        done = f"{summary.totals.images} of {plural(summary.images, 'image')}"
        log.warning("Stopped after %s. To go on: %s", done, command)
        sys.exit(130)
    if summary.totals.bad:
        sys.exit(1)


def predict(settings: PredictSettings) -> Summary:
    """Predict images with a model file.

    Args:
        settings: settings of the command, see conf/predict.yaml.

    Returns:
        What was done and found.

    Raises:
        UserError: for what the user can mend.
    """
    target = Path(settings.output).expanduser()
    refuse_used(target, settings.resume)
    paths = find_images(settings.input, target)
    if target.resolve() in {path.resolve().parent for path in paths.values()}:
        raise UserError(f"output={target} is the folder of the images themselves; name another for the results")
    model = load_model(
        settings.models,
        decision=settings.decision,
        precision=settings.precision,
        threads=settings.threads,
        device=settings.device,
        tta=settings.tta,
        size=settings.size,
    )
    sample = None
    if settings.submission is not None:
        file = Path(settings.submission).expanduser()
        if file.resolve() in [(target / name).resolve() for name in (*TABLES, SUBMISSION)]:
            raise UserError(f"submission={file} would be written over by the results; give another output")
        sample = read_sample(file, len(model.classes))
        paths = only_listed(sample, paths)
    announce(settings, model, len(paths), target)
    head = {
        "version": __version__,
        "classes": model.classes,
        "decision": model.decision.as_dict(),
        "white": settings.white,
        "model": [{"file": file.name, "sha256": content_hash(file)} for file in settings.models],
        "precision": model.about.get("precision", model.card.precision),
        "size": model.size,
        "tta": settings.tta,
    }
    handler = Handler(model, target, settings.masks, settings.overlays, settings.white, settings.quality)
    with Journal(target, head, settings.resume) as journal:
        summary = predict_images(paths, handler, journal, settings.progress)
        if sample is not None and not summary.interrupted:
            write_submission(target / SUBMISSION, sample, paths, journal)
    return summary


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


if __name__ == "__main__":
    start(main)
