"""How fast this machine is, net by net and engine by engine: the paper's Table 1 for it. Needs no data and no training.

    python -m steel_defects.benchmark                                   everything: about 25 minutes on two slow cores
    python -m steel_defects.benchmark systems=efficientnet-b1 rounds=1 train.steps=0             a first look, 2 minutes
    python -m steel_defects.benchmark systems=resnet101,efficientnet-lite0 engines=pytorch-fp32,openvino-int8
    python -m steel_defects.benchmark input=data/severstal/test_images end_to_end=openvino-bf16,onnx-fp32

Systems: baseline, densenet201, resnet101, efficientnet-b1 as conf/experiment/paper has them, or any choice of
conf/encoder. Engines: pytorch-fp32, -bf16, onnx-fp32, openvino-fp32, -bf16, -int8, -int8-bf16, cuda-fp32, -fp16; one
that the machine cannot run is a row that says why. Weights are random: the speed of a net does not depend on them.

Measured, batch 1, in images/s: the net alone, images in memory; its latency; reading files; and the whole way from
JPEG files to masks and tables. Then training, in it/s at batch 16. Leave the machine alone meanwhile.

The folder benchmarks/<date>/<time> then holds benchmark.csv (a row for each system, size, engine and measure, with
every round's number), benchmark.json (the same with versions and settings), benchmark.md and benchmark.png. They are
written after each system, so that an interrupted run keeps what it has. Keys are in conf/benchmark.yaml.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("benchmark", "train")

import logging
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from tqdm.contrib.logging import logging_redirect_tqdm

from steel_defects import CONF_DIR
from steel_defects.benchmark.engines import default_engines
from steel_defects.benchmark.files import Pictures
from steel_defects.benchmark.measure import Progress, measure_loading, measure_system
from steel_defects.benchmark.report import (
    METHOD,
    draw_chart,
    file_sheet,
    markdown,
    paper_sheets,
    system_sheets,
    train_sheet,
)
from steel_defects.benchmark.rows import Row, size_name, write_csv
from steel_defects.benchmark.settings import AUTO, BenchmarkSettings
from steel_defects.benchmark.systems import read_system
from steel_defects.cli.arguments import start
from steel_defects.cli.console import print_sheets, quiet_libraries, stopping
from steel_defects.core.files import write_whole
from steel_defects.core.machine import cpu_name
from steel_defects.core.packages import versions
from steel_defects.core.paper import DEVICE, ORIGINAL, PAPER, RESIZED
from steel_defects.core.runs import write_json
from steel_defects.core.settings import read
from steel_defects.page.sheet import plural

log = logging.getLogger(__name__)

_PACKAGES = ("torch", "segmentation-models-pytorch", "timm", "onnxruntime", "onnx", "openvino", "nncf", "numpy")


@hydra.main(config_path=CONF_DIR, config_name="benchmark", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """One benchmark; interrupted, it says what is there."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        with stopping():
            benchmark(read(BenchmarkSettings, cfg), folder)
    except KeyboardInterrupt:
        kept = (folder / "benchmark.csv").exists()
        log.warning("Stopped. %s", f"The systems measured until then: {folder}" if kept else "Nothing was measured yet")
        sys.exit(130)


def benchmark(settings: BenchmarkSettings, folder: Path) -> list[Row]:
    """Measure, print and write.

    Args:
        settings: settings of the command.
        folder: folder to write into.

    Returns:
        What was measured.

    Raises:
        UserError: for what the user can mend.
    """
    quiet_libraries()
    cv2.setNumThreads(1)  # as predict does: each image has its thread
    if settings.engines == (AUTO,):  # read once more, for what does not go with those of this machine
        settings = read(BenchmarkSettings, settings.model_dump() | {"engines": default_engines()})
    given = Pictures.given(settings.input, settings.images) if settings.end_to_end and settings.input else None
    about = describe(settings)
    for key in ("device", "threads", "rounds", "systems", "engines"):
        log.info("%-8s %s", key, about[key])
    log.info("%-8s %s", "folder", folder)
    if about["load"] > 0.5:
        log.warning(
            "Other programs are running (load %.1f). The numbers will be too low, PyTorch's above all, "
            "whose threads wait for each other",
            about["load"],
        )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
        pictures = {}
        for size in settings.sizes if settings.end_to_end else ():
            pictures[size] = given or Pictures.drawn(size, settings.images, Path(scratch) / size_name(size))
        rows += measure_loading(settings, pictures)
        for i, name in enumerate(settings.systems, start=1):
            with logging_redirect_tqdm(), Progress(f"{i}/{len(settings.systems)} {name}", settings) as progress:
                rows += measure_system(settings, read_system(name), pictures, progress.tell)
            write(folder, rows, about, settings, complete=i == len(settings.systems))
            print_sheets(*system_sheets(rows, name))
    print_sheets(file_sheet(rows), train_sheet(rows, settings.train.batch_size), *paper_sheets(rows))
    for line in METHOD[1:]:
        log.info("%s", line)
    log.info("Results: %s", folder)
    return rows


def describe(settings: BenchmarkSettings) -> dict[str, Any]:
    """What is measured, on what, with what, when."""
    device, train = cpu_name(), settings.train
    if torch.cuda.is_available():
        device += f" and {torch.cuda.get_device_name()}"
    return {
        "device": device,
        "threads": settings.cores,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,  # processes that ran in the last minute
        "systems": ", ".join(settings.systems),
        "engines": ", ".join(settings.engines),
        "rounds": f"{settings.rounds} of {settings.seconds:g} s each, {settings.file_rounds} from file to file",
        "training": f"batch {train.batch_size} at {size_name(train.size)}, {train.steps} steps after one to warm up",
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "system": platform.platform(),
        "versions": dict.fromkeys(_PACKAGES) | versions(_PACKAGES) | {"opencv": cv2.__version__},
    }


def write(
    folder: Path, rows: Sequence[Row], about: Mapping[str, Any], settings: BenchmarkSettings, complete: bool
) -> None:
    """Write all files, over those of the system before."""
    write_csv(folder / "benchmark.csv", rows)
    train = settings.train
    plan = settings.model_dump(exclude={"train"}) | {"threads": settings.cores}
    plan |= {"batch_size": train.batch_size, "steps": train.steps, "train_size": train.size}
    content = {"complete": complete, **about, "plan": plan, "paper": {"device": DEVICE, **_paper()}}
    write_json(folder / "benchmark.json", content | {"rows": [row.as_dict() for row in rows]})
    write_whole(folder / "benchmark.md", markdown(rows, about, train.batch_size, complete).encode())
    draw_chart(rows, folder / "benchmark.png", f"{plural(settings.cores, 'thread')} of {about['device']}")


def _paper() -> dict[str, dict]:
    name = {RESIZED: "resized", ORIGINAL: "original", "train": "train"}
    return {system: {name[key]: value for key, value in speeds.items()} for system, speeds in PAPER.items()}


if __name__ == "__main__":
    start(main)
