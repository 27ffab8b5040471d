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
    return {Path(one.what).name: one.reason for one in study.omissions}


def test_runs_of_one_system_differ_in_their_seed_alone(tmp_path):
    for seed in (2, 1, 3):
        write_run(tmp_path / "sweep" / f"a{seed}", seed)
    write_run(tmp_path / "sweep" / "deeper" / "b", 1, "densenet201")
    write_run(tmp_path / "single", 1, "mine")
    study = collect([tmp_path / "sweep", tmp_path / "single"])
    found = [(system.name, system.seeds, system.paper) for system in study.systems]
    assert found == [("densenet201", [1], "densenet201"), ("resnet101", [1, 2, 3], "resnet101"), ("mine", [1], None)]
    assert study.omissions == []
    assert study.classes == CLASSES


def test_equal_names_of_unequal_settings_are_told_apart(tmp_path):
    write_run(tmp_path / "a", 1)
    write_run(tmp_path / "b", 2, recipe={"name": "paper", "epochs": 5})
    write_run(tmp_path / "c", 1, recipe={"name": "strong", "epochs": 2, "lr": 3})
    names = [system.name for system in collect([tmp_path]).systems]
    assert sorted(names) == [
        "resnet101 (recipe=paper, recipe.epochs=2)",
        "resnet101 (recipe=paper, recipe.epochs=5)",
        "resnet101 (recipe=strong, recipe.epochs=2)",
    ]


def test_the_name_of_a_choice_stands_for_what_is_in_it(tmp_path):
    write_run(tmp_path / "a", 1)
    write_run(tmp_path / "c", 1, recipe={"name": "strong", "epochs": 3, "lr": 3})
    assert [system.name for system in collect([tmp_path]).systems] == [
        "resnet101 (recipe=paper)",
        "resnet101 (recipe=strong)",
    ]


def test_place_and_workers_do_not_make_another_system(tmp_path):
    write_run(tmp_path / "a", 1, data={"root": "x", "num_workers": 2}, figures=True, logger={"kind": "csv"})
    write_run(tmp_path / "b", 2, data={"root": "y", "num_workers": 0}, figures=False, logger={"kind": "wandb"})
    (system,) = collect([tmp_path]).systems
    assert system.seeds == [1, 2]


def test_what_is_read_is_what_was_written(tmp_path):
    run = write_run(tmp_path / "a")
    (read,) = collect([tmp_path]).runs
    pd.testing.assert_frame_equal(read.per_image.reset_index(), pd.read_csv(run.per_image))
    assert read.per_image.index.name == "ImageId"
    assert read.predictions.loc["0.png", "EncodedPixels"] == "1 3"
    assert read.predictions.loc["0.png", "ResizedPixels"] == ""
    assert read.summary == run.read_summary()
    assert read.settings["recipe.epochs"] == 2
    assert read.overrides == ["seed=1"]
    assert read.size == (64, 64)
    true = read.per_image[["true_rust", "true_dent"]].sum(axis=1) > 0
    assert list(read.defective(native=False).index) == list(true[true].index)


def test_numbers_as_ids_keep_their_zeros(tmp_path):
    run = write_run(tmp_path / "a")
    for path in (run.per_image, run.predictions):
        path.write_text(path.read_text().replace(".png", "").replace("\n0,", "\n000,"))
    (read,) = collect([tmp_path]).runs
    assert read.per_image.index[0] == "000"
    assert read.predictions.index[0] == "000"


