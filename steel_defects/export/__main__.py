"""Write a checkpoint as files that run without PyTorch, and prove that they do what it does.

    python -m steel_defects.export checkpoint=<run>/checkpoints/best.ckpt                      ONNX and OpenVINO, fp32
    python -m steel_defects.export checkpoint=... format=openvino precision=fp32,bf16,int8
    python -m steel_defects.export checkpoint=... size=[256,1600] maps=probabilities

A file takes grey images of any size, uint8 [B, 1, H, W]; resizing, normalising and the way back to the image's size are
inside, as are classes, thresholds, scores and versions. Each is compared with the checkpoint on real images with labels
(the run's own data, or data=); what is beyond tolerance is not kept, and the exit code is 1.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("export", "train")

import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import quiet_libraries, stopping
from steel_defects.core.errors import UserError
from steel_defects.core.files import writing
from steel_defects.core.packages import package, versions
from steel_defects.core.runs import find_run
from steel_defects.core.settings import read
from steel_defects.data.catalog import Sample
from steel_defects.data.datamodule import StripDataModule
from steel_defects.data.settings import DataSettings
from steel_defects.export.convert import stamp, trace, write_model
from steel_defects.export.exports import Export, plan, show, write_record
from steel_defects.export.parity import measure
from steel_defects.export.settings import ExportSettings, SampleSettings
from steel_defects.inference.card import ModelCard
from steel_defects.inference.checkpoint import CheckpointEngine
from steel_defects.inference.graph import StripModel
from steel_defects.inference.loading import open_engine
from steel_defects.inference.run_data import asked_data, load_run_data, part_samples
from steel_defects.inference.settings import EngineSettings
from steel_defects.page.sheet import plural

log = logging.getLogger(__name__)

_PACKAGES = ("torch", "segmentation-models-pytorch", "timm", "onnx", "openvino", "nncf")


@hydra.main(config_path=CONF_DIR, config_name="export", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """One export; the exit code is 1 where a file was not kept."""
    with stopping():
        job = HydraConfig.get()
        chosen, changes = asked_data(cfg, job.runtime.choices.get("data"), job.overrides.task)
        exports = export(read(ExportSettings, cfg), chosen, changes)
    if any(file.faults for file in exports):
        sys.exit(1)


def export(
    settings: ExportSettings, chosen: DataSettings | None = None, changes: Mapping[str, Any] | None = None
) -> list[Export]:
    """Write and check all files asked for.

    Args:
        settings: settings of the command; its `data` is not looked at.
        chosen, changes: what was said of the data, see `load_run_data`.

    Returns:
        What became of each; those with faults were not kept.

    Raises:
        UserError: for what the user can mend.
    """
    quiet_libraries()
    wanted = settings.wanted
    checkpoint = Path(settings.checkpoint or "").expanduser()
    folder = prepare(settings, checkpoint)
    reference = CheckpointEngine(
        [checkpoint], EngineSettings(threads=settings.threads, device="cpu", size=settings.size)
    )
    card = replace(reference.card, output=settings.maps, versions=versions(_PACKAGES))
    exports = plan(wanted, card, folder, settings.overwrite)
    data = load_run_data([checkpoint], card, chosen, changes)
    int8 = any("int8" in precision for _, precision in wanted)
    calibration = draw(data, settings.calibration, checkpoint, card) if int8 else []
    compared = draw(data, settings.parity, checkpoint, card)
    log.info("model   %s: %s on %s, at %dx%d", card.system, card.architecture, card.encoder, *card.size)
    log.info("data    %s: %s, %s to compare on", data.name, settings.parity.part, plural(len(compared), "image"))

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        source = Path(partial) / "source.onnx"
        trace(StripModel(reference.nets[0], card.size, card.output), source)
        images = [sample.image() for sample in calibration]
        engines = []
        for planned in exports:
            log.info("writing %s", planned.path.name)
            target = Path(partial) / planned.path.name
            try:
                write_model(source, replace(card, precision=planned.precision), target, images)
                engines.append((planned, open_engine(target, threads=settings.threads)))
            except UserError as error:  # a CPU without bf16, say: what cannot be compared is not kept
                planned.faults = [str(error)]
        results = measure(reference, [engine for _, engine in engines], compared) if engines else []
        for (planned, engine), parity in zip(engines, results, strict=True):
            planned.parity, planned.faults = parity, parity.faults(settings.parity.limits(planned.precision))
            if not planned.faults:
                scores = card.scores | {"parity": parity.as_dict()}
                done = Path(partial) / "done" / planned.path.name
                done.parent.mkdir(exist_ok=True)
                stamp(Path(partial) / planned.path.name, replace(engine.card, scores=scores), done)
                for file in sorted(done.parent.iterdir()):  # the .bin before the .xml: whole, or as it was
                    file.replace(folder / file.name)
        write_record(folder / "export.json", checkpoint, exports)
    show(exports)
    return exports


def prepare(settings: ExportSettings, checkpoint: Path) -> Path:
    """Refuse what this machine cannot write, and say what no engine computes in.

    Returns:
        The folder to write into.
    """
    if not checkpoint.is_file():
        raise UserError(f"no checkpoint {checkpoint}")
    package("onnx", "export")  # tracing needs it, whatever comes of the trace
    needed = {"onnxruntime" if f == "onnx" else f for f, _ in settings.wanted}
    for name in needed | {"nncf" for _, precision in settings.wanted if "int8" in precision}:
        package(name, "export")
    for name, precision in settings.not_offered:
        log.warning("%s is not offered in %s: its CPU engine does not compute in that precision", name, precision)
    if settings.output is not None:
        return Path(settings.output).expanduser()
    run = find_run(checkpoint)
    return (run.path if run else checkpoint.parent) / "export"


def draw(data: StripDataModule, settings: SampleSettings, checkpoint: Path, card: ModelCard) -> list[Sample]:
    """Samples of a part, evenly drawn from its order where fewer are wanted than there are."""
    samples = part_samples(data, settings.part, [checkpoint], card)
    count = min(settings.images or len(samples), len(samples))
    return [samples[i * len(samples) // count] for i in range(count)]


if __name__ == "__main__":
    start(main)
