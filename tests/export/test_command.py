"""The export command on a short run: what it writes, what it measures, what it refuses and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR, __version__
from steel_defects.cli.arguments import rewrite
from steel_defects.core.errors import UserError
from steel_defects.core.packages import package
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.data.catalog import Sample
from steel_defects.data.images import read_grey
from steel_defects.data.rle import decode
from steel_defects.export import __main__ as command
from steel_defects.export.__main__ import export
from steel_defects.export.exports import Export
from steel_defects.export.parity import Parity
from steel_defects.export.settings import ExportSettings, LimitSettings
from steel_defects.inference.decision import Decision
from steel_defects.inference.loading import open_engine

pytestmark = pytest.mark.slow

FIXTURE = Path(__file__).parents[1] / "fixtures" / "v0.1.0" / "run"
FILE = "deeplabv3plus-tu-test_efficientnet-fp32"
CLASSES = ("pits", "streaks", "scratches", "patches")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_root) -> RunFolder:
    """A run folder as the command leaves it, of a net that finds some defects."""
    ignored = shutil.ignore_patterns("export", "last.ckpt")
    run = RunFolder(shutil.copytree(FIXTURE, tmp_path_factory.mktemp("runs") / "run", ignore=ignored))
    run.config.write_text(run.config.read_text().replace("root: data/synthetic", f"root: {tiny_root}"))
    return run


def export_with(*overrides: str) -> list[Export]:
    """Export with overrides as on the command line."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("export", ["threads=1", *overrides])
    return export(read(ExportSettings, OmegaConf.to_container(cfg, resolve=True)))


@pytest.fixture
def start(run, tmp_path):
    """Export into a new folder."""
    return lambda *overrides: export_with(f"checkpoint={run.best}", f"output={tmp_path / 'out'}", *overrides)


@pytest.fixture(scope="module")
def written(run) -> tuple[list[Export], Path]:
    """Both formats in fp32, where they go by themselves: in the run folder."""
    return export_with(f"checkpoint={run.best}"), run.path / "export"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def part(run: RunFolder, name: str) -> list[str]:
    split = pd.read_csv(run.split)
    return sorted(split.loc[split["part"] == name, "ImageId"])


# What it writes.


def test_files_appear(written):
    exports, folder = written
    assert names(folder) == {f"{FILE}.onnx", f"{FILE}.xml", f"{FILE}.bin", "export.json"}
    assert [one.path for one in exports] == [folder / f"{FILE}.onnx", folder / f"{FILE}.xml"]
    assert not any(one.faults for one in exports)
    record = json.loads((folder / "export.json").read_text())
    assert [entry["file"] for entry in record["files"]] == [f"{FILE}.onnx", f"{FILE}.xml"]
    for one, entry in zip(exports, record["files"], strict=True):
        assert entry["parity"] == one.parity.as_dict()
        assert entry["faults"] == []
    onnx, xml = (entry["megabytes"] for entry in record["files"])
    assert onnx == (folder / f"{FILE}.onnx").stat().st_size / 1e6
    assert xml == sum((folder / f"{FILE}.{end}").stat().st_size for end in ("xml", "bin")) / 1e6


@pytest.mark.parametrize("number", [0, 1])
def test_card(written, run, number):
    one = written[0][number]
    card, summary = open_engine(one.path, threads=1).card, run.read_summary()
    assert card.classes == CLASSES
    assert card.size == (64, 64)
    assert card.decision == Decision.argmax(4)
    assert (card.architecture, card.encoder, card.precision) == ("deeplabv3plus", "tu-test_efficientnet", "fp32")
    assert card.system == summary["system"]
    assert card.scores["test"] == summary["test"]
    assert card.scores["parity"] == asdict(one.parity)
    assert card.data["split_hash"] == summary["data"]["split_hash"]
    assert card.versions["steel_defects"] == __version__
    assert card.versions["torch"] == torch.__version__.partition("+")[0]
    assert {"onnx", "openvino", "nncf", "timm", "python"} <= card.versions.keys()


