"""The page of an exploration: its findings, sections, tables and pictures, of small sets made up for the purpose."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from steel_defects.data.catalog import load_catalog
from steel_defects.data.rle import encode
from steel_defects.data.twins import orient
from steel_defects.explore.assemble import assemble
from steel_defects.explore.collect import Exploration
from steel_defects.page.content import Report, Section

pytestmark = pytest.mark.slow

SIZE = (96, 96)
CLASSES = ["pits", "streaks", "patches"]


def square(side: int, x: int = 0, y: int = 0) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def picture(seed: int, size=SIZE) -> np.ndarray:
    """Texture that no other seed has."""
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(40, 220, (24, 24), dtype=np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def look(write, explore):
    """Explore pictures with labels, by image and class."""

    def look(root: Path, labels: Mapping[str, Mapping[int, np.ndarray]], pictures: Mapping | None, **changes):
        rows = [f"{name},{c},{encode(mask)}" for name, masks in labels.items() for c, mask in masks.items()]
        return explore(write(root, rows, pictures), **{"classes": CLASSES} | changes)

    return look


def page(found: Exploration, **changes) -> Report:
    return assemble(found, "What is there", {"Data": "made up"}, **changes)


def section(report: Report, name: str) -> Section:
    (one,) = (section for section in report.sections if section.name == name)
    return one


@pytest.fixture(scope="module")
def found(tmp_path_factory, look) -> Exploration:
    """20 pits of rising size, streaks that go with three of them, no patches, two clean images."""
    labels = {f"p{k:02}.png": {1: square(k + 1, 9, 9)} for k in range(20)}
    for k in (3, 4, 5):
        labels[f"p{k:02}.png"][2] = square(6, 60, 60) | square(5, 80, 80)
    pictures = {name: picture(k) for k, name in enumerate([*labels, "x.png", "y.png"])}
    return look(tmp_path_factory.mktemp("data"), labels, pictures)


def test_findings_are_the_counts(found):
    pixels = sum((k + 1) ** 2 for k in range(20))
    streaks = 3 * (36 + 25)
    vanished = int((found.segments["resized_px"] == 0).sum())
    assert vanished == 1  # the pit of one pixel: of every three lines, the middle one is kept
    assert page(found).findings == [
        "22 images, 20 with a defect; 23 defect regions.",
        "No fault in labels and images.",
        f"pits has 87.0 % of the regions; streaks {100 * streaks / (pixels + streaks):.1f} % of the defect area.",
        "No image shows patches.",
        "3 images show more than one class.",
        "1 segment of pits vanishes at 32x32, and of 1 region nothing is left.",
        "No twins: no picture occurs twice.",
    ]


def test_every_section_is_there_in_order(found):
    report = page(found)
    names = ["classes", "images", "segments", "places", "resize", "twins", "faults", "contact"]
    assert [section.name for section in report.sections] == names
    drawn = [chart.name for section in report.sections for chart in section.charts]
    assert drawn == [
        *("class_shares", "classes_per_image", "brightness"),
        *("segments_per_region", "segment_sizes", "heat_maps", "survival"),
    ]
    assert report.omissions == []
    for sheet in (sheet for section in report.sections for sheet in (*section.sheets, *section.details)):
        assert all(len(line) == len(sheet.headings) for line in sheet.lines)
        assert all(isinstance(text, str) and text != "nan" for line in sheet.lines for text in line)


def test_tables_have_the_numbers(found):
    report = page(found)
    table, together = section(report, "classes").sheets
    assert table.headings[:4] == ["class", "regions", "% of regions", "defect pixels"]  # no paper: other classes
    assert [line[:3] for line in table.lines] == [
        ["pits", "20", "87.0 %"],
        ["streaks", "3", "13.0 %"],
        ["patches", "0", "0 %"],
        ["all", "23", ""],
    ]
    assert together.lines == [["pits", "20", "3", "0"], ["streaks", "3", "3", "0"], ["patches", "0", "0", "0"]]
    (pieces,) = section(report, "segments").sheets
    assert [line[:3] for line in pieces.lines] == [
        ["pits", "20", "0 %"],
        ["streaks", "6", "100 %"],
        ["patches", "0", "-"],
    ]
    left, gone = section(report, "resize").sheets
    assert left.lines[0][:5] == ["pits", "95.0 %", "1", "95.0 %", "1"]
    assert gone.lines == [["p00.png", "pits", "1"]]


def test_facts_name_size_and_the_hash_of_training(found, tmp_path):
    facts = page(found).facts
    assert facts["Size of the images"] == "96x96"
    assert facts["Training size"] == "32x32"
    root = found.survey.paths["x.png"].parents[1]
    assert facts["Data hash"] == load_catalog(root, num_classes=3, progress=False).data_hash


def test_contact_sheets_go_from_the_smallest_to_the_largest(found):
    pits, streaks = section(page(found, sheet=5), "contact").comparisons
    assert (pits.name, streaks.name) == ("class-1", "class-2")
    assert [shown.image_id for shown in pits.pictures] == [f"p{k:02}.png" for k in (0, 5, 10, 14, 19)]
    assert pits.note == "5 of 20 images, from the smallest area of pits to the largest."
    assert pits.pictures[0].caption == "1 pixel, 0.01 % of the image"
    assert pits.pictures[1].caption == "pits: 36 pixels, 0.39 % of the image"  # it shows streaks, too
    assert list(pits.pictures[1].classes) == ["pits", "streaks"]
    assert streaks.note == "3 images, from the smallest area of streaks to the largest."
    assert streaks.pictures[0].caption == "streaks: 61 pixels, 0.66 % of the image, 2 segments"
    assert "contact" not in [section.name for section in page(found, sheet=0).sections]


def test_an_image_that_is_gone_by_now_is_named(tmp_path, look):
    labels = {"a.png": {1: square(9)}, "b.png": {1: square(8)}}
    found = look(tmp_path, labels, {"a.png": picture(1), "b.png": picture(2)})
    (tmp_path / "train_images" / "a.png").unlink()
    report = page(found)
    assert [str(omission) for omission in report.omissions] == ["a.png: does not exist; not shown"]
    assert [shown.image_id for shown in section(report, "contact").comparisons[0].pictures] == ["b.png"]


def pixels(uri: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("orientation", ["same", "turned by 90", "mirrored up-down"])
def test_twins_that_disagree_are_shown_alike(tmp_path, look, orientation):
    """Same picture, one turned; of the labels, one has lost a corner."""
    image, mask = picture(7), square(20, 8, 30)
    smaller = mask.copy()
    smaller[:40] = False
    labels = {"a.png": {1: mask}, "b.png": {1: orient(smaller, orientation)}}
    found = look(tmp_path, labels, {"a.png": image, "b.png": orient(image, orientation)})
    report = page(found)
    assert report.findings[-1] == "1 pair of twins; its labels disagree."
    twins = section(report, "twins")
    (line,) = twins.sheets[0].lines
    assert line[:6] == ["a.png", "b.png", orientation, "1.000", "differ", "0.500"]
    (pair,) = twins.comparisons
    first, second = pair.pictures
    assert (pixels(first.image) == pixels(second.image)).all()
    np.testing.assert_array_equal(pixels(second.image).shape, SIZE)
    assert pixels(first.truth).shape == pixels(second.truth).shape
    assert (pixels(first.truth) != pixels(second.truth)).any()
    # Where the second is labelled, so is the first: their outlines share the sides of the corner that is left.
    outlines = [pixels(one.truth)[..., 3] > 0 for one in (first, second)]
    assert (outlines[0] & outlines[1]).sum() > 20
    assert ("turned" in pair.note or "mirrored" in pair.note) == (orientation != "same")
    assert first.caption == ("" if orientation == "same" else f"here {orientation}")


def test_of_many_twins_the_worst_are_shown_and_all_are_listed(tmp_path, look):
    labels, pictures = {}, {}
    for k in range(4):
        for copy, side in (("a", 20), ("b", 19 - 3 * k)):
            labels[f"{k}{copy}.png"], pictures[f"{k}{copy}.png"] = {1: square(side)}, picture(k)
    twins = section(page(look(tmp_path, labels, pictures), sheet=2), "twins")
    shown = [(pair.name, pair.title) for pair in twins.comparisons]
    assert shown == [("pair-1", "3a.png and 3b.png"), ("pair-2", "2a.png and 2b.png")]
    assert [line[0] for line in twins.sheets[0].lines] == ["3a.png", "2a.png", "1a.png", "0a.png"]
    assert "Shown are 2 of the 3 pairs" in twins.notes[1]


def test_twins_that_were_not_looked_for_are_not_denied(found):
    report = page(replace(found, looked_for_twins=False))
    assert "twins" not in [section.name for section in report.sections]
    assert not any("twin" in finding for finding in report.findings)


@pytest.mark.parametrize(("count", "folded"), [(40, False), (41, True)])
def test_many_faults_are_folded_away(tmp_path, write, explore, count, folded):
    rows = [f"a.png,1,{encode(square(5))}", *(f"a.png,{4 + k},1 1" for k in range(count))]
    report = page(explore(write(tmp_path, rows, {"a.png": picture(0)}), classes=CLASSES))
    faults = section(report, "faults")
    (table,) = faults.details if folded else faults.sheets
    assert not (faults.sheets if folded else faults.details)
    assert len(table.lines) == count
    assert table.lines[0][:2] == ["train.csv", "3"]
    assert "ClassId 4 is outside 1 to 3" in table.lines[0][2]
    assert f"{count} faults: training would refuse this data until they are mended." in report.findings
    assert "Data hash" not in report.facts


def test_clean_images_alone_have_a_page(tmp_path, look):
    report = page(look(tmp_path, {}, {"a.png": picture(0), "b.png": picture(1)}))
    assert report.findings[0] == "2 images, 0 with a defect; 0 defect regions."
    assert [section.name for section in report.sections] == ["classes", "images", "twins", "faults"]


@pytest.mark.parametrize("image_size", [SIZE, None])
def test_labels_alone_have_a_page(tmp_path, look, image_size):
    labels = {"a.png": {1: square(5), 2: square(9, 40)}, "b.png": {1: square(3)}}
    report = page(look(tmp_path, labels, None, image_size=image_size))
    assert report.findings[0] == "2 images with a defect; 3 defect regions. Clean images are not listed."
    assert "There is no folder train_images/" in str(report.omissions[0])
    names = [section.name for section in report.sections]
    if image_size:
        assert names == ["classes", "images", "segments", "places", "resize", "faults"]
        assert report.facts["Size of the images, as set"] == "96x96"
    else:
        assert names == ["classes", "faults"]
        assert [line[1] for line in section(report, "classes").sheets[0].lines] == ["2", "1", "0", "3"]


def test_severstals_classes_have_the_papers_numbers_beside_them(tmp_path, look):
    names = ["class_1", "class_2", "class_3", "class_4"]
    found = look(tmp_path, {"a.png": {1: square(5)}}, {"a.png": picture(0)}, classes=names)
    table = section(page(found), "classes").sheets[0]
    shares = [(line[3], line[6]) for line in table.lines[:4]]
    assert table.headings[3] == table.headings[6] == "paper"
    assert shares == [("12.6 %", "2.39 %"), ("3.48 %", "0.51 %"), ("73 %", "-"), ("11.3 %", "17 %")]


def test_findings_of_one_of_each(tmp_path, write, explore):
    rows = [f"a.png,1,{encode(square(20))}", f"a.png,2,{encode(square(9, 40))}", "b.png,1,1 2", "b.png,1,9 2"]
    root = write(tmp_path, rows, {"a.png": picture(0)})
    (root / "train_images" / "b.png").write_bytes(b"")
    report = page(explore(root, classes=CLASSES))
    assert report.findings[1:5] == [
        "2 faults: training would refuse this data until they are mended. 1 of them is of an image that "
        "data.on_bad=skip would leave out.",
        "pits has 66.7 % of the regions; streaks 16.8 % of the defect area.",
        "No image shows patches.",
        "1 image shows more than one class.",
    ]
    assert report.omissions[-1].reason == "1 row is left out of all numbers: see the faults."
