"""Both layouts of the label file, and every fault one can have."""

from __future__ import annotations

import numpy as np
import pytest

from steel_defects.data.labels import label_mask, read_annotations
from steel_defects.data.rle import RLEError

HEADER = "ImageId,ClassId,EncodedPixels\n"
OLD_HEADER = "ImageId_ClassId,EncodedPixels\n"


@pytest.fixture
def read(tmp_path):
    """Write a label file, read it with four classes."""

    def write_and_read(content: str | bytes):
        path = tmp_path / "train.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_annotations(path, 4)

    return write_and_read


def codes(annotations):
    return {image: {c: label.rle for c, label in labels.items()} for image, labels in annotations.rows.items()}


def test_defect_rows(read):
    annotations, faults = read(HEADER + "b.jpg,3,1 2\na.jpg,1,5 1 9 2\nb.jpg,1,7 1\nc.jpg,2,\n")
    assert faults == []
    assert annotations.layout == "defect_rows"
    assert codes(annotations) == {"a.jpg": {1: "5 1 9 2"}, "b.jpg": {1: "7 1", 3: "1 2"}, "c.jpg": {}}
    assert annotations.rows["b.jpg"][1].row == 4
    assert annotations.lines["b.jpg"] == [2, 4]


def test_all_rows_with_underscores_in_names(read):
    annotations, faults = read(OLD_HEADER + "my_a_2.jpg_1,\nmy_a_2.jpg_2,1 2\nb.jpg_1,\nb.jpg_2,\n")
    assert faults == []
    assert annotations.layout == "all_rows"
    assert codes(annotations) == {"my_a_2.jpg": {2: "1 2"}, "b.jpg": {}}
    assert annotations.rows["my_a_2.jpg"][2].row == 3


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfImageId,ClassId,EncodedPixels\na.jpg,3,1 2\n",
        b"ImageId,ClassId,EncodedPixels\r\na.jpg,3,1 2\r\n",
        b"ImageId,ClassId,EncodedPixels\ra.jpg,3,1 2\r",
        b"ImageId,ClassId,EncodedPixels\na.jpg,3,1 2",
        b'"ImageId","ClassId","EncodedPixels"\n"a.jpg","3","1 2"\n',
        b"EncodedPixels,ImageId,ClassId\n1 2,a.jpg,3\n",
        b"split,EncodedPixels,ClassId,note,ImageId\n0,1 2,3,x,a.jpg\n",
        b" ImageId , ClassId,EncodedPixels\n a.jpg , 3, 1 2 \n",
        b"EncodedPixels,ImageId_ClassId\n1 2,a.jpg_3\n",
    ],
    ids=["bom", "crlf", "cr", "no-last-newline", "quoted", "order", "extra-columns", "blanks", "old-order"],
)
def test_ways_of_writing_the_same(read, content):
    annotations, faults = read(content)
    assert faults == []
    assert codes(annotations) == {"a.jpg": {3: "1 2"}}
    assert annotations.rows["a.jpg"][3].row == 2


def test_rows_are_lines_of_the_file(read):
    annotations, faults = read(HEADER + '\na.jpg,1,"1 2\n5 2"\n,,\n  \nb.jpg,2,1 2\nb.jpg,9,1 2\n')
    assert annotations.rows["a.jpg"][1].row == 3
    assert annotations.rows["b.jpg"][2].row == 7
    assert [fault.row for fault in faults] == [8]


def test_code_longer_than_the_csv_module_allows(read):
    code = " ".join(f"{start} 1" for start in range(1, 100_000, 2))
    assert len(code) > 131_072
    annotations, faults = read(HEADER + f"a.jpg,1,{code}\n")
    assert faults == []
    assert annotations.rows["a.jpg"][1].rle == code


BAD_ROWS = {
    "few cells": ("a.jpg,1", ["2 cells", "header has 3"]),
    "many cells": ("a.jpg,1,1 2,", ["4 cells", "header has 3"]),
    "other layout, short": ("a.jpg_3,1 2", ["two layouts are mixed"]),
    "other layout, padded": ("a.jpg_3,,1 2", ["two layouts are mixed"]),
    "class is a word": ("a.jpg,three,1 2", ["'three' is not a whole number"]),
    "class is a fraction": ("a.jpg,1.0,1 2", ["'1.0' is not a whole number"]),
    "class is missing": ("a.jpg,,1 2", ["'' is not a whole number"]),
    "class in other digits": ("a.jpg,３,1 2", ["is not a whole number"]),
    "class 0": ("a.jpg,0,1 2", ["ClassId 0 is outside 1 to 4", "data.classes names 4 classes"]),
    "class -1": ("a.jpg,-1,1 2", ["ClassId -1 is outside"]),
    "class 5": ("a.jpg,5,1 2", ["ClassId 5 is outside"]),
    "parent": ("../x.jpg,1,1 2", ["'../x.jpg' is not a plain file name"]),
    "absolute": ("/abs.jpg,1,1 2", ["not a plain file name"]),
    "backslash": ("a\\b.jpg,1,1 2", ["not a plain file name"]),
    "no name": (",1,1 2", ["not a plain file name"]),
    "dot": (".,1,1 2", ["not a plain file name"]),
    "dots": ("..,1,1 2", ["not a plain file name"]),
    "odd code": ("a.jpg,1,1 2 3", ["odd count", "number 3 "]),
    "code of words": ("a.jpg,1,1 2 x 4", ["'x' is not a whole number", "number 3 "]),
    "unsorted code": ("a.jpg,1,9 2 1 2", ["not sorted", "number 3 "]),
    "stray quote": ('"a"b.jpg,1,1 2', ["is not CSV"]),
}