@pytest.mark.parametrize("number", [0, 1])
def test_parity_by_hand(written, run, tiny_root, number):
    """The numbers from the two engines' maps and SMP's metrics, image by image."""
    one = written[0][number]
    checkpoint, file = open_engine(run.best, threads=1), open_engine(one.path, threads=1)
    labels = pd.read_csv(tiny_root / "train.csv")
    worst, alike, scores = 0.0, [], {"checkpoint": [], "file": []}
    for image_id in part(run, "test"):
        image = read_grey(tiny_root / "train_images" / image_id)
        truth = np.zeros_like(image)
        for row in labels[labels["ImageId"] == image_id].itertuples():
            truth[decode(row.EncodedPixels, *image.shape) > 0] = row.ClassId
        theirs, own = checkpoint(image), file(image)
        same = theirs.classes == own.classes
        worst = max(worst, np.abs(theirs.confidence - own.confidence)[same].max())
        masks = {}
        for name, maps in (("checkpoint", theirs), ("file", own)):
            masks[name] = np.where(maps.confidence > 0.5, maps.classes, 0)
            pair = (torch.from_numpy(mask)[None].long() for mask in (masks[name], truth))
            stats = smp.metrics.get_stats(*pair, mode="multiclass", num_classes=5)
            iou = smp.metrics.iou_score(*stats, zero_division=float("nan"))[0, 1:]
            if truth.any():
                scores[name].append(iou[~iou.isnan()].mean().item())
        alike.append((masks["checkpoint"] == masks["file"]).mean())
    assert one.parity.images == len(alike) == len(part(run, "test"))
    assert one.parity.confidence == pytest.approx(worst, abs=1e-6)
    assert one.parity.pixels == pytest.approx(np.mean(alike))
    assert one.parity.miou_checkpoint == pytest.approx(np.mean(scores["checkpoint"]), abs=1e-6)
    assert one.parity.miou_file == pytest.approx(np.mean(scores["file"]), abs=1e-6)
    assert one.parity.miou_checkpoint == pytest.approx(run.read_summary()["test"]["native_miou"], abs=1e-3)
    assert one.parity.miou_checkpoint > 0, "a net that finds nothing would prove little"


def test_probabilities_a_tuned_decision_and_another_size(start, run, monkeypatch):
    tuned = Decision((0.2, 0.3, 0.5, 0.9), (0, 5, 0, 99))
    monkeypatch.setattr("steel_defects.inference.checkpoint.decision_of", lambda *_, **__: tuned)
    (one,) = start("format=openvino", "maps=probabilities", "size=[32,96]")
    engine = open_engine(one.path, threads=1)
    assert (engine.card.size, engine.card.output) == ((32, 96), "probabilities")
    assert engine.card.decision == tuned
    assert one.parity.pixels > 0.999, "parity is by argmax, whatever was tuned"
    reference = open_engine(run.best, threads=1, size=[32, 96])
    image = np.random.default_rng(0).integers(0, 256, (32, 96), dtype=np.uint8)
    np.testing.assert_allclose(engine(image).confidence, reference(image).confidence, rtol=0, atol=1e-3)


