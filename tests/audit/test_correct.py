"""From a reviewed audit to a corrected label file: what is read, what is refused, what is written."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from steel_defects.audit.correct import correct, corrected_labels, write_corrected
from steel_defects.audit.finding import Finding, ranked, table
from steel_defects.audit.review import CUT, Change, Review, read_review
from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.catalog import load_catalog
from steel_defects.data.exclude import read_excluded
from steel_defects.data.labels import mask_codes
from steel_defects.data.rle import encode

CLASSES = ("scratch", "patch", "pit")
SIZE = (4, 6)
SIZES = {"a.png": SIZE, "b.png": SIZE, "c.png": (300, 300)}
HEADER = "ImageId,verdict,class_id,suggested_class_id,marked,suggested"


def read(path: Path) -> Review:
    return read_review(path, [*SIZES, "broken.png"], SIZES, CLASSES)


@pytest.fixture
def review(tmp_path):
    """Write a reviewed table, read it."""

    def write_and_read(content: str | bytes) -> Review:
        path = tmp_path / "audit.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path)

    return write_and_read


@pytest.fixture
def faults(review):
    """The faults of a reviewed table, as (row, message)."""

    def of(content: str | bytes) -> list[tuple[int | None, str]]:
        with pytest.raises(DataFaults) as caught:
            review(content)
        assert all(fault.file.endswith("audit.csv") for fault in caught.value.faults)
        return [(fault.row, fault.message) for fault in caught.value.faults]

    return of


def test_verdicts_are_sorted_out(review):
    found = review(
        f"{HEADER}\na.png,accept,1,2,1 2,1 2\na.png,,9,9,x,x\nb.png,keep,,,,\nb.png,exclude,9,,?,\n"
        "a.png,accept,,3,,9 1\nc.png,,,,,\n"
    )
    assert found.accepted == {"a.png": [Change(2, 1, 2, "1 2", "1 2"), Change(6, 0, 3, "", "9 1")]}
    assert found.excluded == {"b.png"}
    assert found.verdicts == {"accept": 2, "": 2, "keep": 1, "exclude": 1}
    assert read_excluded(found.path, SIZES) == found.excluded


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEADER.encode() + b"\r\na.png,accept,1,2,1 2,5 2\r\n",
        HEADER.encode() + b"\ra.png,accept,1,2,1 2,5 2",
        HEADER.encode() + b"\n a.png , ACCEPT ,1.0, 2.,  1 2,5 2 \n\n,,,,,\n",
        b"note,suggested,marked,rank,suggested_class_id,class_id,verdict,ImageId\n,5 2,1 2,1,2.00,1,Accept,a.png\n",
        b'"' + HEADER.replace(",", '","').encode() + b'"\n"a.png","accept","1","2","1 2","5 2"\n',
        HEADER.encode() + b",note,\na.png,accept,1,2,1 2,5 2\n",
        HEADER.encode() + b'\na.png,accept,1,2,1 2,"5\n2"\n',
    ],
    ids=["bom-crlf", "cr", "blanks", "order", "quoted", "short-rows", "lines-in-a-cell"],
)
def test_what_spreadsheets_do_to_a_table(review, content):
    [change] = review(content).accepted["a.png"]
    assert (change.row, change.class_id, change.suggested_id, change.marked) == (2, 1, 2, "1 2")
    assert change.suggested.split() == ["5", "2"]


def test_empty_cells_at_the_end_of_a_row_may_be_missing(review):
    found = review(f"{HEADER}\na.png,accept,1,,1 2\nb.png,exclude\nb.png\n")
    assert found.accepted == {"a.png": [Change(2, 1, 0, "1 2", "")]}
    assert found.verdicts == {"accept": 1, "exclude": 1, "": 1}


BAD_ROWS = {
    "verdict": ("a.png,yes,,,,", ["unknown verdict 'yes'", "keep, accept, exclude"]),
    "image": ("x.png,,,,,", ["image 'x.png' is not in the data set"]),
    "image without a file": ("broken.png,accept,,1,,1 1", ["broken.png cannot be read"]),
    "class is a word": ("a.png,accept,one,2,1 2,1 2", ["class_id 'one' is not a whole number"]),
    "class is a fraction": ("a.png,accept,1.5,2,1 2,1 2", ["class_id '1.5'"]),
    "class below": ("a.png,accept,-1,2,1 2,1 2", ["class_id '-1'"]),
    "class beyond": ("a.png,accept,1,4,1 2,1 2", ["suggested_class_id 4 is outside 1 to 3", "data.classes"]),
    "no code": ("a.png,accept,1,2,1 x,1 2", ["marked: 'x' is not a whole number"]),
    "odd code": ("a.png,accept,1,2,1 2,1 2 3", ["suggested: odd count"]),
    "code beyond": ("a.png,accept,1,2,1 2,24 2", ["suggested: run 24 2 ends beyond the image of 4x6 pixels"]),
    "class without code": ("a.png,accept,1,2,,1 2", ["class_id is given, marked is empty"]),
    "code without class": ("a.png,accept,1,,1 2,1 2", ["suggested is given, suggested_class_id is not"]),
    "nothing": ("a.png,accept,,,,", ["neither marks nor suggests"]),
    "cells": ("a.png,accept,1,2,1 2,1 2,more", ["has 7 cells, the header has 6"]),
    "quote": ('"a"b.png,accept,1,2,1 2,1 2', ["is not CSV"]),
}


@pytest.mark.parametrize(("row", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row(faults, row, words):
    [(line, message)] = faults(f"{HEADER}\nb.png,accept,,1,,1 1\n{row}\nb.png,keep,,,,\n")
    assert line == 3
    assert all(word in message for word in words)


def test_all_faults_at_once(faults):
    lines = [row for row, _ in BAD_ROWS.values()]
    contradiction = "b.png,accept,,1,,1 2\nb.png,accept,,2,,2 2\n"
    found = faults(f"{HEADER}\n" + "\n".join(lines) + "\n" + contradiction + "a.png,accept,7,8,1,2\n")
    last = len(lines) + 2
    assert [row for row, _ in found] == [*range(2, last), last + 1, *[last + 2] * 4]


def test_rows_that_give_a_pixel_to_two_classes(faults, review):
    rows = "a.png,accept,1,2,1 2,1 3\nb.png,accept,,1,,1 3\na.png,accept,,3,,3 4\na.png,accept,,2,,3 1\n"
    found = faults(f"{HEADER}\n{rows}")
    assert [row for row, _ in found] == [4, 5]
    assert found[0][1] == "image a.png: gives 1 pixel to pit, and row 2 to patch; accept one of the two"
    assert "row 4 to pit" in found[1][1]
    # The same class twice, or one that takes away what the other draws, is none.
    sound = "a.png,accept,1,2,1 2,1 3\na.png,accept,,2,,3 4\na.png,accept,1,,1 2,\n"
    assert len(review(f"{HEADER}\n{sound}").accepted["a.png"]) == 3


def test_cells_that_a_spreadsheet_cut(faults, review):
    whole = " ".join(f"{start} 1" for start in range(10_001, 60_000, 2))
    assert len(whole) > 131_072  # what the csv module takes by itself
    image = f"{HEADER},suggested_px\nc.png,accept,,1,,%s,%s\n"
    assert review(image % (whole, 25_000)).accepted["c.png"][0].suggested == whole
    broken = ("1 1 " + whole)[:CUT]
    [(row, message)] = faults(image % (broken, 25_001))
    assert row == 2
    assert message.startswith("suggested: odd count")
    assert "exactly 32,767 characters, where spreadsheets cut" in message
    # What is left may well be a code; only its pixels tell whether it is all of it.
    left = whole[:CUT]
    assert left.count(" 1 ") == 4_095
    assert left.endswith(" 1")
    for pixels in (25_000, ""):
        [(_, message)] = faults(image % (left, pixels))
        assert "exactly 32,767 characters" in message
    assert review(image % (left, 4_096)).accepted["c.png"][0].suggested == left


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b"ImageId,verdict,marked\n", ["columns class_id, suggested_class_id, suggested missing", "ImageId,verdict"]),
        (HEADER.replace(",", ";").encode() + b"\na.png;accept;1;2;1 2;1 2\n", ["by semicolons", "with commas"]),
        (HEADER.replace(",", "\t").encode() + b"\n", ["separated by tabs"]),
        (HEADER.encode() + b",marked\n", ["names marked more than once"]),
        (HEADER.encode() + b"\nM\xfcll.png,,,,,\n", ["is not UTF-8 text", "in UTF-8"]),
        (b'"ImageId\n', ["is not CSV"]),
    ],
)
def test_file_that_cannot_be_used_is_one_fault(faults, content, words):
    [(row, message)] = faults(content)
    assert row is None
    assert all(word in message for word in words)


def test_missing_file(tmp_path):
    with pytest.raises(DataFaults, match=r"audit\.csv: does not exist"):
        read(tmp_path / "audit.csv")


def model(mask: np.ndarray, rows: list[tuple[int, np.ndarray, int, np.ndarray]]) -> np.ndarray:
    """What applying is: class taken and its pixels; class drawn where nothing is left, and its pixels."""
    new = mask.copy()
    for c, marked, _, _ in rows:
        new[marked & (mask == c)] = 0
    free = new == 0
    for _, _, s, suggested in rows:
        new[suggested & free] = s
    return new


def apply(rows: dict[str, list[tuple[int, np.ndarray, int, np.ndarray]]], labels: dict, sizes=SIZES, excluded=()):
    """What `corrected_labels` makes of accepted rows."""
    accepted = {
        image: [Change(2 + k, c, s, encode(marked), encode(drawn)) for k, (c, marked, s, drawn) in enumerate(changes)]
        for image, changes in rows.items()
    }
    review = Review(Path("audit.csv"), accepted, frozenset(excluded), {})
    return corrected_labels(review, labels, sizes, CLASSES, Path("train.csv"))


@pytest.mark.parametrize("seed", range(20))
def test_applying_is_taking_away_and_drawing(seed):
    rng = np.random.default_rng(seed)
    size = tuple(int(n) for n in rng.integers(3, 12, 2))
    mask = rng.integers(0, 4, size).astype(np.uint8)
    rows = []
    for drawn_class in (0, 1, 0, 3):
        c = int(rng.integers(1, 4)) if (mask > 0).any() else 0
        marked = (mask == c) & (rng.random(size) < 0.6)
        c = c if marked.any() else 0
        drawn = (rng.integers(0, 2, size) == min(drawn_class, 1)) & (np.indices(size)[0] % 4 == drawn_class)
        rows.append((c, marked & (c > 0), drawn_class, drawn & (drawn_class > 0)))
    expected = model(mask, rows)
    for order in (rows, rows[::-1]):
        found = apply({"a": order}, {"a": mask_codes(mask)}, {"a": size})
        if np.array_equal(mask, expected):
            assert found == {}
            continue
        assert found["a"] == {c: encode(expected == c) for c in range(1, 4) if (expected == c).any()}


def test_a_review_of_other_labels():
    inside, half, nothing = np.zeros((3, *SIZE), bool)
    inside[1:3, 1:4], half[1:3, [1, 3]] = True, True
    rows = {"a.png": [(1, inside, 0, nothing), (2, inside, 1, inside)], "b.png": [(1, inside, 2, inside)]}
    with pytest.raises(DataFaults) as caught:
        apply(rows, {"a.png": {1: encode(inside)}, "b.png": {1: encode(half)}}, excluded=["c.png"])
    assert list(map(str, caught.value.faults)) == [
        "audit.csv, row 2: image b.png: 2 of 6 marked pixels are not scratch in train.csv",
        "audit.csv, row 3: image a.png: 6 of 6 marked pixels are not patch in train.csv",
    ]
    assert "labels other than train.csv" in str(caught.value)


def test_what_is_drawn_as_it_was_or_excluded_is_no_change():
    inside = np.ones(SIZE, bool)
    inside[0] = False
    assert apply({"a.png": [(2, inside, 2, inside)]}, {"a.png": {2: encode(inside)}}) == {}
    new = {"a.png": [(0, inside & False, 1, inside)]}
    assert apply(new, {}, excluded=["a.png"]) == {}
    assert apply(new, {}) == {"a.png": {1: encode(inside)}}


DEFECT_ROWS = """note,EncodedPixels,ClassId,ImageId
first,1 2,1,a.png
,5 1,3,b.png

