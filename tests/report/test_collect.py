"""Which runs a report is about: found at any depth, grouped by their settings; what is wrong with others is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.models.scores import Confusions
from steel_defects.report.collect import collect

CLASSES = ["rust", "dent"]


def write_run(path: Path, seed: int = 1, system: str = "resnet101", data_hash: str = "1a2b", **settings) -> RunFolder:
    """A finished run's folder, as far as a report reads it."""
    rng = np.random.default_rng(seed)
    confusions = Confusions(*rng.integers(1, 50, (2, 6, 3, 3)))
    run = RunFolder(path)
    (path / ".hydra").mkdir(parents=True)
    config = {"system": system, "seed": seed, "recipe": {"name": "paper", "epochs": 2}, "data": {"root": str(path)}}
    OmegaConf.save(OmegaConf.merge(config, settings), run.config)
    OmegaConf.save([f"seed={seed}"], run.config.with_name("overrides.yaml"))
    rows = confusions.per_image(CLASSES)
    rows.insert(0, "ImageId", [f"{i}.png" for i in range(6)])
    rows.to_csv(run.per_image, index=False)
    columns = ["ImageId", "ClassId", "EncodedPixels", "ResizedPixels"]
    pd.DataFrame([["0.png", 1, "1 3", ""]], columns=columns).to_csv(run.predictions, index=False)
    pd.DataFrame({"epoch": [0, 1], "val/miou": [0.1, 0.2]}).to_csv(run.history, index=False)
    about = {"name": "steel", "classes": CLASSES, "size": [64, 64], "data_hash": data_hash, "split_hash": "9f"}
    run.write_summary(
        {
            "status": "finished",
            "system": system,
            "seed": seed,
            "data": about,
            "test": confusions.scores(CLASSES),
            "speed": {"train_it_per_s": 1.5},
            "parameters": 10,
            "gmacs": 1.0,
        }
    )
    return run


def reasons(study) -> dict[str, str]:
    return {Path(omission.what).name: omission.reason for omission in study.omissions}


def rewrite(run: RunFolder, **changes) -> None:
    """Other values in the summary, by dotted key with `__` for the dots."""
    summary = run.read_summary()
    for key, value in changes.items():
        *path, last = key.split("__")
        inner = summary
        for part in path:
            inner = inner[part]
        inner[last] = value
    run.summary.write_text(json.dumps(summary))


def test_runs_of_one_system_differ_in_their_seed_alone(tmp_path):
    for seed in (2, 1, 3):
        write_run(tmp_path / "sweep" / f"a{seed}", seed)
    write_run(tmp_path / "sweep" / "deeper" / "b", 1, "densenet201")
    write_run(tmp_path / "single", 1, "mine")
    study = collect([tmp_path / "single", tmp_path / "sweep"])
    systems = [(system.name, system.seeds, system.paper) for system in study.systems]
    assert systems == [("densenet201", [1], "densenet201"), ("resnet101", [1, 2, 3], "resnet101"), ("mine", [1], None)]
    assert study.omissions == []
    assert study.classes == CLASSES


def test_runs_of_versions_with_other_words_are_of_one_system(tmp_path):
    """Lightning's words for device and precision, and keys that were not there yet."""
    earlier = write_run(tmp_path / "a", 1, trainer={"accelerator": "gpu", "precision": "auto"})
    rewrite(earlier, precision="16-mixed")
    now = {"device": "auto", "precision": "fp16"}
    rewrite(write_run(tmp_path / "b", 2, trainer=now, recipe={"augment": {"own": None}}), precision="fp16")
    (system,) = collect([tmp_path]).systems
    assert [run.seed for run in system.runs] == [1, 2]
    assert {run.summary["precision"] for run in system.runs} == {"fp16"}
    rewrite(write_run(tmp_path / "c", 3, trainer=now), precision="fp32")
    assert len(collect([tmp_path]).systems) == 2


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (  # the name of a choice stands for what is in it
            [{}, {"recipe": {"name": "strong", "epochs": 3, "lr": 3}}],
            ["resnet101 (recipe=paper)", "resnet101 (recipe=strong)"],
        ),
        (
            [{}, {"recipe": {"name": "paper", "epochs": 5}}, {"recipe": {"name": "strong", "epochs": 2, "lr": 3}}],
            [
                "resnet101 (recipe=paper, recipe.epochs=2)",
                "resnet101 (recipe=paper, recipe.epochs=5)",
                "resnet101 (recipe=strong, recipe.epochs=2)",
            ],
        ),
        (
            [{"data": {"size": 64}}, {"data": {"size": 128}}, {"data": {"size": 64}, "recipe": {"name": "strong"}}],
            [
                "resnet101 (recipe=paper, data.size=64)",
                "resnet101 (recipe=paper, data.size=128)",
                "resnet101 (recipe=strong, data.size=64)",
            ],
        ),
        (  # place and workers do not make another system
            [
                {"data": {"root": "x", "num_workers": 2}, "figures": True, "logger": {"kind": "csv"}},
                {"data": {"root": "y", "num_workers": 0}, "figures": False, "logger": {"kind": "wandb"}},
            ],
            ["resnet101"],
        ),
    ],
)
def test_systems_of_one_name_are_told_apart_by_their_settings(tmp_path, settings, names):
    for k, changes in enumerate(settings):
        write_run(tmp_path / f"{k}", k, **changes)
    study = collect([tmp_path])
    assert [system.name for system in study.systems] == names
    assert sorted(run.seed for run in study.runs) == list(range(len(settings)))


