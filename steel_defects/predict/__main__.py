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
from collections.abc import Mapping, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import stop
from steel_defects.core.errors import UserError
from steel_defects.core.files import content_hash
from steel_defects.inference.model import load_model
from steel_defects.page.sheet import plural
from steel_defects.predict.handler import Handler
from steel_defects.predict.inputs import find_images
from steel_defects.predict.journal import refuse_used
from steel_defects.predict.pipeline import Summary, predict_images
from steel_defects.predict.sample import only_listed
from steel_defects.predict.show import announce, show

log = logging.getLogger(__name__)


@hydra.main(config_path=CONF_DIR, config_name="predict", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Predict, and end with the exit code that says how it went."""
    try:
        if missing := sorted(OmegaConf.missing_keys(cfg)):
            keys = ("model" if key == "checkpoint" else key for key in missing)
            raise UserError(f"give {', '.join(f'{key}=...' for key in keys)}; --help lists all keys")
        summary = predict(**OmegaConf.to_container(cfg, resolve=True))
    except UserError as error:
        stop(error)
    except KeyboardInterrupt:
        sys.exit(130)
    show(summary)
    if summary.interrupted:
        words = [word for word in HydraConfig.get().overrides.task if not word.startswith("resume=")]
        command = shlex.join(["python", "-m", "steel_defects.predict", *words, "resume=true"])
        done = f"{summary.totals.images} of {plural(summary.images, 'image')}"
        log.warning("Stopped after %s. To go on: %s", done, command)
        sys.exit(130)
    if summary.totals.bad:
        sys.exit(1)


def predict(
    checkpoint: str | Path | Sequence[str | Path],
    input: str,
    output: str | Path = "predictions",
    *,
    decision: str = "auto",
    white: int | None = None,
    masks: bool = True,
    overlays: bool = True,
    quality: int = 90,
    submission: str | None = None,
    resume: bool = False,
    progress: bool = True,
    precision: str | None = None,
    size: Sequence[int] | None = None,
    tta: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> Summary:
    """Predict images with a model file.

    Args:
        checkpoint: a `.ckpt`, an exported `.onnx` or OpenVINO `.xml`, or several `.ckpt`.
        input: a file, a folder or a glob.
        output: folder of the results.
        decision: see `load_model`.
        white: grey value that is white in 16-bit images; None takes the largest that fits.
        masks: write them.
        overlays: write them.
        quality: of the overlays' JPEG, 1..100.
        submission: Kaggle's sample submission; only the images it lists are predicted.
        resume: go on with what is in the output folder.
        progress: show a bar, on a terminal.
        precision: see `load_model`, as for all that follow.
        size: (height, width) the net works at.
        tta: average over mirror images.
        device: `auto`, `cpu` or `cuda`.
        threads: of the CPU; None takes all.

    Returns:
        what was done and found.

    Raises:
        UserError: for what the user can mend.
    """
    numbers = {"white": (white, 1, 65535), "quality": (quality, 1, 100), "threads": (threads, 1, 4096)}
    flags = {"masks": masks, "overlays": overlays, "resume": resume, "progress": progress, "tta": tta}
    texts = {"input": input, "output": output, "decision": decision}
    texts |= {} if submission is None else {"submission": submission}
    models = list(checkpoint) if isinstance(checkpoint, Sequence) and not isinstance(checkpoint, str) else [checkpoint]
    texts |= {"model": next((model for model in models if not isinstance(model, str | Path)), "")}
    check(numbers, flags, texts, size)
    files = [Path(model).expanduser() for model in models]
    target = Path(output).expanduser()
    refuse_used(target, resume)
    paths = find_images(str(input), target)
    if target.resolve() in {path.resolve().parent for path in paths.values()}:
        raise UserError(f"output={output} is the folder of the images themselves; name another for the results")
    options = {"precision": precision, "threads": threads, "device": device, "tta": tta, "size": size}
    model = load_model(files, decision=decision, **options)
    finish = None
    if submission is not None:
        paths, finish = only_listed(Path(submission).expanduser(), paths, len(model.classes), target)
    announce(files, model, str(decision), len(paths), target)
    head = {
        "model": [{"file": file.name, "sha256": content_hash(file)} for file in files],
        "precision": model.about.get("precision", model.card.precision),
        "size": model.size,
        "tta": tta,
    }
    handler = Handler(model, target, masks, overlays, white, quality)
    return predict_images(paths, handler, resume=resume, head=head, progress=progress, finish=finish)


def check(
    numbers: Mapping[str, tuple[object, int, int]],
    flags: Mapping[str, object],
    texts: Mapping[str, object],
    size: Sequence[int] | None,
) -> None:
    """Refuse invalid values, all at once.

    Args:
        numbers: value (None is fine), least and greatest of each.
        flags: by name.
        texts: paths and words, by name.
        size: two whole numbers, or None.
    """
    wrong = [
        f"{name}={value}: a whole number from {least} to {most}"
        for name, (value, least, most) in numbers.items()
        if value is not None and (type(value) is not int or not least <= value <= most)
    ]
    wrong += [f"{name}={value}: true or false" for name, value in flags.items() if not isinstance(value, bool)]
    wrong += [f"{name}={value}: a path" for name, value in texts.items() if not isinstance(value, str | Path)]
    sides = [] if isinstance(size, str | int | float) else list(size or (1, 1))
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        wrong.append(f"size={size}: [height,width] in pixels")
    if wrong:
        raise UserError("\n".join(wrong))


if __name__ == "__main__":
    start(main)
