"""What earlier versions left (tests/fixtures) still works, in every command that opens such files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from steel_defects.data.rle import decode

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir())


@pytest.fixture(params=VERSIONS)
def old(request, tmp_path, tiny_root) -> Path:
    """A copy of what a version left, whose data lies where this machine has it."""
    folder = shutil.copytree(FIXTURES / request.param, tmp_path / request.param)
    config = folder / "run" / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("root: data/synthetic", f"root: {tiny_root}"))
    return folder


def same_masks(predictions: Path, expected: Path) -> bool:
    """Whether at most one pixel in a thousand of those that are predicted is another: CPUs round differently."""
    tables = [pd.read_csv(path).set_index(["ImageId", "ClassId"])["EncodedPixels"] for path in (predictions, expected)]
    keys = sorted({*tables[0].index, *tables[1].index})
    assert len(keys) > 10
    masks = [[decode(table.get(key, ""), 64, 400) for key in keys] for table in tables]
    differing = sum(int((one != other).sum()) for one, other in zip(*masks, strict=True))
    return differing <= 0.001 * sum(int(mask.sum()) for mask in masks[1])


@pytest.mark.parametrize("model", ["checkpoints/best.ckpt", "export/deeplabv3plus-tu-test_efficientnet-fp32.onnx"])
def test_predict_gives_the_same_masks(old, model, tiny_root, steel):
    done = steel("predict", f"model={old}/run/{model}", f"input={tiny_root}/train_images", f"output={old}/predicted")
    assert done.returncode == 0, done.output
    assert same_masks(old / "predicted" / "predictions.csv", old / "predictions.csv")


@pytest.mark.parametrize("model", ["checkpoints/best.ckpt", "export/deeplabv3plus-tu-test_efficientnet-fp32.onnx"])
def test_evaluate_gives_the_same_scores(old, model, steel):
    done = steel("evaluate", f"checkpoint={old}/run/{model}", "figures=false", f"hydra.run.dir={old}/evaluation")
    assert done.returncode == 0, done.output
    scores = json.loads((old / "evaluation" / "evaluation.json").read_text())["scores"]["argmax"]
    expected = json.loads((old / "run" / "summary.json").read_text())["test"]
    for key in ("miou", "native_miou", "dice", "native_dice"):
        assert scores[key] == pytest.approx(expected[key], abs=2e-3)


def test_export_reads_the_checkpoint(old, steel):
    words = [f"checkpoint={old}/run/checkpoints/best.ckpt", "format=onnx", f"output={old}/exported"]
    done = steel("export", *words)
    assert done.returncode == 0, done.output
    assert list((old / "exported").glob("*.onnx"))


def test_audit_judges_with_the_checkpoint(old, steel):
    words = [f"checkpoint={old}/run/checkpoints/best.ckpt", "folds=0", "tta=false", f"hydra.run.dir={old}/audit"]
    done = steel("audit", *words)
    assert done.returncode == 0, done.output
    assert (old / "audit" / "audit.csv").is_file()


def test_report_shows_the_run(old, steel):
    done = steel("report", f"runs={old}/run", f"hydra.run.dir={old}/report")
    assert done.returncode == 0, done.output
    results = pd.read_csv(old / "report" / "results.csv")
    expected = json.loads((old / "run" / "summary.json").read_text())["test"]["miou"]
    assert f"{expected:.6f}" in results.round(6).astype(str).to_string()


def test_a_finished_run_is_tested_again(old, steel):
    expected = json.loads((old / "run" / "summary.json").read_text())
    (old / "run" / "summary.json").unlink()
    done = steel("train", f"resume={old}/run")
    assert done.returncode == 0, done.output
    summary = json.loads((old / "run" / "summary.json").read_text())
    assert summary["epochs"] == expected["epochs"]
    assert summary["data"] == expected["data"]
    assert summary["test"]["miou"] == pytest.approx(expected["test"]["miou"], abs=2e-3)
