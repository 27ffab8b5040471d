"""`make study`: from nothing to a report, with a stand-in for Kaggle's client, and what it does where a part fails."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from steel_defects.data.synthetic import write_synthetic

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SYSTEMS = ["baseline", "densenet201", "resnet101", "efficientnet-b1"]
BRIEF = ["densenet201", "efficientnet-b1"]

# Of the training, so that it takes seconds.
SMALL = [
    *("data.size=[32,32]", "data.image_size=[64,128]", "data.num_workers=0", "encoder.weights=null"),
    *("recipe.epochs=1", "recipe.batch_size=16", "trainer=cpu", "trainer.progress=false", "speed=false"),
    "figures=false",
]

# Stands in for python: writes down what it is called with, and ends with the code set for the module.
PYTHON = """#!/bin/sh
echo "$@" >> "$STUDY_CALLS"
case "$2 $STUDY_FAILS" in "steel_defects.train train"|"steel_defects.download download") exit 1;; esac
"""


def make(*words: str, **environment: str) -> subprocess.CompletedProcess:
    """`make study` in the checkout, with nothing of the make that runs the tests, and no environment made."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    inherited = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    command = ["make", "--no-print-directory", "-C", str(ROOT), "study", "-o", "setup", *words]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=600)


@pytest.fixture
def calls(tmp_path) -> Callable[..., tuple[int, list[list[str]]]]:
    """Exit code of `make study`, and the words of each call of python, with a stand-in for that."""
    python, log = tmp_path / "bin" / "python", tmp_path / "calls"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)

    def run(*words: str, fails: str = "") -> tuple[int, list[list[str]]]:
        log.unlink(missing_ok=True)
        result = make(f"BIN={python.parent}", *words, STUDY_CALLS=str(log), STUDY_FAILS=fails)
        return result.returncode, [shlex.split(line) for line in log.read_text().splitlines()]

    return run


def modules(called: list[list[str]]) -> list[str]:
    assert all(words[0] == "-m" for words in called)
    return [words[1].removeprefix("steel_defects.") for words in called]


def test_by_default_it_is_the_papers_study(calls):
    code, called = calls()
    assert code == 0
    assert modules(called) == ["download", "explore", "train", "report"]
    download, explore, train, report = (words[2:] for words in called)
    assert download == ["data.root=data/severstal"]
    assert explore == ["data=severstal", "data.root=data/severstal", "hydra.run.dir=study/explore"]
    assert train == [
        *("--multirun", "data=severstal", "data.root=data/severstal"),
        f"experiment={','.join(f'paper/{system}' for system in SYSTEMS)}",
        *("seed=1,2,3", "hydra.sweep.dir=study/runs", "sweep.skip_finished=true"),
    ]
    assert report == ["runs=study/runs", "hydra.run.dir=study/report"]


def test_settings_reach_the_commands_that_know_them(calls):
    options = "OPTIONS=recipe.epochs=5 data.size=[64,64] +data.synthetic.size=[64,400]"
    code, called = calls("DATA=synthetic", "SEEDS=1", "STUDY=/tmp/x", options)
    assert code == 0
    assert modules(called) == ["explore", "train", "report"], "there is nothing to download"
    explore, train, _ = called
    assert explore[2:] == [
        *("data=synthetic", "data.root=data/synthetic", "data.size=[64,64]", "+data.synthetic.size=[64,400]"),
        "hydra.run.dir=/tmp/x/explore",
    ]
    assert train[-4:] == ["sweep.skip_finished=true", *options.removeprefix("OPTIONS=").split()]
    assert "seed=1" in train
    _, called = calls("DATA=rust", "CONFIG=my_conf", "OPTIONS=++data.size=[64,64]")
    assert modules(called) == ["explore", "train", "report"]
    assert called[0][2:7] == ["--config-dir", "my_conf", "data=rust", "data.root=data/rust", "++data.size=[64,64]"]
    assert called[1][2:7] == ["--multirun", "--config-dir", "my_conf", "data=rust", "data.root=data/rust"]
    _, called = calls("ROOT=/data/steel", "DOWNLOAD=keep_zip=false")
    assert called[0][2:] == ["data.root=/data/steel", "keep_zip=false"]


def test_a_failed_job_is_reported_with_the_others_and_fails_it(calls):
    code, called = calls(fails="train")
    assert code == 2
    assert modules(called) == ["download", "explore", "train", "report"]


def test_without_data_nothing_else_is_begun(calls):
    code, called = calls(fails="download")
    assert code == 2
    assert modules(called) == ["download"]


def test_from_download_to_report(tmp_path):
    """Begun before: one system is trained, and an exploration and a report are there. Two systems are enough here."""
    files, root, study = tmp_path / "files", tmp_path / "data", tmp_path / "study"
    write_synthetic(files, num_images=24, size=(64, 128))
    shutil.copytree(files / "train_images", root / "train_images")
    shutil.copy(files / "train.csv", root)
    command = [sys.executable, "-m", "steel_defects.train", "--multirun", f"data.root={root}", "seed=1"]
    command += ["experiment=paper/efficientnet-b1", f"hydra.sweep.dir={study / 'runs'}", *SMALL]
    begun = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert begun.returncode == 0, begun.stdout + begun.stderr
    (summary,) = (study / "runs").glob("*/summary.json")
    before = summary.stat().st_mtime_ns
    pages = [study / "explore" / "explore.html", study / "report" / "report.html"]
    for page in pages:
        page.parent.mkdir()
        page.write_text("of an earlier start")

    shutil.rmtree(root)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr("sample_submission.csv", "ImageId,EncodedPixels,ClassId\n")
        for path in (files / "train.csv", *sorted((files / "train_images").iterdir())):
            zipped.write(path, path.relative_to(files))
    plan, log = tmp_path / "plan.json", tmp_path / "log"
    plan.write_text(json.dumps({"zip": str(tmp_path / "x.zip"), "does": "fine", "log": str(log)}))
    rows = pd.read_csv(files / "train.csv")
    expect = ["train_images=24", "test_images=0", f"regions={len(rows)}", f"defective={rows['ImageId'].nunique()}"]
    download = [f"expect.{word}" for word in (*expect, "regions_by_class=null")] + ["space.zip=0", "space.unzipped=0"]
    result = make(
        *(f"BIN={Path(sys.executable).parent}", f"ROOT={root}", f"STUDY={study}", "SEEDS=1"),
        f"PAPER={','.join(f'paper/{system}' for system in BRIEF)}",
        *(f"DOWNLOAD={' '.join(download)}", f"OPTIONS={' '.join(SMALL)}"),
        PYTHONPATH=str(Path(__file__).parents[1] / "stand_in"),
        STAND_IN_KAGGLE=str(plan),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert log.read_text() == "0\n", "one download"
    assert result.stdout.count("is finished, and not repeated") == 1
    assert summary.stat().st_mtime_ns == before
    assert sorted(pd.read_csv(study / "report" / "results.csv")["system"]) == sorted(BRIEF)
    explored, reported = (page.read_text() for page in pages)
    assert "24 images" in explored
    assert all(system in reported for system in BRIEF)
    shutil.rmtree(study / "runs")  # two gigabytes of checkpoints