def test_each_thing_wrong_is_named_and_the_rest_reported(tmp_path):
    write_run(tmp_path / "good")
    write_run(tmp_path / "unfinished", 2).summary.unlink()
    write_run(tmp_path / "broken", 3).summary.write_text('{"status": "fin')
    write_run(tmp_path / "failed", 4).write_summary({"status": "failed", "error": "out of memory"})
    old = write_run(tmp_path / "old", 5)
    old.write_summary({key: value for key, value in old.read_summary().items() if key != "test"})
    write_run(tmp_path / "unreadable", 6).config.write_text("a: [1")
    (tmp_path / "evaluation" / ".hydra").mkdir(parents=True)
    (tmp_path / "evaluation" / ".hydra" / "config.yaml").write_text("part: test\n")
    (tmp_path / "evaluation" / ".hydra" / "overrides.yaml").write_text("[]\n")
    (tmp_path / "empty").mkdir()
    study = collect([tmp_path, tmp_path / "empty", tmp_path / "nowhere"])
    assert [run.folder.path.name for run in study.runs] == ["good"]
    found = reasons(study)
    assert found["unfinished"] == "holds no summary.json: the run did not come to its end"
    assert "summary.json is broken" in found["broken"]
    assert found["failed"] == "failed: out of memory"
    assert found["old"] == "summary.json is not as a run leaves it: test should be scores"
    assert found["unreadable"].startswith("its configuration cannot be read")
    assert "evaluation" not in found, "what other commands leave is not worth a word"
    assert found["empty"] == "holds no run"
    assert found["nowhere"] == "is not a folder"


def test_missing_tables_leave_the_rest_of_a_run(tmp_path):
    run = write_run(tmp_path / "a")
    run.per_image.unlink()
    run.predictions.write_text("ImageId,ClassId\n0.png,1\n")
    run.history.write_text("")
    study = collect([tmp_path])
    (read,) = study.runs
    assert read.per_image is None
    assert read.predictions is None
    assert read.history.empty
    found = reasons(study)
    assert found["per_image.csv"] == "is missing; left out of all comparisons image by image"
    assert found["predictions.csv"].startswith("lacks the column EncodedPixels, ResizedPixels; left out of")
    assert found["history.csv"].startswith("cannot be read")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", None),
        ("system", ["x"]),
        ("data.size", None),
        ("data.size", [64]),
        ("data.classes", []),
        ("data.classes", None),
        ("test", {"miou": "high"}),
        ("speed", None),
        ("speed.train_it_per_s", "fast"),
        ("speed.resized", "fast"),
        ("speed.original", {"images_per_s": 3.0}),
        ("confusion", [[1, 2], [3, 4]]),
        ("native_confusion", "none"),
        ("parameters", "many"),
        ("seconds", True),
    ],
)
def test_a_summary_of_another_kind_costs_its_run_alone(tmp_path, key, value):
    write_run(tmp_path / "good")
    run = write_run(tmp_path / "odd", 2)
    summary = run.read_summary()
    *path, last = key.split(".")
    inner = summary
    for part in path:
        inner = inner[part]
    inner[last] = value
    run.summary.write_text(json.dumps(summary))
    study = collect([tmp_path])
    assert [one.folder.path.name for one in study.runs] == ["good"]
    assert f"{key} should be" in reasons(study)["odd"]


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_summary_that_is_none(tmp_path, content):
    write_run(tmp_path / "good")
    write_run(tmp_path / "odd", 2).summary.write_text(content)
    assert reasons(collect([tmp_path]))["odd"] == "summary.json is not that of a run"


def test_scores_may_be_undefined(tmp_path):
    run = write_run(tmp_path / "a")
    summary = run.read_summary()
    run.write_summary(summary | {"test": summary["test"] | {"false_alarm": None, "miou": None}})
    assert collect([tmp_path]).omissions == []


def test_tables_that_are_damaged_are_not_used(tmp_path):
    cut, empty, text = (write_run(tmp_path / name, seed) for seed, name in enumerate(("cut", "empty", "text")))
    cut.per_image.write_text(cut.per_image.read_text()[:-60])
    empty.per_image.write_text(empty.per_image.read_text().splitlines()[0] + "\n")
    lines = text.per_image.read_text().splitlines()
    lines[2] = lines[2].replace(lines[2].split(",")[-1], "many")
    text.per_image.write_text("\n".join(lines) + "\n")
    study = collect([tmp_path])
    assert all(run.per_image is None for run in study.runs)
    found = {Path(one.what).parent.name: one.reason for one in study.omissions}
    assert found["cut"].startswith("is not whole: row 7 lacks numbers")
    assert found["empty"].startswith("holds no image")
    assert found["text"].startswith("has something else than numbers in the column native_hit_dent")