@pytest.mark.parametrize(("line", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row(read, line, words):
    annotations, faults = read(HEADER + f"good.jpg,2,1 2\n{line}\nlast.jpg,2,1 2\n")
    assert [(fault.file, fault.row, fault.image) for fault in faults] == [("train.csv", 3, None)]
    for word in words:
        assert word in faults[0].message
    assert codes(annotations) == {"good.jpg": {2: "1 2"}, "last.jpg": {2: "1 2"}}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.jpg,1 2", "does not end in an underscore and a class"),
        ("a_b.jpg,1 2", "does not end in an underscore and a class"),
        ("a.jpg_x,1 2", "does not end in an underscore and a class"),
        ("a.jpg_7,", "ClassId 7 is outside 1 to 4"),
        ("_3,1 2", "'' is not a plain file name"),
        ("a/b.jpg_3,1 2", "not a plain file name"),
        ("a.jpg,3,1 2", "two layouts are mixed"),
        ("a.jpg_1,1", "odd count"),
        ("a.jpg_1", "has 1 cell, the header has 2"),
        ("good.jpg_2,", "class 2 was already given in row 2"),
    ],
)
def test_bad_row_of_the_old_layout(read, line, words):
    annotations, faults = read(OLD_HEADER + f"good.jpg_2,1 2\n{line}\nlast.jpg_2,\n")
    assert [fault.row for fault in faults] == [3]
    assert words in faults[0].message
    assert codes(annotations) == {"good.jpg": {2: "1 2"}, "last.jpg": {}}


def test_nul_in_a_name(read):
    annotations, faults = read(HEADER + "a\0.jpg,1,1 2\nb.jpg,1,1 2\n")
    assert [fault.row for fault in faults] == [2]  # older versions of Python refuse it while reading the line
    assert list(annotations.rows) == ["b.jpg"]


def test_duplicates_name_the_first_row(read):
    annotations, faults = read(HEADER + "a.jpg,1,1 2\nb.jpg,1,1 2\na.jpg,1,5 2\na.jpg,01,\n")
    assert [fault.row for fault in faults] == [4, 5]
    assert all("image a.jpg, class 1 was already given in row 2" in fault.message for fault in faults)
    assert codes(annotations)["a.jpg"] == {1: "1 2"}


def test_all_faults_at_once(read):
    lines = [line for name, (line, _) in BAD_ROWS.items()]
    _, faults = read(HEADER + "\n".join(lines) + "\nz.jpg,1,1 2\nz.jpg,1,1 2\n")
    assert [fault.row for fault in faults] == [*range(2, 2 + len(lines)), 3 + len(lines)]


def test_unclosed_quote_is_one_fault_where_it_opens(read):
    annotations, faults = read(HEADER + 'a.jpg,1,1 2\nb.jpg,1,"1 2\nc.jpg,1,1 2\n')
    assert [fault.row for fault in faults] == [3]
    assert "is not CSV" in faults[0].message
    assert list(annotations.rows) == ["a.jpg"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty", "ImageId,ClassId,EncodedPixels", "ImageId_ClassId,EncodedPixels"]),
        (b"\n\n", ["is empty"]),
        (b"ImageId,EncodedPixels\na.jpg,1 2\n", ["column ClassId missing", "known layouts"]),
        (b"a.jpg,3,1 2\n", ["columns ImageId, ClassId, EncodedPixels missing", "known layouts"]),
        (b"ImageId_ClassId,Pixels\n", ["column EncodedPixels missing"]),
        (b"ImageId;ClassId;EncodedPixels\na.jpg;3;1 2\n", ["missing", "ImageId;ClassId;EncodedPixels"]),
        (b"ImageId,ClassId,ImageId_ClassId,EncodedPixels\n", ["mixes two layouts"]),
        (b"ImageId,ClassId,EncodedPixels,ImageId\n", ["names ImageId more than once"]),
        (b'"ImageId,ClassId\n', ["is not CSV"]),
        (b"\xff\xfeI\0m\0a\0g\0e\0", ["is not UTF-8 text", "byte 1"]),
        (b"ImageId,ClassId,EncodedPixels\n\x89PNG", ["is not UTF-8 text", "byte 31"]),
    ],
)
def test_file_that_cannot_be_used_is_one_fault(read, content, words):
    annotations, faults = read(content)
    assert len(faults) == 1
    assert (faults[0].file, faults[0].row) == ("train.csv", None)
    for word in words:
        assert word in faults[0].message
    assert annotations.rows == {}


def test_missing_file_and_folder(tmp_path):
    _, (fault,) = read_annotations(tmp_path / "train.csv", 4)
    assert "does not exist" in fault.message
    assert "ImageId,ClassId,EncodedPixels" in fault.message
    _, (fault,) = read_annotations(tmp_path, 4)
    assert "cannot be read" in fault.message


def test_label_mask():
    mask = label_mask({2: "1 2", 1: "4 3"}, 3, 2)
    assert mask.dtype == np.uint8
    assert mask.flags.c_contiguous
    assert mask.tolist() == [[2, 1], [2, 1], [0, 1]]
    assert label_mask({3: "1 2", 1: "2 2"}, 4, 1).T.tolist() == [[3, 3, 1, 0]]  # the highest class is on top
    assert label_mask({}, 2, 3).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert label_mask({3: ""}, 1, 1).tolist() == [[0]]
    with pytest.raises(RLEError, match="beyond the image"):
        label_mask({1: "6 2"}, 3, 2)