"x, ""y"" z",9 2,2,a.png
,"7 1
9 1",1,c.png
last,3 1,1,b.png"""

ALL_ROWS = """ImageId_ClassId,EncodedPixels,note
a.png_1,1 2,first
a.png_2,9 2,"x, y"
a.png_3,,
b_1.png_1,,
b_1.png_2,,
b_1.png_3,5 1,last
"""


@pytest.fixture
def write(tmp_path):
    """Correct a label file, and return what is written."""

    def correct(source: bytes, changed: dict, excluded=()) -> bytes:
        (tmp_path / "train.csv").write_bytes(source)
        write_corrected(tmp_path / "train.csv", tmp_path / "new" / "corrected.csv", changed, excluded, 3)
        assert (tmp_path / "train.csv").read_bytes() == source
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["corrected.csv"]
        return (tmp_path / "new" / "corrected.csv").read_bytes()

    return correct


VARIANTS = {
    "lf": lambda text: text.encode(),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
}


@pytest.mark.parametrize("source", [DEFECT_ROWS, DEFECT_ROWS + "\n", ALL_ROWS, ALL_ROWS.rstrip()])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_nothing_changed_is_the_same_file(write, source, variant):
    assert write(variant(source), {}) == variant(source)
    assert write(variant(source), {"a.png": {3: "1 1"}}, excluded=["a.png"]) == variant(source)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_defect_rows(write, variant):
    changed = {"a.png": {2: "9 2", 3: "1 1"}, "c.png": {}, "d.png": {1: "4 2", 2: "8 1"}}
    expected = """note,EncodedPixels,ClassId,ImageId
