"""The explore command: from a folder in Kaggle's layout to a page and tables, whatever is wrong with the data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core import settings
from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.catalog import load_catalog
from steel_defects.data.rle import decode
from steel_defects.explore.__main__ import TABLES, explore
from steel_defects.explore.settings import ExploreSettings
from steel_defects.page.content import Report

pytestmark = pytest.mark.slow

CLASSES = ["pits", "streaks", "scratches", "patches"]


def given(root: Path, *overrides: str) -> ExploreSettings:
    """conf/explore.yaml, composed, for the small synthetic strips."""
    shrink = ["data=synthetic", "data.synthetic=null", "data.image_size=[64,400]", "data.size=[64,64]", "sheet=3"]
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("explore", [*shrink, f"data.root={root}", *overrides])
    return settings.read(ExploreSettings, OmegaConf.to_container(cfg, resolve=True))


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", dtype={"ImageId": str, "classes": str}, keep_default_na=False)


@pytest.fixture(scope="module")
def made(tiny_root, tmp_path_factory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("exploration")
    return folder, explore(given(tiny_root), folder)


@pytest.fixture(scope="module")
def truth(tiny_root) -> pd.DataFrame:
    """A row for each row of train.csv, with its pixels."""
    rows = pd.read_csv(tiny_root / "train.csv")
    rows["area"] = [int((decode(code, 64, 400) > 0).sum()) for code in rows["EncodedPixels"]]
    return rows


@pytest.fixture
def copied(tiny_root, tmp_path) -> Path:
    return shutil.copytree(tiny_root, tmp_path / "data")


def test_tables_are_those_of_the_labels(made, truth, tiny_root):
    folder, _ = made
    images, regions = read(folder, "images"), read(folder, "regions")
    assert images["ImageId"].tolist() == sorted(path.name for path in (tiny_root / "train_images").iterdir())
    assert images["area_px"].sum() == truth["area"].sum()
    assert (images["regions"] > 0).sum() == truth["ImageId"].nunique()
    both = regions.merge(truth, left_on=["ImageId", "class_id"], right_on=["ImageId", "ClassId"])
    assert len(both) == len(regions) == len(truth)
    assert both["area_px"].tolist() == both["area"].tolist()
    segments = read(folder, "segments")
    assert segments.groupby(["ImageId", "class_id"])["area_px"].sum().tolist() == (
        regions.sort_values(["ImageId", "class_id"])["area_px"].tolist()
    )
    assert read(folder, "faults").empty


def test_the_page_holds_everything_and_names_nothing_outside(made, truth):
    folder, content = made
    assert content.facts["Labels"].startswith("train.csv, in the layout ImageId,ClassId,EncodedPixels (")
    page, text = (folder / "explore.html").read_text(), (folder / "explore.md").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    for section in content.sections:
        assert section.title in page
        assert section.title in text
    names = {chart.name for section in content.sections for chart in section.charts}
    assert {path.stem for path in (folder / "figures").iterdir()} == names
    assert set(re.findall(r"\]\(figures/(.+?)\.png\)", text)) == names
    assert f"50 images, {truth['ImageId'].nunique()} with a defect; {len(truth)} defect regions." in page
    assert "`explore.html`" in text
    contact = content.sections[-1]
    assert [one.title for one in contact.comparisons] == CLASSES
    assert all(len(one.pictures) == 3 for one in contact.comparisons)


def test_every_fault_that_training_refuses_is_listed_and_does_not_stop_it(copied, steel, tmp_path):
    folder = copied / "train_images"
    names = sorted(path.name for path in folder.iterdir())
    with (copied / "train.csv").open("a") as file:
        file.write(f"{names[3]},9,1 2\n{names[4]},1,x 2\ngone.jpg,1,1 2\n'<b>.jpg,1,1 2\n")
    (folder / names[0]).write_bytes(b"")
    (folder / names[1]).write_text("<!DOCTYPE html>")
    cv2.imwrite(str(folder / "small.jpg"), np.full((32, 50), 90, np.uint8))
    with pytest.raises(DataFaults) as caught:
        load_catalog(copied, num_classes=4, image_size=(64, 400), progress=False)
    refused = [(fault.file, str(fault.row or ""), fault.message) for fault in caught.value.faults]
    assert len(refused) == 7
    result = steel(
        "explore",
        *("data=synthetic", "data.synthetic=null", "data.image_size=[64,400]", "data.size=[64,64]", "sheet=1"),
        *(f"data.root={copied}", "hydra.run.dir=out"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.output
    assert "Traceback" not in result.stderr
    assert "7 faults: training would refuse this data until they are mended." in result.stdout
    faults = read(tmp_path / "out", "faults").astype({"row": str})
    assert list(faults.itertuples(index=False, name=None)) == refused
    text, page = ((tmp_path / "out" / f"explore.{kind}").read_text() for kind in ("md", "html"))
    for file, row, message in refused:
        assert file in page
        words = re.split(r"[<>&'\"]", message)  # which the page writes otherwise
        assert all(part in page for part in words), message
        assert not row or f">{row}<" in page
    assert text.count("| train.csv |") == sum(file == "train.csv" for file, *_ in refused)
    assert "2 rows are left out" in page


def test_excluded_images_are_nowhere_and_twins_need_not_be_looked_for(copied, tmp_path, truth):
    name = truth["ImageId"][0]
    (tmp_path / "out.csv").write_text(f"ImageId\n{name}\n")
    shutil.copy(sorted((copied / "train_images").iterdir())[0], copied / "train_images" / "zz.jpg")
    content = explore(given(copied, f"data.exclude={tmp_path / 'out.csv'}", "twins=false"), tmp_path / "out")
    for table in TABLES:
        assert name not in (tmp_path / "out" / f"{table}.csv").read_text()
    assert len(read(tmp_path / "out", "images")) == 50
    assert content.facts["Left out"] == f"1 image, by {tmp_path / 'out.csv'}"
    reasons = [omission.reason for omission in content.omissions]
    assert reasons == ["Twins were not looked for.", "1 image is left out (data.exclude)."]
    assert not any("pair" in finding or "No twins" in finding for finding in content.findings)
    shutil.rmtree(copied / "train_images")  # the label file alone knows it, too
    assert explore(given(copied, f"data.exclude={tmp_path / 'out.csv'}"), tmp_path / "bare").facts["Left out"]


def test_excluding_all_is_refused(copied, tmp_path):
    names = sorted(path.name for path in (copied / "train_images").iterdir())
    (tmp_path / "out.csv").write_text("\n".join(["ImageId", *names]) + "\n")
    with pytest.raises(UserError, match="leaves out all 50 images"):
        explore(given(copied, f"data.exclude={tmp_path / 'out.csv'}"), tmp_path / "out")


def test_a_run_is_not_written_into(copied, tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run; name another folder"):
        explore(given(copied), tmp_path)


def test_in_a_browser(made, visit):
    folder, content = made
    page = visit((folder / "explore.html").as_uri())
    headings = [heading.text for heading in page.find_elements("tag name", "h2")]
    assert headings == ["Findings", "What was looked at", "Contents", *(section.title for section in content.sections)]
    shown = page.execute_script("return [...document.images].map((one) => [one.naturalWidth, one.clientWidth])")
    charts = sum(len(section.charts) for section in content.sections)
    assert len(shown) == charts + 2 * 12  # image and labels of three pictures of each class
    assert all(natural > 0 and width > 0 for natural, width in shown)
    for width in (1280, 390):
        page.set_window_size(width, 900)
        assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    page.set_window_size(1280, 900)


def test_on_the_command_line_synthetic_strips_are_drawn(steel, tmp_path):
    root = tmp_path / "2026_01_31 ü"
    result = steel(
        "explore",
        *("data=synthetic", "data.synthetic.num_images=8", "+data.synthetic.size=[64,128]", "data.image_size=[64,128]"),
        *(f"data.root={root}", "title=Strips, drawn: 1"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "8 images" in result.stdout
    assert "streaks" in result.stdout
    (page,) = tmp_path.glob("explorations/*/*/explore.html")
    assert page.name in result.stdout
    assert "<title>Strips, drawn: 1</title>" in page.read_text()
    assert {f"{name}.csv" for name in TABLES} < {path.name for path in page.parent.iterdir()}


def test_a_missing_folder_has_one_clear_error(steel, tmp_path):
    result = steel("explore", "data.root=nowhere", cwd=tmp_path)
    assert result.returncode == 2
    assert "the data root nowhere does not exist" in result.stderr
    assert "data=synthetic" in result.stderr
    assert "Traceback" not in result.stderr


def test_all_settings_that_make_no_sense_are_told_at_once(tiny_root, tmp_path):
    wrong = ["data.size=[100,100]", "data.classes=[]", "data.image_size=7", "data.csv=1", "sheet=-1", "twins=3"]
    with pytest.raises(UserError) as caught:
        explore(given(tiny_root, *wrong, "title="), tmp_path)
    assert sorted(str(caught.value).splitlines()) == [
        "data.classes=[]: a list with one name for each class, all different, without slashes",
        "data.csv=1: a path",
        "data.image_size=7: [height, width] in pixels, or null for any",
        "data.size=[100,100]: [height, width] in pixels, multiples of 16 (the net's output stride)",
        "sheet=-1: a whole number, 0 or more",
        "title=: a text",
        "twins=3: true or false",
    ]


def test_labels_of_which_nothing_can_be_read_stop_it_with_their_fault(copied, steel, tmp_path):
    (copied / "train.csv").write_text("ImageId,EncodedPixels\na.jpg,1 2\n")
    result = steel("explore", f"data.root={copied}", "data.image_size=null", "hydra.run.dir=out", cwd=tmp_path)
    assert result.returncode == 2
    assert "train.csv" in result.stderr
    assert "Traceback" not in result.stderr
    assert read(tmp_path / "out", "faults")["file"].tolist() == ["train.csv"]
