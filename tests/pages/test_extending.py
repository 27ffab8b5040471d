""".github/EXTENDING.md followed to the letter: its files are written, its commands run, in a folder of the reader's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from segmentation_models_pytorch.encoders import get_encoder

from steel_defects import CONF_DIR
from steel_defects.core.runs import RunFolder
from steel_defects.data.rle import decode

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / ".github" / "EXTENDING.md").read_text()
FILES = dict(re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = "".join(re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).splitlines()

# What makes a training quick; data, encoder, recipe and loss are the page's.
SHRUNK = ["data.size=[64,64]", "data.num_workers=0", "recipe.epochs=1", "recipe.batch_size=8"]
SHRUNK += ["trainer=cpu", "trainer.progress=false", "speed=false", "figures=false"]


@dataclass
class Step:
    """A command of the page, and what came of it."""

    command: str
    output: str
    runs: list[RunFolder]  # that it left


def runs_in(folder: Path) -> set[Path]:
    return {path.parent for path in folder.rglob("summary.json")}


def words_of(command: str) -> list[str]:
    program, *words = shlex.split(command)
    assert program == "python"
    if {"train", "steel_defects.train"} & set(words):
        words += SHRUNK
        if "encoder=ours" in command:
            words += ["recipe.lr=0.0"]  # the weights that it starts from are those that it ends with
    return [sys.executable, *words]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, tiny_root) -> Path:
    """What the reader has: pictures, masks as PNGs of 1 and 2, weights, and the files of the page."""
    desk = tmp_path_factory.mktemp("desk")
    table = pd.read_csv(tiny_root / "train.csv")
    for folder in ("train_images", "masks"):
        (desk / "data/rust" / folder).mkdir(parents=True)
    for image in (tiny_root / "train_images").iterdir():
        picture = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE)
        mask = np.zeros_like(picture)
        for row in table[table["ImageId"] == image.name].itertuples():
            mask[decode(row.EncodedPixels, *mask.shape) > 0] = 1 if row.ClassId == 3 else 2
        (desk / "data/rust/train_images" / image.name).write_bytes(image.read_bytes())
        cv2.imwrite(str(desk / "data/rust/masks" / f"{image.stem}.png"), mask)
    (desk / "weights").mkdir()
    torch.manual_seed(0)
    torch.save(get_encoder("resnet18", weights=None).state_dict(), desk / "weights/ours.pth")
    for name, text in FILES.items():
        (desk / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / name).write_text(text)
    return desk


@pytest.fixture(scope="module")
def steps(desk) -> list[Step]:
    """All commands of the page, in its order."""
    steps = []
    for command in COMMANDS:
        before = runs_in(desk)
        result = subprocess.run(
            words_of(command), cwd=desk, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}"
        assert "Traceback" not in result.stdout, f"{command}\n{result.stdout}"
        runs = [RunFolder(path) for path in sorted(runs_in(desk) - before)]
        steps.append(Step(command, result.stdout, runs))
    return steps


def steps_with(steps: list[Step], text: str) -> Iterator[RunFolder]:
    found = [run for step in steps for run in step.runs if text in step.command]
    assert found, text
    return iter(found)


def first_conv(run: RunFolder, key: str) -> torch.Tensor:
    return torch.load(run.last, weights_only=True)["state_dict"][f"net.body.encoder.{key}"]


def test_the_page_has_what_it_promises():
    assert set(FILES) == {
        "my_conf/data/rust.yaml",
        "masks_to_csv.py",
        "my_conf/encoder/ours.yaml",
        "my_encoders.py",
        "my_nets.py",
        "my_losses.py",
        "my_augment.py",
        "my_scores.py",
        "my_conf/recipe/gentle.yaml",
    }
    assert len(COMMANDS) == PAGE.count("\npython ") == 15
    assert len([text for text in FILES.values() if len(text.splitlines()) <= 16]) == 8, "about ten lines each"


def test_masks_become_labels(steps, desk):
    """Every pixel of every mask is in train.csv, and nothing else; decoded here by hand."""
    table = pd.read_csv(desk / "data/rust/train.csv")
    for path in sorted((desk / "data/rust/masks").iterdir()):
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        drawn = np.zeros(truth.size, np.uint8)
        for row in table[table["ImageId"] == f"{path.stem}.jpg"].itertuples():
            numbers = list(map(int, row.EncodedPixels.split()))
            for start, length in zip(numbers[::2], numbers[1::2], strict=True):
                drawn[start - 1 : start - 1 + length] = row.ClassId
        assert (truth == drawn.reshape(truth.shape[::-1]).T).all()
    assert set(table["ClassId"]) == {1, 2}


@pytest.mark.parametrize("spoil", ["grey", "size", "missing"])
def test_masks_that_are_none_are_named(desk, tmp_path, spoil):
    for folder in ("train_images", "masks"):
        (tmp_path / "data/rust" / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data/rust/train_images/0007.jpg"), np.zeros((8, 9), np.uint8))
    mask = np.full((8, 9), 200, np.uint8) if spoil == "grey" else np.ones((9, 8), np.uint8)
    if spoil != "missing":
        cv2.imwrite(str(tmp_path / "data/rust/masks/0007.png"), mask)
    result = subprocess.run(
        [sys.executable, desk / "masks_to_csv.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "AssertionError" in result.stderr
    assert "0007.jpg" in result.stderr
    assert not (tmp_path / "data/rust/train.csv").exists()


def test_the_data_set_is_explored_by_its_name(steps, desk):
    (page,) = desk.glob("explorations/*/*/explore.md")
    assert "What is in rust" in page.read_text()
    regions = pd.read_csv(page.with_name("regions.csv"))
    assert set(regions["class"]) == {"rust", "dent"}


def test_every_run_is_of_the_page_s_data(steps):
    runs = [run for step in steps for run in step.runs]
    assert len(runs) == 10
    for run in runs:
        summary = run.read_summary()
        assert summary["status"] == "finished"
        assert summary["data"]["name"] == "rust"
        assert {"jaccard_rust", "jaccard_dent"} <= summary["test"].keys()


def test_own_weights_are_loaded_with_their_mean(steps, desk):
    run = next(steps_with(steps, "encoder=ours"))
    given = torch.load(desk / "weights/ours.pth", weights_only=True)
    assert torch.equal(first_conv(run, "conv1.weight"), given["conv1.weight"])
    net = torch.load(run.last, weights_only=True)["hyper_parameters"]["net"]
    assert (net["mean"], net["std"]) == ([0.4] * 3, [0.2] * 3)


def test_own_layers_are_trained_and_exported(steps, desk):
    run = next(steps_with(steps, "encoder.name=plain"))
    assert first_conv(run, "stages.0.0.weight").shape == (16, 3, 3, 3)
    images = {path.stem for path in (desk / "data/rust/train_images").iterdir()}
    assert {path.stem for path in (desk / "predictions/masks").iterdir()} == images


def test_checkpoints_of_own_layers_need_the_file(steps, desk):
    words = ["model=outputs/plain/checkpoints/best.ckpt", "input=data/rust/train_images", "output=refused"]
    alone = [sys.executable, "-m", "steel_defects.predict", *words]
    result = subprocess.run(alone, cwd=desk, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "encoder.name=plain: segmentation-models-pytorch has no such encoder" in result.stderr


def test_own_losses_are_used(steps):
    """One sweep, the same start and data: only the loss differs, and so does what is learnt."""
    sweep = list(steps_with(steps, "--multirun"))
    saved = {run: torch.load(run.last, weights_only=True) for run in sweep}
    names = {content["hyper_parameters"]["recipe"]["loss"] for content in saved.values()}
    assert names == {"cross_entropy", "my_losses.weighted", "my_losses.focal_dice"}
    losses = [run.read_history()["train/loss"].iloc[0] for run in sweep]
    assert len(set(losses)) == 3
    for content in saved.values():
        assert all(key.startswith("net.") for key in content["state_dict"])


def test_a_run_needs_neither_my_conf_nor_my_losses(steps, desk, tmp_path):
    run = next(run for run in steps_with(steps, "--multirun") if "weighted" in (run.config.read_text()))
    words = [f"checkpoint={run.best}", f"data.root={desk / 'data/rust'}", "figures=false", "threads=1"]
    command = [sys.executable, "-m", "steel_defects.evaluate", *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "jaccard_dent" in result.stdout


def test_own_recipe_changes_what_it_names(steps):
    run = next(steps_with(steps, "recipe=gentle"))
    recipe = yaml.safe_load(run.config.read_text())["recipe"]
    strong = yaml.safe_load((Path(CONF_DIR) / "recipe/strong.yaml").read_text())
    own = yaml.safe_load(FILES["my_conf/recipe/gentle.yaml"])
    assert (recipe["name"], recipe["lr"], recipe["loss"]) == (own["name"], own["lr"], own["loss"])
    paper = yaml.safe_load((Path(CONF_DIR) / "recipe/paper.yaml").read_text())["augment"]["also"]
    assert recipe["augment"]["also"] == paper | strong["augment"]["also"] | own["augment"]["also"]
    assert (recipe["optimizer"], recipe["schedule"]) == (strong["optimizer"], strong["schedule"])


def composed(cwd: Path, *words: str) -> subprocess.CompletedProcess:
    """What `steel-train` would run; as the entry point itself, which answers such questions without PyTorch."""
    command = [sys.executable, "-c", "from steel_defects.cli.scripts import train; train()", *words, "--cfg", "job"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_flags_stand_before_or_after_the_overrides(desk):
    flag = ("--config-dir", "my_conf")
    for words in ((*flag, "data=rust", "seed=2"), ("data=rust", "seed=2", *flag)):
        result = composed(desk, *words)
        assert yaml.safe_load(result.stdout)["data"]["classes"] == ["rust", "dent"], result.stderr
    assert composed(desk, "data=rust", *flag, "seed=2").returncode == 2


def test_the_project_s_file_of_the_same_name_is_read(tmp_path):
    (tmp_path / "my_conf/data").mkdir(parents=True)
    (tmp_path / "my_conf/data/strip_steel.yaml").write_text(FILES["my_conf/data/rust.yaml"])
    result = composed(tmp_path, "--config-dir", "my_conf", "data=strip_steel")
    assert yaml.safe_load(result.stdout)["data"]["name"] == "strip_steel"


def test_own_architecture_is_trained_scored_and_exported(steps, desk):
    run = next(steps_with(steps, "model.architecture=unet"))
    keys = torch.load(run.best, weights_only=True)["state_dict"]
    assert any(key.startswith("net.body.decoder.blocks.3.") for key in keys), "the blocks of a Unet"
    assert run.read_summary()["architecture"] == "unet"
    assert list((run.path / "export").glob("unet-*.xml"))
    alone = [sys.executable, "-m", "steel_defects.evaluate", f"checkpoint={run.best}"]
    result = subprocess.run(alone, cwd=desk, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "model.architecture=unet: it is one of deeplabv3plus, barebone" in result.stderr


def test_own_score_stands_beside_the_others(steps):
    run = next(steps_with(steps, "scores=["))
    test = run.read_summary()["test"]
    assert 0 <= test["area_error"] <= 1
    assert "val/area_error" in run.read_history()
    outputs = [step.output for step in steps if "scores=[" in step.command]
    assert len(outputs) == 2
    for output in outputs:
        assert "area_error" in output
    rounded = f"{test['area_error']:.3f}"
    assert all(rounded in output for output in outputs), "evaluate finds what the training found"
