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

    begin("export")

import steel_defects.cli.needs_train  # noqa: F401 (first: it names what is not installed)

# isort: split
import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import quiet_libraries, stop
from steel_defects.core.errors import UserError
from steel_defects.core.files import writing
from steel_defects.core.machine import available_cores
from steel_defects.core.packages import package, versions
from steel_defects.data.catalog import Sample
from steel_defects.data.datamodule import StripDataModule
from steel_defects.export.convert import stamp, trace, write_model
from steel_defects.export.exports import PRECISIONS, Export, plan, show, write_record
from steel_defects.export.parity import Tolerance, measure
from steel_defects.inference.card import ModelCard
from steel_defects.inference.checkpoint import CheckpointEngine
from steel_defects.inference.graph import StripModel
from steel_defects.inference.loading import open_engine
from steel_defects.inference.run_data import asked_data, find_run, load_run_data, part_samples
from steel_defects.page.sheet import plural

log = logging.getLogger(__name__)

_PACKAGES = ("torch", "segmentation-models-pytorch", "timm", "onnx", "openvino", "nncf")


@hydra.main(config_path=CONF_DIR, config_name="export", version_base="1.3")
def main(cfg: DictConfig) -> None:
    try:
        job = HydraConfig.get()
        chosen, changes = asked_data(cfg, job.runtime.choices.get("data"), job.overrides.task)
        exports = export(OmegaConf.to_container(cfg, resolve=True), chosen, changes)
    except UserError as error:
        stop(error)
    if any(one.faults for one in exports):
        sys.exit(1)


def export(settings: Mapping, chosen: Mapping | None = None, changes: Mapping | None = None) -> list[Export]:
    """Write and check all files asked for.

    Args:
        settings: conf/export.yaml, composed, as plain values; its `data` is not looked at.
        chosen, changes: what was said of the data, see `load_run_data`.

    Returns:
        What became of each; those with faults were not kept.

    Raises:
        UserError: for what the user can mend.
    """
    quiet_libraries()
    checkpoint, folder, wanted = check_settings(settings)
    reference = CheckpointEngine(
        [checkpoint], "fp32", settings["threads"] or available_cores(), "cpu", size=settings["size"]
    )
    card = replace(reference.card, output=settings["maps"], versions=versions(_PACKAGES))
    exports = plan(wanted, card, folder, settings["overwrite"])
    data = load_run_data([checkpoint], card, chosen, changes)
    int8 = any("int8" in precision for _, precision in wanted)
    calibration = draw(data, settings["calibration"], checkpoint, card) if int8 else []
    compared = draw(data, settings["parity"], checkpoint, card)
    log.info("model   %s: %s on %s, at %dx%d", card.system, card.architecture, card.encoder, *card.size)
    log.info("data    %s: %s, %s to compare on", data.name, settings["parity"]["part"], plural(len(compared), "image"))

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        source = Path(partial) / "source.onnx"
        trace(StripModel(reference.nets[0], card.size, card.output), source)
        images = [sample.image() for sample in calibration]
        engines = []
        for one in exports:
            log.info("writing %s", one.path.name)
            target = Path(partial) / one.path.name
            try:
                write_model(source, replace(card, precision=one.precision), target, images)
                engines.append((one, open_engine(target, threads=settings["threads"])))
            except UserError as error:  # a CPU without bf16, say: what cannot be compared is not kept
                one.faults = [str(error)]
        results = measure(reference, [engine for _, engine in engines], compared) if engines else []
        for (one, engine), parity in zip(engines, results, strict=True):
            limits = settings["parity"][one.precision.partition("-")[0]]
            one.parity, one.faults = parity, parity.faults(Tolerance(**limits))
            if not one.faults:
                scores = card.scores | {"parity": parity.as_dict()}
                done = Path(partial) / "done" / one.path.name
                done.parent.mkdir(exist_ok=True)
                stamp(Path(partial) / one.path.name, replace(engine.card, scores=scores), done)
                for file in sorted(done.parent.iterdir()):  # the .bin before the .xml: whole, or as it was
                    file.replace(folder / file.name)
        write_record(folder / "export.json", checkpoint, exports)
    show(exports)
    return exports


def check_settings(settings: Mapping) -> tuple[Path, Path, list[tuple[str, str]]]:
    """Refuse what cannot be written, all at once.

    Returns:
        The checkpoint, the folder to write into, and the pairs of format and precision to write.
    """
    if not settings["checkpoint"]:
        raise UserError("checkpoint=<file> is missing: a run's is in <run>/checkpoints/best.ckpt")
    if not isinstance(settings["checkpoint"], str):
        raise UserError("export takes one checkpoint; several are averaged by evaluate and predict only")
    checkpoint = Path(settings["checkpoint"]).expanduser()
    faults = [] if checkpoint.is_file() else [f"no checkpoint {checkpoint}"]
    formats, precisions = _listed(settings["format"]), _listed(settings["precision"])
    known = {precision for all_of in PRECISIONS.values() for precision in all_of}
    faults += [f"format={name}: one of {', '.join(PRECISIONS)}" for name in formats if name not in PRECISIONS]
    faults += [f"precision={name}: one of {', '.join(sorted(known))}" for name in precisions if name not in known]
    if settings["maps"] not in ("classes", "probabilities"):
        faults.append(f"maps={settings['maps']}: classes or probabilities")
    threads = settings["threads"]
    if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
        faults.append(f"threads={threads}: a whole number, 1 or more, or null for all")
    if not isinstance(settings["overwrite"], bool):
        faults.append(f"overwrite={settings['overwrite']}: true or false")
    for key in ("calibration", "parity"):
        count = settings[key]["images"]
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            faults.append(f"{key}.images={count}: a whole number, 1 or more, or null for all")
    for precision in ("fp32", "bf16", "int8"):
        limits = settings["parity"][precision]
        given = limits if isinstance(limits, dict) else {}
        numbers = [given.get("pixels"), given.get("miou"), given.get("confidence") or 0]
        if set(given) != {"confidence", "pixels", "miou"} or not all(type(n) in (int, float) for n in numbers):
            faults.append(f"parity.{precision}={limits}: numbers for pixels, miou and confidence (this may be null)")
    wanted = [(f, p) for f in formats for p in precisions if p in PRECISIONS.get(f, ())]
    if not faults and not wanted:
        offered = "; ".join(f"{name} in {', '.join(all_of)}" for name, all_of in PRECISIONS.items())
        faults.append(f"nothing to write: there is {offered}")
    if faults:
        raise UserError("\n".join(faults))
    package("onnx", "export")  # tracing needs it, whatever comes of the trace
    for name in {"onnxruntime" if f == "onnx" else f for f, _ in wanted} | {"nncf" for _, p in wanted if "int8" in p}:
        package(name, "export")
    for name in formats:
        if lacking := [p for p in precisions if p not in PRECISIONS[name]]:
            log.warning("%s is not offered in %s: its CPU engine computes in no such precision", name, lacking[0])
    run = find_run(checkpoint)
    default = (run.path if run else checkpoint.parent) / "export"
    return checkpoint, Path(settings["output"]).expanduser() if settings["output"] else default, wanted


def draw(data: StripDataModule, settings: Mapping, checkpoint: Path, card: ModelCard) -> list[Sample]:
    """Samples of a part, evenly drawn from its order where fewer are wanted than there are."""
    samples = part_samples(data, settings["part"], [checkpoint], card)
    count = min(settings["images"] or len(samples), len(samples))
    return [samples[i * len(samples) // count] for i in range(count)]


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


if __name__ == "__main__":
    start(main)
