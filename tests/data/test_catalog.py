"""A whole data set, checked: sound ones in both layouts, and all faults of a broken one in one error."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.catalog import load_catalog, require_layout, survey
from steel_defects.data.rle import decode, encode

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "severstal_mini"
HEADER = "ImageId,ClassId,EncodedPixels"
SIZE = (8, 12)


@pytest.fixture
def make(tmp_path):
    """Build a data set of small PNGs: rows of the label file, names of the images."""

    def build(rows=(), images=("a.png", "b.png", "c.png"), header=HEADER) -> Path:
        root = tmp_path / "data"
        (root / "train_images").mkdir(parents=True, exist_ok=True)
        (root / "train.csv").write_text("\n".join([header, *rows]) + "\n")
        for seed, name in enumerate(images):
            write_image(root, name, seed)
        return root

    return build


def write_image(root: Path, name: str, seed: int = 0, size=SIZE) -> None:
    image = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    ok, data = cv2.imencode(".png", image)
    assert ok
    (root / "train_images" / name).write_bytes(data.tobytes())


def load(root: Path, **options):
    return load_catalog(root, **{"num_classes": 4, "image_size": SIZE, "progress": False, **options})


def faults_of(root: Path, **options) -> DataFaults:
    with pytest.raises(DataFaults) as caught:
        load(root, **options)
    return caught.value


def test_sound_set_with_clean_images_from_files(make):
    root = make(["b.png,3,1 2 3 4 90 7", "b.png,1,8 1", "c.png,2,"], images=("c.png", "b.png", "A.PNG"))
    (root / "train_images" / "notes.txt").write_text("no image")
    (root / "train_images" / ".hidden.png").write_bytes(b"no image either")
    (root / "train_images" / "folder.png").mkdir()
    catalog = load(root)

    assert [sample.image_id for sample in catalog.samples] == ["A.PNG", "b.png", "c.png"]
    assert [sample.classes for sample in catalog.samples] == [(), (1, 3), ()]
    clean, defective, _ = catalog.samples
    assert defective.rles == {1: "8 1", 3: "1 6 90 7"}  # touching runs are joined
    assert (defective.height, defective.width) == SIZE
    assert defective.path == root / "train_images" / "b.png"
    expected = decode("8 1", *SIZE) + 3 * decode("1 6 90 7", *SIZE)
    np.testing.assert_array_equal(defective.mask(), expected)
    assert clean.mask().sum() == 0
    assert catalog.thumbnails.shape == (3, 32, 32)
    assert catalog.thumbnails.dtype == np.uint8
    assert len(set(catalog.digests)) == 3
    assert catalog.skipped == []


def test_only_defective(make):
    root = make(["b.png,3,1 2"])
    catalog = load(root, only_defective=True)
    assert [sample.image_id for sample in catalog.samples] == ["b.png"]
    everything = load(root)
    assert catalog.digests == everything.digests[1:2]
    np.testing.assert_array_equal(catalog.thumbnails, everything.thumbnails[1:2])
    assert catalog.data_hash != everything.data_hash
    with pytest.raises(UserError, match=r"no image in .* has a defect"):
        load(make(), only_defective=True)


def test_all_clean_is_fine(make):
    assert [sample.classes for sample in load(make()).samples] == [(), (), ()]


def test_both_layouts_and_any_order_give_the_same(make):
    first = load(make(["a.png,1,1 2", "b.png,2,5 5", "b.png,4,20 1"]))
    turned = load(make(["b.png,4,20 1", "b.png,2,5 2 7 3", "a.png,1,1 2"]))
    old_rows = ["c.png_1,", "a.png_1,1 2", "a.png_2,", "b.png_4,20 1", "b.png_2,5 5"]
    old = load(make(old_rows, header="ImageId_ClassId,EncodedPixels"))
    assert first.samples == turned.samples == old.samples
    assert first.data_hash == turned.data_hash == old.data_hash
    assert first.digests == turned.digests == old.digests


def test_hash_follows_labels_pictures_and_names(make):
    hashes = [load(make(["a.png,1,1 2"])).data_hash]
    hashes.append(load(make(["a.png,1,1 3"])).data_hash)
    hashes.append(load(make(["a.png,2,1 2"])).data_hash)
    root = make(["a.png,1,1 2"])
    write_image(root, "c.png", seed=99)
    hashes.append(load(root).data_hash)
    (root / "train_images" / "c.png").rename(root / "train_images" / "d.png")
    hashes.append(load(root).data_hash)
    assert len(set(hashes)) == len(hashes)


@pytest.fixture
def broken(make):
    """One of each fault; the images whose file is at fault come last."""
    root = make(
        [
            "a.png,1,1 4",  # row 2
            "a.png,2,3 4",  # overlaps row 2 in two pixels
            "b.png,1,95 3",  # leaves the image of 96 pixels
            "b.png,1,1 2",  # class 1 again
            "b.png,2,5 5 5",  # odd count
            "b.png,9,1 2",  # no such class
            "gone.png,1,1 2",  # row 8: no file, two rows
            "gone.png,2,9 2",
            "empty.png,1,1 2",
            "other.gif,1,1 2",  # row 11
        ]
    )
    (root / "train_images" / "empty.png").write_bytes(b"")
    (root / "train_images" / "page.jpg").write_text("<!DOCTYPE html>")
    whole = (root / "train_images" / "c.png").read_bytes()
    (root / "train_images" / "short.png").write_bytes(whole[:-2])
    write_image(root, "small.png", size=(4, 5))
    return root


def test_all_faults_at_once(broken):
    error = faults_of(broken)
    expected = [
        ("train.csv", 3, None, "image a.png: class 2 overlaps class 1 (row 2) in 2 pixels"),
        ("train.csv", 4, None, "image b.png, class 1: run 95 3 ends beyond the image of 8x12 pixels (number 2 of"),
        ("train.csv", 5, None, "class 1 was already given in row 4"),
        ("train.csv", 6, None, "odd count"),
        ("train.csv", 7, None, "ClassId 9 is outside 1 to 4"),
        ("train.csv", 8, "gone.png", "image gone.png is not in train_images/ (2 rows name it)"),
        ("train.csv", 11, "other.gif", "'other.gif' is not the name of an image"),
        ("train_images/empty.png", None, "empty.png", "is empty (0 bytes)"),
        ("train_images/page.jpg", None, "page.jpg", "is not an image (begins with '<!DOCTYPE')"),
        ("train_images/short.png", None, "short.png", "is cut short"),
        ("train_images/small.png", None, "small.png", "is 4x5, the data set says 8x12 (data.image_size)"),
    ]
    assert [(fault.file, fault.row, fault.image) for fault in error.faults] == [line[:3] for line in expected]
    for fault, (*_, words) in zip(error.faults, expected, strict=True):
        assert words in fault.message
    assert str(error).startswith("11 faults in the data:\n")
    assert "the 6 images whose file is bad or missing: data.on_bad=skip" in error.way_out


def test_skip_still_stops_at_labels(broken):
    error = faults_of(broken, on_bad="skip")
    assert [fault.row for fault in error.faults] == [3, 4, 5, 6, 7]
    assert "on_bad" not in str(error)


def test_skip_leaves_bad_files_out_with_their_rows(broken):
    (broken / "train.csv").write_text(f"{HEADER}\na.png,1,1 4\ngone.png,1,1 2\nempty.png,1,1 2\nsmall.png,3,1 2\n")
    catalog = load(broken, on_bad="skip")
    assert [sample.image_id for sample in catalog.samples] == ["a.png", "b.png", "c.png"]
    assert [sample.classes for sample in catalog.samples] == [(1,), (), ()]
    left_out = ["gone.png", "empty.png", "page.jpg", "short.png", "small.png"]
    assert [fault.image for fault in catalog.skipped] == left_out
    assert len(faults_of(broken).faults) == len(left_out)


def test_skipping_everything_is_an_error(make):
    root = make(images=["a.png"])
    (root / "train_images" / "a.png").write_bytes(b"")
    assert "no image at all" in faults_of(root, on_bad="skip").way_out


def test_label_faults_alone_do_not_offer_to_skip(make):
    assert "on_bad" not in str(faults_of(make(["a.png,1,1 2 3"])))


def test_labels_of_a_bad_file_are_checked_against_the_size_expected(make):
    root = make(["a.png,1,95 3"])
    (root / "train_images" / "a.png").write_bytes(b"")
    assert [fault.row for fault in faults_of(root, on_bad="skip").faults] == [2]


def test_any_size_where_none_is_demanded(make):
    root = make(["small.png,1,20 1"])
    write_image(root, "small.png", size=(4, 5))
    sample = load(root, image_size=None).samples[-1]
    assert (sample.height, sample.width) == (4, 5)
    assert sample.mask()[3, 4] == 1


def test_three_classes_overlap_in_pairs(make):
    error = faults_of(make(["a.png,3,1 10", "a.png,1,5 2 10 5", "a.png,2,6 1 30 1", "b.png,1,1 2", "b.png,2,3 2"]))
    assert [(fault.row, fault.message.split(": ")[1]) for fault in error.faults] == [
        (3, "class 1 overlaps class 3 (row 2) in 3 pixels"),
        (4, "class 2 overlaps class 3 (row 2) in 1 pixel"),
        (4, "class 2 overlaps class 1 (row 3) in 1 pixel"),
    ]


def test_overlaps_are_counted_as_by_drawing(make):
    rng = np.random.default_rng(7)
    for _ in range(20):
        a, b = rng.random((2, *SIZE)) < 0.4
        (fault,) = faults_of(make([f"a.png,1,{encode(a)}", f"a.png,2,{encode(b)}"])).faults
        assert f"in {(a & b).sum()} pixel" in fault.message


def test_faults_name_files_as_configured(make):
    root = make(["a.png,1,1 2 3"])
    (root / "labels").mkdir()
    (root / "train.csv").rename(root / "labels" / "new.csv")
    (root / "train_images").rename(root / "pictures")
    (root / "pictures" / "c.png").write_bytes(b"")
    error = faults_of(root, csv="labels/new.csv", image_dir="pictures")
    assert [fault.file for fault in error.faults] == ["labels/new.csv", "pictures/c.png"]


def test_header_fault_comes_together_with_bad_images(make):
    root = make(["a.png,1 2"], header="ImageId,EncodedPixels")
    (root / "train_images" / "a.png").write_bytes(b"")
    assert [fault.file for fault in faults_of(root).faults] == ["train.csv", "train_images/a.png"]


@pytest.mark.parametrize("lacking", ["root", "csv", "folder", "both"])
def test_missing_layout_says_how_to_get_the_data(make, tmp_path, lacking):
    root = tmp_path / "nowhere" if lacking == "root" else make(images=())
    if lacking in ("csv", "both"):
        (root / "train.csv").unlink()
    if lacking in ("folder", "both"):
        (root / "train_images").rmdir()
    with pytest.raises(UserError) as caught:
        load(root)
    message = str(caught.value)
    first = message.splitlines()[0]
    assert ("does not exist" in first) == (lacking == "root")
    assert ("the label file train.csv" in first) == (lacking in ("csv", "both"))
    assert ("the folder train_images/" in first) == (lacking in ("folder", "both"))
    for words in (str(root / "train.csv"), str(root / "train_images"), "data=synthetic"):
        assert words in message
    assert "python -m steel_defects.download data.root=" in message


def test_root_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        require_layout(tmp_path / "file")


def test_no_images(make):
    root = make(["a.png,1,1 2"], images=())
    (root / "train_images" / "readme.txt").write_text("")
    with pytest.raises(UserError, match="holds no image"):
        load(root)


@pytest.mark.parametrize("workers", [None, 0, 1, 3])
def test_workers_make_no_difference_and_leave_nothing_behind(make, workers):
    root = make(["a.png,1,1 2"])
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    threads = threading.active_count()
    catalog = load(root, workers=workers)
    assert catalog.data_hash == load(root).data_hash
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == before
    assert threading.active_count() == threads


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real images are not there ({REAL})")
def test_real_images_in_both_layouts():
    new = load(REAL, image_size=(256, 1600))
    old = load(REAL, image_size=(256, 1600), csv="train_oldformat.csv")
    assert new.samples == old.samples
    assert new.data_hash == old.data_hash
    assert len(new.samples) == 19
    counts = [sum(c in sample.classes for sample in new.samples) for c in (1, 2, 3, 4)]
    assert counts == [5, 3, 9, 2]
    assert sum(not sample.classes for sample in new.samples) == 5


def test_survey_tells_every_fault_and_keeps_what_is_sound(make):
    root = make(["a.png,1,1 3", "a.png,2,9 x", "c.png,1,1 9999"])
    (root / "train_images" / "b.png").write_bytes(b"")

    found = survey(root, num_classes=2, measure=lambda image: int(image.max()), progress=False)

    faults = [(fault.file, fault.row) for fault in found.faults]
    assert faults == [("train.csv", 3), ("train.csv", 4), ("train_images/b.png", None)]
    assert sorted(found.looks) == ["a.png", "c.png"]
    image = cv2.imread(str(root / "train_images" / "a.png"), cv2.IMREAD_GRAYSCALE)
    assert found.looks["a.png"].measured == image.max()
    assert found.samples()[0].rles == {1: "1 3"}


def test_survey_does_without_images(tmp_path):
    (tmp_path / "train.csv").write_text(f"{HEADER}\na.jpg,1,1 3\nb.jpg,2,1 999999\n")

    found = survey(tmp_path, num_classes=2, image_size=(256, 1600), progress=False)

    assert [fault.row for fault in found.faults] == [3]
    assert sorted(found.annotations.rows) == ["a.jpg", "b.jpg"]


def test_excluded_images_and_their_faults_are_passed_over(make):
    root = make(["a.png,1,1 3", "b.png,2,9 x", "c.png,1,5 2"])
    (root / "train_images" / "c.png").write_bytes(b"")
    reviewed = root / "audit.csv"
    reviewed.write_text("ImageId,verdict\na.png,keep\nb.png,exclude\nc.png, Exclude\nb.png,\n")

    catalog = load(root, exclude=reviewed)

    assert [sample.image_id for sample in catalog.samples] == ["a.png"]
    assert catalog.dropped == {"b.png", "c.png"}


def test_a_plain_list_of_images_excludes_all_of_them(make):
    root = make(["a.png,1,1 3"])
    (root / "out.csv").write_text("\ufeffImageId\r\nb.png\r\nc.png\r\n")

    assert [sample.image_id for sample in load(root, exclude=root / "out.csv").samples] == ["a.png"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ImageId,verdict\nx.png,exclude\na.png,maybe\n", ["row 2: image 'x.png' is not in", "row 3: unknown verdict"]),
        ("image\na.png\n", ["row 1: column ImageId is missing; there are: image"]),
        ("ImageId\na.png\nb.png\nc.png\n", ["leaves out all 3 images"]),
    ],
)
def test_faults_of_an_exclusion(make, text, expected):
    root = make(["a.png,1,1 3"])
    (root / "out.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        load(root, exclude=root / "out.csv")
    assert all(part in str(caught.value) for part in expected)


def test_an_exclusion_that_is_not_there(make):
    with pytest.raises(UserError, match=r"data\.exclude=nowhere\.csv does not exist"):
        load(make(["a.png,1,1 3"]), exclude="nowhere.csv")
