"""The audit command: judged out of fold, reviewed, and back into the labels."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pycocotools.coco import COCO

from steel_defects import CONF_DIR
from steel_defects.audit.__main__ import audit
from steel_defects.audit.correct import correct
from steel_defects.audit.settings import check
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.data.catalog import load_catalog
from steel_defects.data.rle import decode
from steel_defects.train.training import train

pytestmark = pytest.mark.slow

SIZE = (64, 400)


@pytest.fixture(scope="module")
def run(tmp_path_factory, settings) -> RunFolder:
    """A run, as the train command leaves it."""
    run = RunFolder(tmp_path_factory.mktemp("audit") / "run")
    values = settings("recipe=strong", "recipe.epochs=1", "recipe.batch_size=8", "figures=false")
    train(values, run, quiet=True)
    run.config.parent.mkdir()
    OmegaConf.save(values.plain(), run.config)
    return run


@pytest.fixture(scope="module")
def configure(run):
    """conf/audit.yaml with overrides, as plain values."""

    def make(*overrides: str) -> dict:
        given = {override.split("=")[0] for override in overrides}
        own = [] if "checkpoint" in given or "reviewed" in given else [f"checkpoint={run.best}"]
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            values = OmegaConf.to_container(compose("audit", [*own, *overrides]), resolve=True)
        check(values)
        return values

    return make


@pytest.fixture(scope="module")
def audited(configure, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    audit(configure("folds=2", "epochs=1", "spoil=0.2", "tta=false"), folder)
    return folder


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "audit.csv", dtype={"class_id": "Int64", "suggested_class_id": "Int64"})


def test_every_image_is_judged_by_a_net_that_has_not_seen_it(audited, tiny_root):
    folds = sorted((audited / "folds").glob("*/fold-*/split.csv"))
    parts = [pd.read_csv(path, index_col="ImageId")["part"] for path in folds]
    assert len(parts) == 2
    held_out = [set(part.index[part != "train"]) for part in parts]
    assert held_out[0].isdisjoint(held_out[1])
    assert held_out[0] | held_out[1] == {path.name for path in (tiny_root / "train_images").iterdir()}
    found = table(audited)
    assert len(found)
    for row in found.itertuples():
        assert row.ImageId in held_out[row.fold]


def test_findings_are_of_the_spoiled_labels(audited, tiny_root):
    found, ways = table(audited), json.loads((audited / "audit.json").read_text())["spoiled"]
    spoiled = load_catalog(tiny_root, csv=str(audited / "spoiled.csv"), num_classes=4, progress=False)
    true = {sample.image_id: sample.rles for sample in load_catalog(tiny_root, num_classes=4, progress=False).samples}
    assert {sample.image_id for sample in spoiled.samples if sample.rles != true[sample.image_id]} == set(ways)
    assert len(ways) == round(0.2 * sum(bool(rles) for rles in true.values()))
    masks = {sample.image_id: sample.mask() for sample in spoiled.samples}
    for row in found[found["marked"].notna()].itertuples():
        assert (masks[row.ImageId][decode(row.marked, *SIZE) > 0] == row.class_id).all()
    assert found.groupby("rank")["score"].max().is_monotonic_decreasing
    assert found["verdict"].isna().all()


def test_files_of_an_audit(audited):
    found = table(audited)
    assert "Labels that look wrong" in (audited / "audit.html").read_text()
    coco = COCO(str(audited / "audit.coco.json"))
    assert {image["file_name"] for image in coco.dataset["images"]} == set(found["ImageId"])
    suggested = found[found["suggested"].notna()]
    instances = [one for one in coco.dataset["annotations"] if one["attributes"]["source"] == "suggestion"]
    assert len(instances) == len(suggested)
    assert sum(coco.annToMask(one).sum() for one in instances) == suggested["suggested_px"].sum()


def test_started_again_it_trains_nothing_anew(audited, configure, monkeypatch, caplog):
    before = (audited / "audit.csv").read_bytes()

    def refuse(*args, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr("steel_defects.audit.folds.train", refuse)
    with caplog.at_level(logging.INFO):
        audit(configure("folds=2", "epochs=1", "spoil=0.2", "tta=false"), audited)
    assert "Fold 2 of 2 is finished, and not repeated" in caplog.text
    assert (audited / "audit.csv").read_bytes() == before


def test_accepted_suggestions_become_labels_and_excluded_images_are_left_out(
    audited, configure, settings, tiny_root, tmp_path
):
    found = table(audited)
    # One finding an image: others of the same image may claim the same pixels.
    first = found.drop_duplicates("ImageId").copy()
    first["verdict"] = ["accept"] * (len(first) - 1) + ["exclude"]
    first.to_csv(tmp_path / "reviewed.csv", index=False)
    data = settings().data.plain() | {"csv": str(audited / "spoiled.csv")}

    corrected = correct(configure(f"reviewed={tmp_path / 'reviewed.csv'}"), tmp_path, data)

    assert corrected == tmp_path / "spoiled.csv"
    options = {"num_classes": 4, "progress": False}
    before = {s.image_id: s.mask() for s in load_catalog(tiny_root, csv=data["csv"], **options).samples}
    after = load_catalog(tiny_root, csv=str(corrected), exclude=tmp_path / "reviewed.csv", **options)
    expected = {image_id: mask.copy() for image_id, mask in before.items()}
    for row in first[first["verdict"] == "accept"].itertuples():
        if isinstance(row.marked, str):
            expected[row.ImageId][decode(row.marked, *SIZE) > 0] = 0
        if isinstance(row.suggested, str):
            free = expected[row.ImageId] == 0
            expected[row.ImageId][free & (decode(row.suggested, *SIZE) > 0)] = row.suggested_class_id
    left_out = first["ImageId"].iloc[-1]
    assert {s.image_id for s in after.samples} == set(before) - {left_out}
    for sample in after.samples:
        np.testing.assert_array_equal(sample.mask(), expected[sample.image_id])
    assert any((expected[image_id] != mask).any() for image_id, mask in before.items())


def test_the_checkpoint_alone_judges_what_its_run_held_out(run, configure, tmp_path):
    audit(configure("folds=0", "least=0", "tta=false"), tmp_path)
    parts = pd.read_csv(run.split, index_col="ImageId")["part"]
    found = table(tmp_path)
    assert len(found)
    assert set(parts[found["ImageId"]]) <= {"val", "test"}
    assert found["fold"].isna().all()
    assert not (tmp_path / "folds").exists()
    assert f"{(parts != 'train').sum()} images judged" in (tmp_path / "audit.html").read_text()


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        ((), ["checkpoint=<run>/checkpoints/best.ckpt says how", "reviewed=<audit.csv>"]),
        (
            ("checkpoint=net.onnx", "folds=1", "spoil=2", "least=-1", "tta=maybe", "epochs=0"),
            [
                "checkpoint=net.onnx: a .ckpt",
                "folds=1: leaves",
                "spoil=2: a number from 0 to 1",
                "least=-1",
                "tta=maybe",
                "epochs=0",
            ],
        ),
        (("checkpoint=nowhere/best.ckpt",), ["no model file nowhere/best.ckpt"]),
        (("reviewed=nowhere.csv",), ["reviewed=<audit.csv> needs to know which labels"]),
    ],
)
def test_mistakes_end_in_one_message(steel, overrides, messages, tmp_path):
    result = steel("audit", *overrides, cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for message in messages:
        assert message in result.stderr


def test_a_checkpoint_outside_of_a_run_says_nothing_of_its_training(run, configure, tmp_path):
    alone = tmp_path / "best.ckpt"
    alone.write_bytes(run.best.read_bytes())
    with pytest.raises(UserError, match="lies in no run folder"):
        audit(configure(f"checkpoint={alone}"), tmp_path)


def test_a_review_without_verdicts_corrects_nothing(audited, configure, settings, tmp_path):
    data = settings().data.plain() | {"csv": str(audited / "spoiled.csv")}
    with pytest.raises(UserError, match="no row with the verdict accept or exclude"):
        correct(configure(f"reviewed={audited / 'audit.csv'}"), tmp_path, data)
    assert list(tmp_path.iterdir()) == []