def test_int8_is_calibrated_on_validation_and_compared_on_test(start, run, tiny_root, monkeypatch):
    """Which images are taken; tests/inference/test_convert.py looks at what int8 makes of a net."""
    compared, calibrated = [], []

    def quantize(model, dataset, **_):
        calibrated.extend(image[0, 0] for inputs in dataset.get_inference_data() for image in inputs.values())
        return model

    real = Sample.mask  # calibration needs the images alone
    monkeypatch.setattr(Sample, "mask", lambda sample: compared.append(sample.image_id) or real(sample))
    monkeypatch.setattr(package("nncf"), "quantize", quantize)
    (one,) = start("format=openvino", "precision=int8", "calibration.images=3", "parity.images=4")
    evenly = {
        name: [part(run, name)[i * len(part(run, name)) // count] for i in range(count)]
        for name, count in (("val", 3), ("test", 4))
    }
    assert compared == evenly["test"]
    folder = tiny_root / "train_images"
    assert len(calibrated) == 3
    for image, name in zip(calibrated, evenly["val"], strict=True):
        np.testing.assert_array_equal(image, read_grey(folder / name))
    assert one.parity.images == 4
    assert open_engine(one.path).card.precision == "int8"


# What it does not keep, and refuses.


def test_a_file_beyond_tolerance_leaves_nothing_behind(start, tmp_path, capsys):
    exports = start("parity.fp32={confidence:1e-9,pixels:0,miou:1}", "format=[onnx,openvino]")
    assert names(tmp_path / "out") == {"export.json"}
    for one in exports:
        assert len(one.faults) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{FILE}.xml is not offered: confidence differs by" in printed
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert [len(entry["faults"]) for entry in record["files"]] == [1, 1]
    assert record["files"][0]["megabytes"] is None


def test_an_error_on_the_way_leaves_nothing_behind(start, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(command, "write_model", fail)
    with pytest.raises(UserError, match=r"cannot be written: No space"):
        start("format=onnx")
    assert names(tmp_path / "out") == set()


def test_tolerances():
    exact = Parity(images=3, confidence=0.0, pixels=1.0, miou_checkpoint=0.5, miou_file=0.5)
    tight = LimitSettings(confidence=0.0, pixels=1.0, miou=0.0)
    assert exact.faults(tight) == []

    def faults(tolerance: LimitSettings = tight, **changes) -> list[str]:
        return Parity(**asdict(exact) | changes).faults(tolerance)

    assert faults(confidence=0.1) == ["confidence differs by 0.1, allowed 0"]
    assert (
        faults(LimitSettings(confidence=None, pixels=0.9, miou=0.01), confidence=0.9, pixels=0.95, miou_file=0.495)
        == []
    )
    assert faults(pixels=0.98) == ["98.000% of the pixels are decided alike, at least 100.000% must be"]
    assert faults(miou_file=0.4) == ["native_miou falls by 0.1000, allowed 0"]
    assert faults(miou_file=0.6) == [], "a gain is no loss"
    assert "could not be measured" in faults(miou_checkpoint=float("nan"), miou_file=float("nan"))[0]
    anything = LimitSettings(confidence=None, pixels=0, miou=1)
    assert faults(anything, confidence=float("nan")) == ["the confidence of some pixels is not a number"]


def test_existing_files_are_refused_or_replaced(start, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / f"{FILE}.onnx").write_text("mine")
    (folder / "other.txt").write_text("mine, too")
    with pytest.raises(UserError, match=rf"There already: {folder}/{FILE}.onnx. .*overwrite=true"):
        start()
    assert names(folder) == {f"{FILE}.onnx", "other.txt"}
    assert (folder / f"{FILE}.onnx").read_text() == "mine"
    start("format=onnx", "overwrite=true")
    assert open_engine(folder / f"{FILE}.onnx").card.classes == CLASSES
    start("format=openvino")
    record = json.loads((folder / "export.json").read_text())
    assert {file["file"] for file in record["files"]} == {f"{FILE}.onnx", f"{FILE}.xml"}, "none is forgotten"
    assert (folder / "other.txt").read_text() == "mine, too"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["checkpoint=null"], ["checkpoint=<file> is missing: a run's is in <run>/checkpoints/best.ckpt"]),
        (["checkpoint=[a.ckpt,b.ckpt]", "format=[onnx,tflite]", "precision=[fp32,fp64]", "maps=both", "threads=-1",
          "overwrite=maybe", "size=64", "calibration={part:none,images:0}", "parity.images=many",
          "parity.bf16.miou=null"],
         ["checkpoint=[a.ckpt,b.ckpt]: one checkpoint; several are averaged by evaluate and predict only, or null",
          "format=[onnx,tflite]: onnx or openvino, or both",
          "precision=[fp32,fp64]: one or more of fp32, bf16, int8, int8-bf16", "maps=both: classes or probabilities",
          "size=64: [height, width] in pixels, multiples of 16 (the net's output stride), or null",
          "overwrite=maybe: true or false", "calibration.part=none: val, train or test",
          "calibration.images=0: a whole number, 1 or more, or null",
          "parity.images=many: a whole number, 1 or more, or null", "parity.bf16.miou=null: a number, 0 or more",
          "threads=-1: a whole number, 1 or more, or null"]),
        (["size=[60,64]", "format=null", "precision=[]"],
         ["format=null: onnx or openvino, or both", "precision=[]: one or more of fp32, bf16, int8, int8-bf16",
          "size=[60,64]: [height, width] in pixels, multiples of 16 (the net's output stride), or null"]),
        (["format=onnx", "precision=bf16"],
         ["nothing to write: there is onnx in fp32, int8; openvino in fp32, bf16, int8, int8-bf16"]),
    ],
)  # fmt: skip
def test_mistakes_come_all_at_once(start, tmp_path, overrides, said):
    with pytest.raises(UserError) as caught:
        start(*overrides)
    assert sorted(str(caught.value).splitlines()) == sorted(said)
    assert not (tmp_path / "out").exists()


