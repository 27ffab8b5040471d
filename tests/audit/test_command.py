"""The audit command: judged out of fold, reviewed, and back into the labels."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pycocotools.coco import COCO

from steel_defects import CONF_DIR
from steel_defects.audit.__main__ import audit
from steel_defects.audit.settings import AuditSettings
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.data.catalog import load_catalog
from steel_defects.data.rle import decode

pytestmark = pytest.mark.slow

SIZE = (64, 400)


@pytest.fixture(scope="module")
def run(trained_run) -> RunFolder:
    return trained_run


@pytest.fixture(scope="module")
def configure(run):
    """conf/audit.yaml with overrides."""

    def make(*overrides: str) -> AuditSettings:
        given = {override.split("=")[0] for override in overrides}
        own = [] if "checkpoint" in given or "reviewed" in given else [f"checkpoint={run.best}"]
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            return read(AuditSettings, OmegaConf.to_container(compose("audit", [*own, *overrides]), resolve=True))

    return make


@pytest.fixture(scope="module")
def audited(configure, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    audit(configure("folds=2", "epochs=1", "spoil=0.2", "tta=false"), folder)
    return folder


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "audit.csv", dtype={"class_id": "Int64", "suggested_class_id": "Int64"})


def masks(root: Path, csv: Path) -> dict[str, np.ndarray]:
    """The labels of a data set, by image."""
    catalog = load_catalog(root, csv=str(csv), num_classes=4, progress=False)
    return {sample.image_id: sample.mask() for sample in catalog.samples}


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
    spoiled, true = masks(tiny_root, audited / "spoiled.csv"), masks(tiny_root, Path("train.csv"))
    assert {image_id for image_id in true if (spoiled[image_id] != true[image_id]).any()} == set(ways)
    assert len(ways) == round(0.2 * sum(mask.any() for mask in true.values()))
    for row in found[found["marked"].notna()].itertuples():
        assert (spoiled[row.ImageId][decode(row.marked, *SIZE) > 0] == row.class_id).all()
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
    monkeypatch.setattr("steel_defects.audit.folds.train", None)
    with caplog.at_level(logging.INFO):
        audit(configure("folds=2", "epochs=1", "spoil=0.2", "tta=false"), audited)
    assert "Fold 2 of 2 is finished, and not repeated" in caplog.text
    assert (audited / "audit.csv").read_bytes() == before


def test_accepted_suggestions_become_labels(run, audited, steel, tiny_root, tmp_path):
    """One finding an image: others of the same image may claim the same pixels."""
    first = table(audited).drop_duplicates("ImageId").assign(verdict="accept")
    first.to_csv(tmp_path / "reviewed.csv", index=False)
    words = [f"checkpoint={run.best}", f"reviewed={tmp_path}/reviewed.csv", f"data.csv={audited}/spoiled.csv"]
    assert steel("audit", *words, f"hydra.run.dir={tmp_path}/new").returncode == 0
    expected, after = masks(tiny_root, audited / "spoiled.csv"), masks(tiny_root, tmp_path / "new" / "spoiled.csv")
    for row in first.itertuples():
        if isinstance(row.marked, str):
            expected[row.ImageId][decode(row.marked, *SIZE) > 0] = 0
        if isinstance(row.suggested, str):
            free = expected[row.ImageId] == 0
            expected[row.ImageId][free & (decode(row.suggested, *SIZE) > 0)] = row.suggested_class_id
    assert after.keys() == expected.keys()
    for image_id, mask in after.items():
        np.testing.assert_array_equal(mask, expected[image_id])


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
            ("checkpoint=net.onnx", "spoil=2", "tta=maybe"),
            ["checkpoint=net.onnx: a .ckpt", "spoil=2: a number from 0 to 1", "tta=maybe: true or false"],
        ),
        (("checkpoint=nowhere/best.ckpt",), ["no model file nowhere/best.ckpt"]),
        (("reviewed=nowhere.csv",), ["reviewed=<audit.csv> needs to know which labels"]),
        (("reviewed=nowhere.csv", "data=severstal", "data.root=null"), ["data.root=null: a path"]),
    ],
)
def test_mistakes_end_in_one_message(steel, overrides, messages, tmp_path):
    result = steel("audit", *overrides, cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for message in messages:
        assert message in result.stderr


def test_a_checkpoint_outside_of_a_run_says_nothing_of_its_training(run, configure, settings, tmp_path):
    alone = shutil.copy(run.best, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match="lies in no run folder, so that nothing says which data"):
        audit(configure(f"checkpoint={alone}"), tmp_path)
    with pytest.raises(UserError, match=r"how it was trained.*or folds=0 with data\.split\.file"):
        audit(configure(f"checkpoint={alone}"), tmp_path, settings().data)