"x, ""y"" z",9 2,2,a.png
,1 1,3,a.png
,5 1,3,b.png

last,3 1,1,b.png
,4 2,1,d.png
,8 1,2,d.png"""
    assert write(variant(DEFECT_ROWS), changed) == variant(expected)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_all_rows(write, variant):
    changed = {"b_1.png": {1: "7 2"}, "d.png": {2: "4 2"}, "e.png": {}}
    expected = """ImageId_ClassId,EncodedPixels,note
a.png_1,1 2,first
a.png_2,9 2,"x, y"
a.png_3,,
b_1.png_1,7 2,
b_1.png_2,,
b_1.png_3,,
d.png_2,4 2,
"""
    assert write(variant(ALL_ROWS), changed) == variant(expected)


def test_the_last_rows_may_go(write):
    assert write(DEFECT_ROWS.encode(), {"b.png": {}, "c.png": {}}).decode().splitlines() == [
        "note,EncodedPixels,ClassId,ImageId",
        "first,1 2,1,a.png",
        "",
        '"x, ""y"" z",9 2,2,a.png',
    ]
    header = b"ImageId,ClassId,EncodedPixels"
    assert write(header, {}) == header
    assert write(header, {"a.png": {1: "1 2"}}) == header + b"\na.png,1,1 2"


def test_a_label_written_in_another_way_stays(write):
    source = b"ImageId,ClassId,EncodedPixels\na.png,1, 1 2  3 4\na.png,2,9 1\n"
    assert write(source, {"a.png": {1: "1 6", 2: "10 1"}}) == source.replace(b"9 1", b"10 1")


def test_names_are_quoted_where_they_must_be(write):
    text = write(b'ImageId,ClassId,EncodedPixels\n"a,b.png",1,1 2\n', {"a,b.png": {2: "1 1"}}).decode()
    assert list(csv.reader(io.StringIO(text)))[1] == ["a,b.png", "2", "1 1"]


def test_the_source_is_never_written_over(tmp_path):
    source = tmp_path / "train.csv"
    source.write_text(ALL_ROWS)
    (tmp_path / "link.csv").symlink_to(source)
    (tmp_path / "folder").mkdir()
    for target in (source, tmp_path / "folder" / ".." / "train.csv", tmp_path / "link.csv"):
        with pytest.raises(UserError, match="is the label file itself"):
            write_corrected(source, target, {"a.png": {}}, (), 3)
    assert source.read_text() == ALL_ROWS


@pytest.mark.parametrize(
    ("source", "words"),
    [(None, "does not exist"), ("ImageId\n", "missing"), ("ImageId,ClassId,EncodedPixels\na.png,4,1 1\n", "row 2")],
)
def test_a_source_that_cannot_be_read(tmp_path, source, words):
    if source is not None:
        (tmp_path / "train.csv").write_text(source)
    with pytest.raises(DataFaults, match=words):
        write_corrected(tmp_path / "train.csv", tmp_path / "new.csv", {}, (), 3)
    assert not (tmp_path / "new.csv").exists()


def made_up(k: int, rng: np.random.Generator) -> tuple[np.ndarray, list]:
    """The labels of an image, and its accepted rows as `model` takes them, of another kind in each quarter."""
    quarter = np.indices((16 + k, 36 + 4 * (k % 3)))[1] // 11
    nothing, some = np.zeros(quarter.shape, bool), rng.random(quarter.shape) < 0.5
    mask = (np.array([1, 1, 2, 3])[quarter] * (rng.random(quarter.shape) < 0.4)).astype(np.uint8)
    if k % 4 == 1:  # clean
        mask[...] = 0
    missing = (0, nothing, 2, (quarter == 0) & some)
    unseen = (1, (mask == 1) & (quarter == 1), 0, nothing)
    another_class = (2, mask == 2, 3, mask == 2)
    moved = (3, mask == 3, 3, (quarter == 3) & some)
    all_goes = [(c, mask == c, 0, nothing) for c in (1, 2, 3)]
    return mask, [[missing, unseen, another_class, moved], [missing], [], all_goes][k % 4]


@pytest.mark.parametrize("layout", ["defect_rows", "all_rows"])
@pytest.mark.parametrize("separate", [False, True], ids=["one-reading", "through-pandas"])
def test_from_findings_to_corrected_labels(settings, tmp_path, caplog, layout, separate):
    """All accepted but of one image, which is excluded; the corrected data set has the masks that numpy makes."""
    choice = settings().data.changed({"root": str(tmp_path), "classes": CLASSES, "image_size": None})
    rng = np.random.default_rng(5)
    (tmp_path / "train_images").mkdir()
    masks, expected, findings, lines = {}, {}, [], []
    for k in range(12):
        image, (mask, rows) = f"s_{k}.png", made_up(k, rng)
        masks[image], expected[image] = mask, model(mask, rows)
        for c, marked, s, drawn in rows:
            parts = c, s, 0.5, encode(marked), encode(drawn), marked.sum(), drawn.sum()
            findings.append(Finding(image, mask.shape, "class", float(rng.random()), "Why, then?", *parts))
        codes = mask_codes(mask)
        if layout == "all_rows":
            lines += [f"{image}_{c},{codes.get(c, '')},{k}" for c in (1, 2, 3)]
        else:
            lines += [f"{image},{c},{code},{k}" for c, code in codes.items()]
        cv2.imwrite(str(tmp_path / "train_images" / image), rng.integers(0, 256, mask.shape, dtype=np.uint8))
    header = "ImageId_ClassId,EncodedPixels,n" if layout == "all_rows" else "ImageId,ClassId,EncodedPixels,n"
    (tmp_path / "train.csv").write_text("\n".join([header, *lines]) + "\n")

    audit = table(ranked(findings), CLASSES).to_csv(index=False)
    reviewed = pd.read_csv(io.StringIO(audit), dtype=None if separate else str)
    reviewed.to_csv(tmp_path / "audit.csv", index=False)
    with pytest.raises(UserError, match="no row with the verdict accept or exclude"):
        correct(tmp_path / "audit.csv", None, tmp_path / "new", choice)
    assert not (tmp_path / "new").exists()
    reviewed["verdict"] = "accept"
    reviewed.loc[reviewed.ImageId == "s_0.png", "verdict"] = "exclude"
    reviewed.to_csv(tmp_path / "audit.csv", index=False)

    with caplog.at_level(logging.INFO):
        assert correct(tmp_path / "audit.csv", None, tmp_path / "new", choice) == tmp_path / "new" / "train.csv"
    changed = [image for image in masks if image != "s_0.png" and (masks[image] != expected[image]).any()]
    assert caplog.messages == [
        f"{len(changed)} images with changed labels: {tmp_path}/new/train.csv",
        f"To use it: python -m steel_defects.train data=synthetic data.root={tmp_path} data.image_dir=train_images "
        f"'data.classes=[scratch,patch,pit]' data.image_size=null data.csv={tmp_path}/new/train.csv "
        f"data.exclude={tmp_path}/audit.csv",
    ]

    options = {"csv": "new/train.csv", "num_classes": 3, "progress": False}
    after = load_catalog(tmp_path, **options, exclude=tmp_path / "audit.csv")
    assert after.dropped == {"s_0.png"}
    for sample in after.samples:
        np.testing.assert_array_equal(sample.mask(), expected[sample.image_id], sample.image_id)
    assert len(after.samples) == 11
    [kept] = [sample for sample in load_catalog(tmp_path, **options).samples if sample.image_id == "s_0.png"]
    np.testing.assert_array_equal(kept.mask(), masks["s_0.png"])

    old, new = (pd.read_csv(tmp_path / name, dtype=str) for name in ("train.csv", "new/train.csv"))
    assert list(old) == list(new)
    names = [f.iloc[:, 0].str.replace(r"\.png_[123]$", ".png", regex=True) for f in (old, new)]
    same = [frame[~name.isin(changed)].reset_index(drop=True) for frame, name in zip((old, new), names, strict=True)]
    pd.testing.assert_frame_equal(*same)
    if layout == "all_rows":
        assert old.iloc[:, 0].tolist() == new.iloc[:, 0].tolist()