def test_an_image_may_be_called_na(tmp_path):
    run = write_run(tmp_path / "a")
    run.per_image.write_text(run.per_image.read_text().replace("\n1.png,", "\nNA,").replace("\n2.png,", "\nnull,"))
    (read,) = collect([tmp_path]).runs
    assert list(read.per_image.index[1:3]) == ["NA", "null"]


def test_runs_with_the_same_seed_are_named(tmp_path):
    write_run(tmp_path / "a", 1)
    other = write_run(tmp_path / "b", 1)
    summary = other.read_summary()
    other.write_summary(summary | {"test": summary["test"] | {"miou": 0.25}})
    study = collect([tmp_path])
    assert study.systems[0].seeds == [1, 1]
    assert reasons(study)["resnet101"] == "has several runs with seed 1: each counts as a run"


def test_choices_and_single_settings_together_tell_systems_apart(tmp_path):
    write_run(tmp_path / "a", data={"size": 64})
    write_run(tmp_path / "b", data={"size": 128})
    write_run(tmp_path / "c", data={"size": 64}, recipe={"name": "strong"})
    assert [system.name for system in collect([tmp_path]).systems] == [
        "resnet101 (recipe=paper, data.size=64)",
        "resnet101 (recipe=paper, data.size=128)",
        "resnet101 (recipe=strong, data.size=64)",
    ]


def test_an_image_with_two_rows_is_no_row_an_image(tmp_path):
    run = write_run(tmp_path / "a")
    run.per_image.write_text(run.per_image.read_text().replace("3.png", "4.png"))
    study = collect([tmp_path])
    assert study.runs[0].per_image is None
    assert reasons(study)["per_image.csv"].startswith("has several rows of 4.png; left out of")


def test_runs_of_other_data_or_classes_are_left_to_a_report_of_their_own(tmp_path):
    for seed in (1, 2):
        write_run(tmp_path / f"a{seed}", seed)
    write_run(tmp_path / "other", 1, data_hash="ffff")
    third = write_run(tmp_path / "third")
    summary = third.read_summary()
    summary["data"]["classes"] = ["dent", "rust"]
    third.write_summary(summary)
    study = collect([tmp_path])
    assert len(study.runs) == 2
    assert reasons(study)["other"] == "data hash ffff instead of 1a2b: it needs a report of its own"
    assert "classes ['dent', 'rust'] instead of ['rust', 'dent']" in reasons(study)["third"]


def test_a_copied_run_counts_once(tmp_path):
    run = write_run(tmp_path / "a")
    shutil.copytree(run.path, tmp_path / "b")
    study = collect([tmp_path, tmp_path])
    assert len(study.runs) == 1
    assert reasons(study)["b"] == f"is the same run as {run.path}: counted once"
    assert len(study.omissions) == 1, "found twice is not worth a word"


def test_resumed_starts_inside_a_run_are_not_runs(tmp_path):
    run = write_run(tmp_path / "a")
    shutil.copytree(run.config.parent, run.path / "resumed" / "now" / ".hydra")
    study = collect([tmp_path])
    assert len(study.runs) == 1
    assert study.omissions == []


def test_the_test_set_is_images_and_labels(tmp_path):
    first, second = write_run(tmp_path / "a", 1), write_run(tmp_path / "b", 2, "densenet201")
    rows = pd.read_csv(first.per_image)
    rows.iloc[::-1].to_csv(second.per_image, index=False)
    (a,), (b,) = (system.runs for system in collect([tmp_path]).systems)
    assert a.test_set() == b.test_set()
    rows.loc[0, "native_true_rust"] += 1
    rows.to_csv(second.per_image, index=False)
    (a,), (b,) = (system.runs for system in collect([tmp_path]).systems)
    assert a.test_set() != b.test_set()


def test_nothing_to_report_names_all_that_was_found(tmp_path):
    run = write_run(tmp_path / "a")
    run.write_summary(json.loads(run.summary.read_text()) | {"status": "failed", "error": "no disk"})
    both = r"nothing to report:\n.*a: failed: no disk\n.*nowhere: is not a folder"
    with pytest.raises(UserError, match=both) as caught:
        collect([tmp_path, tmp_path / "nowhere"])
    assert "runs= takes" in str(caught.value)