def test_what_is_read_is_what_was_written(tmp_path):
    run = write_run(tmp_path / "a")
    (read,) = collect([tmp_path]).runs
    pd.testing.assert_frame_equal(read.per_image.reset_index(), pd.read_csv(run.per_image))
    assert read.per_image.index.name == "ImageId"
    assert read.predictions.loc["0.png", ["EncodedPixels", "ResizedPixels"]].tolist() == ["1 3", ""]
    assert read.summary == run.read_summary()
    assert read.settings["recipe.epochs"] == 2
    assert read.overrides == ["seed=1"]
    assert read.size == (64, 64)
    for native, prefix in ((False, ""), (True, "native_")):
        true = read.per_image[[f"{prefix}true_rust", f"{prefix}true_dent"]].sum(axis=1) > 0
        assert list(read.defective(native).index) == list(true[true].index)


def test_image_ids_are_texts(tmp_path):
    """Numbers keep their zeros, and an image may be called NA."""
    run = write_run(tmp_path / "a")
    for path in (run.per_image, run.predictions):
        text = path.read_text().replace(".png", "").replace("\n0,", "\n000,")
        path.write_text(text.replace("\n1,", "\nNA,").replace("\n2,", "\nnull,"))
    (read,) = collect([tmp_path]).runs
    assert list(read.per_image.index[:4]) == ["000", "NA", "null", "3"]
    assert read.predictions.index[0] == "000"


def test_each_thing_wrong_is_named_and_the_rest_reported(tmp_path):
    write_run(tmp_path / "good")
    write_run(tmp_path / "unfinished", 2).summary.unlink()
    write_run(tmp_path / "broken", 3).summary.write_text('{"status": "fin')
    write_run(tmp_path / "failed", 4).write_summary({"status": "failed", "error": "out of memory"})
    old = write_run(tmp_path / "old", 5)
    old.write_summary({key: value for key, value in old.read_summary().items() if key not in ("test", "system")})
    write_run(tmp_path / "unreadable", 6).config.write_text("a: [1")
    for content in ("[]", "3", "null"):
        write_run(tmp_path / f"not a run {content}", 7).summary.write_text(content)
    folder = write_run(tmp_path / "folder", 8)
    folder.summary.unlink()
    folder.summary.mkdir()
    (tmp_path / "evaluation" / ".hydra").mkdir(parents=True)
    (tmp_path / "evaluation" / ".hydra" / "config.yaml").write_text("part: test\n")
    (tmp_path / "evaluation" / ".hydra" / "overrides.yaml").write_text("[]\n")
    (tmp_path / "empty").mkdir()
    study = collect([tmp_path, tmp_path / "empty", tmp_path / "nowhere"])
    assert [run.folder.path.name for run in study.runs] == ["good"]
    said = reasons(study)
    assert said.pop("unfinished") == "holds no summary.json: the run did not come to its end"
    assert "summary.json is broken" in said.pop("broken")
    assert said.pop("failed") == "failed: out of memory"
    assert said.pop("old") == "summary.json is not what a run leaves: system should be a text; test should be scores"
    assert said.pop("unreadable").startswith("its configuration cannot be read")
    for content in ("[]", "3", "null"):
        assert said.pop(f"not a run {content}") == "summary.json is not the summary of a run"
    assert said.pop("folder") == "summary.json cannot be read (Is a directory)"
    assert said.pop("empty") == "holds no run"
    assert said.pop("nowhere") == "is not a folder"
    assert not said, "what other commands leave is not worth a word"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", None),
        ("system", ["x"]),
        ("system", ""),
        ("data__data_hash", 3),
        ("data__size", None),
        ("data__size", [64]),
        ("data__size", [64, "64"]),
        ("data__classes", []),
        ("data__classes", None),
        ("data__classes", [1, 2]),
        ("test", {"miou": "high"}),
        ("test", {"miou": float("inf")}),
        ("speed", None),
        ("speed__train_it_per_s", "fast"),
        ("speed__resized", "fast"),
        ("speed__original", {"images_per_s": 3.0}),
        ("confusion", [[1, 2], [3, 4]]),
        ("native_confusion", "none"),
        ("parameters", "many"),
        ("seconds", True),
    ],
)
def test_a_summary_of_another_kind_costs_its_run_alone(tmp_path, key, value):
    write_run(tmp_path / "good")
    rewrite(write_run(tmp_path / "odd", 2), **{key: value})
    study = collect([tmp_path])
    assert [run.folder.path.name for run in study.runs] == ["good"]
    assert f"{key.replace('__', '.')} should be" in reasons(study)["odd"]


