"""Submissions in each layout of Kaggle's sample, read back by other code, and every fault of sample and codes."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.rle import encode
from steel_defects.predict.submission import read_sample, write_submission

SIZE = (12, 20)
IMAGES = ["c.jpg", "a_1.jpg", "b.jpg", "d.jpg"]  # neither sorted nor free of underscores

JOINED = "ImageId_ClassId,EncodedPixels\n" + "".join(f"{i}_{c},1 1\n" for i in IMAGES for c in range(1, 5))
ONE_EACH = "ImageId,EncodedPixels,ClassId\n" + "".join(f"{i},1 409600,0\n" for i in IMAGES)
ONE_EACH_CLASS_1 = "ClassId,ImageId,EncodedPixels\n" + "".join(f"1,{i},1 409600\n" for i in IMAGES)
PAIRS = "EncodedPixels,ClassId,ImageId\n" + "".join(f"1 1,{c},{i}\n" for c in (2, 1, 4, 3) for i in IMAGES)
LAYOUTS = {"joined": JOINED, "one each": ONE_EACH, "one each, class 1": ONE_EACH_CLASS_1, "pairs": PAIRS}


@pytest.fixture
def sample_of(tmp_path):
    """Write a sample submission, read it for four classes."""

    def write_and_read(content: str | bytes):
        path = tmp_path / "sample_submission.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_sample(path, 4)

    return write_and_read


@pytest.fixture
def submit(tmp_path, sample_of):
    """Fill a sample in, return the rows."""

    def write_and_return(content: str | bytes, codes) -> list[list[str]]:
        path = tmp_path / "made" / "submission.csv"
        write_submission(path, sample_of(content), codes)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    return write_and_return


def codes_of(mask: np.ndarray) -> dict[int, str]:
    return {int(c): encode(mask == c) for c in np.unique(mask) if c}


def decode(code: str, height: int, width: int) -> np.ndarray:
    flat = np.zeros(height * width, bool)
    numbers = [int(number) for number in code.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        assert not flat[start - 1 : start - 1 + length].any()
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(width, height).T


def random_masks(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = {image: rng.choice(5, SIZE, p=[0.6, 0.1, 0.1, 0.1, 0.1]).astype(np.uint8) for image in IMAGES}
    masks["b.jpg"][:] = 0  # clean
    masks["c.jpg"][masks["c.jpg"] == 2] = 0
    return masks


def answers_for(masks: dict[str, np.ndarray]):
    return [(image, codes_of(mask), SIZE) for image, mask in sorted(masks.items())]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(submit, layout, seed):
    masks = random_masks(seed)
    header, *rows = submit(LAYOUTS[layout], answers_for(masks))
    assert header == LAYOUTS[layout].splitlines()[0].split(",")
    drawn = {image: np.zeros(SIZE, np.uint8) for image in IMAGES}
    for cells in rows:
        row = dict(zip(header, cells, strict=True))
        image, _, class_id = row.get("ImageId_ClassId", f"{row.get('ImageId')}_{row.get('ClassId')}").rpartition("_")
        if int(class_id):
            drawn[image][decode(row["EncodedPixels"], *SIZE)] = int(class_id)
    for image, mask in masks.items():
        np.testing.assert_array_equal(drawn[image], mask)


@pytest.mark.parametrize("layout", ["joined", "pairs"])
def test_a_row_for_each_class_keeps_the_rows(submit, layout):
    header, *rows = submit(LAYOUTS[layout], answers_for(random_masks(0)))
    at = header.index("EncodedPixels")
    asked = [line.split(",") for line in LAYOUTS[layout].splitlines()[1:]]
    assert [row[:at] + row[at + 1 :] for row in rows] == [row[:at] + row[at + 1 :] for row in asked]
    assert sum(row[at] == "" for row in rows) == 5  # four classes of the clean image, one of c.jpg


def test_a_row_for_each_image_becomes_a_row_for_each_class_found(submit):
    codes = {"c.jpg": {3: "5 2", 1: "1 2  9 1"}, "a_1.jpg": {4: "240 1"}, "b.jpg": {}, "d.jpg": {2: " "}}
    handed_in = [(image, found, SIZE) for image, found in codes.items()]
    assert submit(ONE_EACH, handed_in) == [
        ["ImageId", "EncodedPixels", "ClassId"],
        ["c.jpg", "1 2 9 1", "1"],
        ["c.jpg", "5 2", "3"],
        ["a_1.jpg", "240 1", "4"],
        ["b.jpg", "1 409600", "0"],  # as in the sample: class 0 is the background
        ["d.jpg", "1 409600", "0"],
    ]
    # A placeholder of class 1 would claim a defect all over the image.
    assert submit(ONE_EACH_CLASS_1, handed_in)[-2:] == [["1", "b.jpg", ""], ["1", "d.jpg", ""]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_unreadable_image_is_handed_in_as_clean(submit, layout):
    clean = [(image, {}, SIZE) for image in IMAGES]
    unreadable = [(image, {}, None) for image in IMAGES]
    assert submit(LAYOUTS[layout], unreadable) == submit(LAYOUTS[layout], clean)


def test_images_keep_their_order(sample_of):
    for content in LAYOUTS.values():
        assert sample_of(content).images == IMAGES


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ways_of_writing_the_same(submit, layout):
    plain = LAYOUTS[layout]
    answers = answers_for(random_masks(1))
    expected = submit(plain, answers)
    for content in (b"\xef\xbb\xbf" + plain.encode(), plain.replace("\n", "\r\n"), plain + "\n\n", plain.rstrip()):
        assert submit(content, answers) == expected


def test_further_columns_are_kept(submit):
    content = "Usage,ImageId,EncodedPixels,ClassId\nPublic,a.jpg,1 1,0\nPrivate,b.jpg,1 1,0\n"
    rows = submit(content, [("a.jpg", {1: "1 1", 2: "2 1"}, SIZE), ("b.jpg", {}, SIZE)])
    assert rows[1:] == [
        ["Public", "a.jpg", "1 1", "1"],
        ["Public", "a.jpg", "2 1", "2"],
        ["Private", "b.jpg", "1 1", "0"],
    ]


def test_one_class(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text("ImageId,EncodedPixels,ClassId\na.jpg,,1\nb.jpg,,1\n")
    write_submission(tmp_path / "s.csv", read_sample(path, 1), [("a.jpg", {1: "3 1"}, SIZE), ("b.jpg", {}, SIZE)])
    assert (tmp_path / "s.csv").read_text() == "ImageId,EncodedPixels,ClassId\na.jpg,3 1,1\nb.jpg,,1\n"


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


CODE_FAULTS = {
    "unknown image": (("z.jpg", {}, SIZE), "image z.jpg is not in sample_submission.csv"),
    "twice": (("c.jpg", {}, SIZE), "image c.jpg was handed in more than once"),
    "beyond the image": (("d.jpg", {2: "240 2"}, SIZE), "image d.jpg, class 2: run 240 2 ends beyond the image"),
    "no numbers": (("d.jpg", {2: "1 x"}, SIZE), "image d.jpg, class 2: 'x' is not a whole number"),
    "unsorted": (("d.jpg", {2: "9 1 1 1"}, SIZE), "image d.jpg, class 2: runs are not sorted"),
    "class 0": (("d.jpg", {0: "1 1"}, SIZE), "image d.jpg: class 0 is outside 1 to 4"),
    "class 5": (("d.jpg", {5: "1 1"}, SIZE), "image d.jpg: class 5 is outside 1 to 4"),
    "overlap": (("d.jpg", {3: "1 4 9 9", 1: "5 4", 2: "17 1"}, SIZE), "image d.jpg: class 3 overlaps class 2"),
    "no size": (("d.jpg", {1: "1 1"}, None), "image d.jpg has codes, but no size"),
}


@pytest.mark.parametrize(("answer", "message"), CODE_FAULTS.values(), ids=CODE_FAULTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fault_of_the_codes(tmp_path, submit, layout, answer, message):
    answers = [(image, {1: "1 1"}, SIZE) for image in IMAGES if image != "d.jpg"]
    with pytest.raises(DataFaults, match="No submission was written") as caught:
        submit(LAYOUTS[layout], [*answers, *([] if answer[0] == "d.jpg" else [("d.jpg", {}, SIZE)]), answer])
    assert [fault.message.startswith(message) for fault in caught.value.faults] == [True]
    assert not (tmp_path / "made").exists()


def test_all_faults_of_the_codes_at_once(submit):
    with pytest.raises(DataFaults) as caught:
        submit(JOINED, [("c.jpg", {1: "1 1", 2: "1 2", 9: "0 1"}, SIZE), ("z.jpg", {}, SIZE), ("b.jpg", {}, SIZE)])
    assert [fault.message for fault in caught.value.faults] == [
        "image c.jpg: class 9 is outside 1 to 4",
        "image c.jpg, class 9: start 0 is below 1: pixels are counted from 1 (number 1 of the run-length code)",
        "image c.jpg: class 2 overlaps class 1",
        "image z.jpg is not in sample_submission.csv",
        "image a_1.jpg was not handed in",
        "image d.jpg was not handed in",
    ]


def test_an_earlier_submission_stays_where_the_new_one_is_wrong(tmp_path, sample_of):
    path = tmp_path / "submission.csv"
    path.write_text("before")
    with pytest.raises(DataFaults):
        write_submission(path, sample_of(JOINED), [])
    assert path.read_text() == "before"


def test_the_sample_is_not_overwritten(sample_of):
    sample = sample_of(JOINED)
    with pytest.raises(UserError, match="is the sample submission itself"):
        write_submission(sample.path, sample, [(image, {}, SIZE) for image in IMAGES])
    assert sample.path.read_text() == JOINED