def test_what_no_engine_computes_in_is_said(start, caplog):
    assert [one.path.suffix for one in start("precision=bf16", "parity.images=1")] == [".xml"]
    assert "onnx is not offered in bf16: its CPU engine does not compute in that precision" in caplog.text


def test_no_checkpoint(start, tmp_path):
    with pytest.raises(UserError, match=f"no checkpoint {tmp_path}/none.ckpt"):
        start(f"checkpoint={tmp_path}/none.ckpt")


def test_an_exported_file_is_no_checkpoint(start, written):
    path = written[0][0].path
    with pytest.raises(UserError, match=f"{path} is not a checkpoint"):
        start(f"checkpoint={path}")


# The command line.


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("format=onnx,openvino", "format=[onnx,openvino]"),
        ("format=onnx", "format=onnx"),
        ("format=[onnx]", "format=[onnx]"),
        ("format='a,b'", "format='a,b'"),
        ("format=", "format="),
        ("format", "format"),
        ("precisions=a,b", "precisions=a,b"),
        ("output=a=b,c", "output=a=b,c"),
    ],
)
def test_lists_as_people_type_them(monkeypatch, typed, read):
    monkeypatch.setattr(sys, "argv", ["format=program,name", typed, "--multirun"])
    rewrite("export")
    assert sys.argv == ["format=program,name", read, "--multirun"]


def test_command(run, tmp_path):
    """Lists as typed, exit code 1 where a file is not kept, and nobody is told over the network."""
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("export"))
    surroundings = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    arguments = [
        *("checkpoint=run/checkpoints/best.ckpt", "format=onnx,openvino", "precision=fp32,int8", "threads=1"),
        *("calibration.images=2", "parity.images=2", "parity.int8.pixels=1"),
    ]
    result = subprocess.run(
        [sys.executable, "-m", "steel_defects.export", *arguments],
        cwd=tmp_path,
        env=surroundings | {"COLUMNS": "200", "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1, result.stdout
    assert "Traceback" not in result.stdout
    folder = tmp_path / "run" / "export"
    assert names(folder) == {f"{FILE}.onnx", f"{FILE}.xml", f"{FILE}.bin", "export.json"}
    refused = FILE.replace("fp32", "int8")
    for suffix in ("onnx", "xml"):
        assert f"{refused}.{suffix} is not offered: " in result.stdout
    record = json.loads((folder / "export.json").read_text())
    assert [(entry["precision"], bool(entry["faults"])) for entry in record["files"]] == [
        *(("fp32", False), ("int8", True), ("fp32", False), ("int8", True)),
    ]
    assert {entry["parity"]["images"] for entry in record["files"]} == {2}
    assert not list(tmp_path.glob("outputs")), "nothing of Hydra's"
    assert not list(tmp_path.glob("intel")), "where the telemetry of OpenVINO and NNCF keeps its number"