def test_scores_may_be_undefined(tmp_path):
    rewrite(write_run(tmp_path / "a"), test__miou=None, test__false_alarm=None)
    assert collect([tmp_path]).omissions == []


def many(text: str) -> str:
    """The last number of the second row is a word."""
    lines = text.splitlines()
    lines[2] = lines[2].rpartition(",")[0] + ",many"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("per_image", None, "is missing; left out of all comparisons image by image"),
        ("per_image", lambda text: text[:-60], "is not whole: row 7 lacks numbers; left out of all comparisons"),
        ("per_image", lambda text: text.splitlines()[0] + "\n", "holds no image"),
        ("per_image", many, "has something other than numbers in the column native_hit_dent"),
        ("per_image", lambda text: text.replace("3.png", "4.png"), "has several rows of 4.png"),
        (
            "predictions",
            lambda text: "ImageId,ClassId\n0.png,1\n",
            "lacks the column EncodedPixels, ResizedPixels; left out of the pictures of predictions",
        ),
        ("history", lambda text: "", "cannot be read"),
        ("history", None, "is missing; left out of the curves"),
    ],
)
def test_a_table_that_is_missing_or_damaged_is_left_out(tmp_path, name, change, reason):
    path = getattr(write_run(tmp_path / "a"), name)
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()))
    study = collect([tmp_path])
    tables = {key: getattr(study.runs[0], key) for key in ("per_image", "predictions", "history")}
    assert [key for key, table in tables.items() if table is None or table.empty] == [name]
    assert [Path(omission.what) for omission in study.omissions] == [path]
    assert study.omissions[0].reason.startswith(reason)


def test_runs_with_the_same_seed_are_named(tmp_path):
    write_run(tmp_path / "a", 1)
    rewrite(write_run(tmp_path / "b", 1), test__miou=0.25)
    write_run(tmp_path / "c", 2)
    study = collect([tmp_path])
    assert study.systems[0].seeds == [1, 1, 2]
    assert reasons(study) == {"resnet101": "has several runs with seed 1: each counts as a run"}


def test_runs_of_other_data_or_classes_are_left_to_a_report_of_their_own(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"a{seed}", seed)
    write_run(tmp_path / "other", 1, data_hash="ffff")
    rewrite(write_run(tmp_path / "third"), data__classes=["dent", "rust"], data__name="iron")
    study = collect([tmp_path])
    assert [run.folder.path.name for run in study.runs] == ["a1", "a2"]
    assert reasons(study) == {
        "other": "data hash ffff instead of 1a2b: it needs a report of its own",
        "third": "data iron instead of steel; classes ['dent', 'rust'] instead of ['rust', 'dent']: "
        "it needs a report of its own",
    }


def test_a_run_counts_once_with_its_copies_and_resumed_starts(tmp_path):
    run = write_run(tmp_path / "a")
    shutil.copytree(run.path, tmp_path / "b")
    shutil.copytree(run.config.parent, run.path / "resumed" / "now" / ".hydra")
    study = collect([tmp_path, tmp_path])
    assert len(study.runs) == 1
    # What is found twice, or inside of a run, is not worth a word.
    assert reasons(study) == {"b": f"is the same run as {run.path}: counted once"}


def test_the_test_set_is_images_and_labels(tmp_path):
    first, second = write_run(tmp_path / "a", 1), write_run(tmp_path / "b", 2)
    rows = pd.read_csv(first.per_image)
    for relabelled in (0, 1):
        rows.loc[0, "native_true_rust"] += relabelled
        rows.iloc[::-1].to_csv(second.per_image, index=False)
        a, b = collect([tmp_path]).runs
        assert (a.test_set() == b.test_set()) == (not relabelled)


def test_nothing_to_report_names_all_that_was_found(tmp_path):
    rewrite(write_run(tmp_path / "a"), status="failed", error="no disk")
    both = r"nothing to report:\n.*a: failed: no disk\n.*nowhere: is not a folder\nruns= takes"
    with pytest.raises(UserError, match=both):
        collect([tmp_path, tmp_path / "nowhere"])
