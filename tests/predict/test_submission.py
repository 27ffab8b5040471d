"""Submissions in each layout of Kaggle's sample, read back by other code, and every fault of sample and codes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.rle import encode
from steel_defects.predict.journal import Journal
from steel_defects.predict.submission import only_listed, read_sample, write_submission

SIZE = (12, 20)
IMAGES = ["c.jpg", "a_1.jpg", "b.jpg", "d.jpg"]  # neither sorted nor free of underscores

JOINED = "ImageId_ClassId,EncodedPixels\n" + "".join(f"{i}_{c},1 1\n" for i in IMAGES for c in range(1, 5))
ONE_EACH = "ImageId,EncodedPixels,ClassId\n" + "".join(f"{i},1 409600,0\n" for i in IMAGES)
ONE_EACH_CLASS_1 = "ClassId,ImageId,EncodedPixels\n" + "".join(f"1,{i},1 409600\n" for i in IMAGES)
PAIRS = "EncodedPixels,ClassId,ImageId\n" + "".join(f"1 1,{c},{i}\n" for c in (2, 1, 4, 3) for i in IMAGES)
LAYOUTS = {"joined": JOINED, "one each": ONE_EACH, "one each, class 1": ONE_EACH_CLASS_1, "pairs": PAIRS}


@pytest.fixture
def sample_of(tmp_path):
    """Write a sample submission, and read it."""

    def write_and_read(content: str | bytes, num_classes: int = 4):
        path = tmp_path / "sample_submission.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_sample(path, num_classes)

    return write_and_read


@pytest.fixture
def submit(tmp_path, sample_of):
    """Fill a sample in with run-length codes by image and class, None where it could not be read; the rows."""

    def write_and_return(content: str | bytes, codes: dict[str, dict[int, str] | None], num_classes: int = 4):
        path, sample = tmp_path / "made" / "submission.csv", sample_of(content, num_classes)
        with Journal(tmp_path / f"journal-{len(list(tmp_path.iterdir()))}", {}) as journal:
            for image, by_class in codes.items():
                found = {"status": "ok", "height": SIZE[0], "width": SIZE[1], "codes": by_class}
                journal.append({"image": f"sub/{image}", **({"status": "error"} if by_class is None else found)})
            write_submission(path, sample, {f"sub/{image}": Path(image) for image in codes}, journal)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    return write_and_return


def decode(code: str) -> np.ndarray:
    flat = np.zeros(SIZE[0] * SIZE[1], bool)
    numbers = [int(number) for number in code.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        assert not flat[start - 1 : start - 1 + length].any()
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(SIZE[::-1]).T


def random_masks(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = {image: rng.choice(5, SIZE, p=[0.6, 0.1, 0.1, 0.1, 0.1]).astype(np.uint8) for image in IMAGES}
    masks["b.jpg"][:] = 0  # clean
    masks["c.jpg"][masks["c.jpg"] == 2] = 0
    return masks


def codes_of(masks: dict[str, np.ndarray]) -> dict[str, dict[int, str]]:
    return {image: {int(c): encode(of == c) for c in np.unique(of) if c} for image, of in sorted(masks.items())}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip_however_the_sample_is_written(submit, layout):
    masks, plain = random_masks(0), LAYOUTS[layout]
    header, *rows = whole = submit(plain, codes_of(masks))
    assert header == plain.splitlines()[0].split(",")
    drawn = {image: np.zeros(SIZE, np.uint8) for image in IMAGES}
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        image, _, class_id = row.get("ImageId_ClassId", f"{row.get('ImageId')}_{row.get('ClassId')}").rpartition("_")
        if int(class_id):
            drawn[image][decode(row["EncodedPixels"])] = int(class_id)
    for image, mask in masks.items():
        np.testing.assert_array_equal(drawn[image], mask)
    for content in (b"\xef\xbb\xbf" + plain.encode(), plain.replace("\n", "\r\n"), plain + "\n\n", plain.rstrip()):
        assert submit(content, codes_of(masks)) == whole
    clean = [dict.fromkeys(IMAGES, value) for value in ({}, None)]
    assert submit(plain, clean[0]) == submit(plain, clean[1])  # what cannot be read is handed in as clean


@pytest.mark.parametrize("layout", ["joined", "pairs"])
def test_a_row_for_each_class_keeps_the_rows(submit, layout):
    header, *rows = submit(LAYOUTS[layout], codes_of(random_masks(0)))
    at = header.index("EncodedPixels")
    asked = [line.split(",") for line in LAYOUTS[layout].splitlines()[1:]]
    assert [row[:at] + row[at + 1 :] for row in rows] == [row[:at] + row[at + 1 :] for row in asked]
    assert sum(row[at] == "" for row in rows) == 5  # four classes of the clean image, one of c.jpg


def test_a_row_for_each_image_becomes_a_row_for_each_class_found(submit):
    codes = {"c.jpg": {3: "5 2", 1: "1 2 9 1"}, "a_1.jpg": {4: "240 1"}, "b.jpg": {}, "d.jpg": {}}
    assert submit(ONE_EACH, codes) == [
        ["ImageId", "EncodedPixels", "ClassId"],
        ["c.jpg", "1 2 9 1", "1"],
        ["c.jpg", "5 2", "3"],
        ["a_1.jpg", "240 1", "4"],
        ["b.jpg", "1 409600", "0"],  # as in the sample: class 0 is the background
        ["d.jpg", "1 409600", "0"],
    ]
    # A placeholder of class 1 would claim a defect all over the image.
    assert submit(ONE_EACH_CLASS_1, codes)[-2:] == [["1", "b.jpg", ""], ["1", "d.jpg", ""]]


def test_further_columns_are_kept(submit):
    content = "Usage,ImageId,EncodedPixels,ClassId\nPublic,a.jpg,1 1,0\nPrivate,b.jpg,1 1,0\n"
    assert submit(content, {"a.jpg": {1: "1 1", 2: "2 1"}, "b.jpg": {}})[1:] == [
        ["Public", "a.jpg", "1 1", "1"],
        ["Public", "a.jpg", "2 1", "2"],
        ["Private", "b.jpg", "1 1", "0"],
    ]


def test_one_class(submit):
    content = "ImageId,EncodedPixels,ClassId\na.jpg,,1\nb.jpg,,1\n"
    assert submit(content, {"a.jpg": {1: "3 1"}, "b.jpg": {}}, 1)[1:] == [["a.jpg", "3 1", "1"], ["b.jpg", "", "1"]]


def test_listed_images_are_found_in_any_folder_and_in_their_order(sample_of):
    for content in LAYOUTS.values():
        assert sample_of(content).images == IMAGES
    paths = {f"{k % 2}/{name}": Path(name) for k, name in enumerate([*sorted(IMAGES), "z.jpg"])}
    assert list(only_listed(sample_of(JOINED), paths)) == ["0/a_1.jpg", "1/b.jpg", "0/c.jpg", "1/d.jpg"]


@pytest.mark.parametrize(("more", "cut"), [(39, 0), (45, 5)])
def test_all_listed_images_that_are_missing_are_told(sample_of, more, cut):
    lines = "".join(f"{name}.jpg,,0\n" for name in ("x", *(f"{k:02}" for k in range(more))))
    with pytest.raises(UserError, match=rf"^{more} of {more + 1} images of the .* are not in the input:") as caught:
        only_listed(sample_of("ImageId,EncodedPixels,ClassId\n" + lines), {"x.jpg": Path("x.jpg")})
    told = str(caught.value).splitlines()[1:]
    assert told[:39] == [f"  {k:02}.jpg" for k in range(39)]
    assert told[-1] == (f"  … and {cut} more" if cut else "  38.jpg")


def test_a_listed_image_that_is_there_twice_is_told(sample_of):
    paths = {name: Path(name) for name in (*IMAGES, "sub/b.jpg")}
    with pytest.raises(UserError, match=r"1 of 4 images .* are there more than once:\n  b\.jpg$"):
        only_listed(sample_of(JOINED), paths)


SAMPLE_FAULTS = {
    "empty": ("", ["is empty", "known layouts"]),
    "header alone": ("ImageId,EncodedPixels,ClassId\n", ["lists no images"]),
    "column": ("ImageId,EncodedPixels\na.jpg,\n", ["column ClassId missing", "ImageId,EncodedPixels,ClassId"]),
    "not text": (b"\xff\xfe\0", ["is not UTF-8"]),
    "repeated": (JOINED + "d.jpg_4,\n", ["row 18: image d.jpg, class 4 was already given in row 17"]),
    "repeated image": (ONE_EACH + "a_1.jpg,,0\n", ["row 6: image a_1.jpg, class 0 was already given in row 3"]),
    "two rows an image": (ONE_EACH + "a_1.jpg,,2\n", ["row 6: image a_1.jpg was already given in row 3"]),
    "folder": (ONE_EACH + "x/a.jpg,,0\n", ["row 6: ImageId 'x/a.jpg' is not a plain file name"]),
    "class 5": (ONE_EACH + "e.jpg,,5\n", ["row 6: ClassId 5 is outside 0 to 4: the model knows 4 classes"]),
    "joined class 5": (JOINED + "e.jpg_5,\n", ["row 18: ClassId 5 is outside"]),
    "joined class 0": (JOINED + "e.jpg_0,\n", ["row 18: ClassId 0 is outside 1 to 4"]),
    "too few classes": (JOINED + "e.jpg_4,\n", ["row 18: image e.jpg has no row for classes 1, 2, 3"]),
    "labels": (PAIRS[: PAIRS.index("1 1,3,")], ["row 2: image c.jpg has no row for class 3"]),
}


@pytest.mark.parametrize(("content", "words"), SAMPLE_FAULTS.values(), ids=SAMPLE_FAULTS)
def test_fault_of_the_sample(sample_of, content, words):
    with pytest.raises(DataFaults, match=r"sample_submission\.csv") as caught:
        sample_of(content)
    for word in words:
        assert word in str(caught.value)


def test_missing_sample(tmp_path):
    with pytest.raises(UserError, match=r"there is no such file; it takes Kaggle.s sample_submission\.csv"):
        read_sample(tmp_path / "sample_submission.csv", 4)


def test_all_faults_of_the_sample_at_once(sample_of):
    with pytest.raises(DataFaults) as caught:
        sample_of(ONE_EACH + "a_1.jpg,,2\n../e.jpg,,0\nc.jpg,,0\nf.jpg,,9\nf.jpg\ng.jpg,,x\n")
    assert [fault.row for fault in caught.value.faults] == [6, 7, 8, 9, 10, 11]


def test_all_faults_of_the_codes_at_once_and_an_earlier_submission_stays(tmp_path, submit):
    """As a journal that was edited or damaged may hold them."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "submission.csv").write_text("before")
    with pytest.raises(DataFaults, match="No submission was written") as caught:
        submit(
            JOINED,
            {
                "a_1.jpg": {3: "1 4 9 9", 1: "5 4", 2: "17 1"},
                "b.jpg": {2: "240 2"},
                "c.jpg": {1: "1 1", 2: "1 2", 4: "0 1"},
                "d.jpg": {1: "9 1 1 1", 2: "1 x"},
            },
        )
    expected = [
        "image c.jpg, class 4: start 0 is below 1: pixels are counted from 1 (number 1 of the run-length code)",
        "image c.jpg: class 2 overlaps class 1",
        "image a_1.jpg: class 3 overlaps class 2",
        "image b.jpg, class 2: run 240 2 ends beyond the image",
        "image d.jpg, class 1: runs are not sorted",
        "image d.jpg, class 2: 'x' is not a whole number",
    ]
    messages = [fault.message for fault in caught.value.faults]
    assert [told[: len(words)] for told, words in zip(messages, expected, strict=True)] == expected
    assert (tmp_path / "made" / "submission.csv").read_text() == "before"
