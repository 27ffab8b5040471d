"""The file of findings and labels, read back with pycocotools; shapes of codes against the drawn mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from skimage.measure import label

from steel_defects.audit.coco import write_coco
from steel_defects.audit.finding import Finding, ranked, table
from steel_defects.core.errors import UserError
from steel_defects.data.catalog import Sample
from steel_defects.data.coco import shape_of_code
from steel_defects.data.labels import mask_codes
from steel_defects.data.rle import encode

CLASSES = ("scratch", "patch", "pit")
SIZE = (12, 30)


def block(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    inside = np.zeros(SIZE, bool)
    inside[top:bottom, left:right] = True
    return inside


def finding(image_id: str, kind: str, score: float, marked=None, suggested=None) -> Finding:
    """`marked` and `suggested` are a class and its pixels."""
    (c, old), (s, new) = marked or (0, np.zeros(SIZE, bool)), suggested or (0, np.zeros(SIZE, bool))
    counts = int(old.sum()), int(new.sum())
    return Finding(image_id, SIZE, kind, score, f"{kind}.", c, s, 0.5, encode(old), encode(new), *counts)


def samples(**masks: np.ndarray) -> dict[str, Sample]:
    """Images with these labels, by id."""
    return {f"{k}.png": Sample(f"{k}.png", Path(), *SIZE, mask_codes(mask)) for k, mask in masks.items()}


@pytest.fixture
def masks() -> dict[str, np.ndarray]:
    """In `a` two regions of scratch, one of them with a hole, and a patch that touches it; `b` is clean."""
    mask = np.zeros(SIZE, np.uint8)
    mask[block(1, 1, 8, 9)] = 1
    mask[block(3, 3, 5, 5)] = 0
    mask[block(8, 9, 12, 12)] = 1  # by a corner the same region
    mask[block(0, 20, 12, 23)] = 1  # whole columns
    mask[block(1, 9, 4, 14)] = 2
    return {"a": mask, "b": np.zeros(SIZE, np.uint8)}


@pytest.fixture
def findings(masks) -> list[Finding]:
    part, patch = block(8, 9, 12, 12), masks["a"] == 2
    return ranked(
        [
            finding("a.png", "unseen", 0.71234567, marked=(1, part)),
            finding("a.png", "class", 0.9, marked=(2, patch), suggested=(3, patch)),
            finding("a.png", "moved", 0.2, marked=(1, block(0, 20, 12, 23)), suggested=(1, block(0, 22, 12, 25))),
            finding("b.png", "missing", 0.8, suggested=(2, block(2, 2, 4, 4) | block(9, 25, 11, 30))),
        ]
    )


@pytest.fixture
def read(tmp_path, masks, findings) -> COCO:
    path = tmp_path / "new" / "audit.json"
    write_coco(path, findings, samples(**masks), CLASSES)
    return COCO(str(path))


def instances(coco: COCO, name: str) -> list[tuple[dict, np.ndarray]]:
    [image] = [image for image in coco.dataset["images"] if image["file_name"] == name]
    return [(a, coco.annToMask(a).astype(bool)) for a in coco.loadAnns(coco.getAnnIds(image["id"]))]


def test_images_and_categories(read):
    assert [(i["file_name"], i["height"], i["width"]) for i in read.dataset["images"]] == [
        ("a.png", *SIZE),
        ("b.png", *SIZE),
    ]
    suggested = [(4, "scratch (suggested)"), (5, "patch (suggested)"), (6, "pit (suggested)")]
    assert [(c["id"], c["name"]) for c in read.dataset["categories"]] == [*enumerate(CLASSES, start=1), *suggested]
    assert [c["supercategory"] for c in read.dataset["categories"]] == ["label"] * 3 + ["suggestion"] * 3


def test_every_instance_is_what_its_mask_is(read):
    numbers = [a["id"] for a in read.dataset["annotations"]]
    assert numbers == list(range(1, len(numbers) + 1))
    for name in ("a.png", "b.png"):
        for annotation, pixels in instances(read, name):
            ys, xs = np.nonzero(pixels)
            assert annotation["area"] == pixels.sum() > 0
            assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation["iscrowd"] == 0
            assert isinstance(annotation["segmentation"]["counts"], list)
            assert annotation["segmentation"]["size"] == list(SIZE)


def test_labels_are_drawn_whole_and_by_regions(read, masks):
    drawn = np.zeros(SIZE, np.uint8)
    plain = []
    for annotation, pixels in instances(read, "a.png"):
        if annotation["category_id"] > 3:
            continue
        assert annotation["attributes"]["source"] == "label"
        assert not drawn[pixels].any()
        assert label(pixels, connectivity=2).max() == 1
        drawn[pixels] = annotation["category_id"]
        if "kind" not in annotation["attributes"]:
            assert annotation["attributes"] == {"source": "label"}
            assert "score" not in annotation
            plain.append(int(pixels.sum()))
    np.testing.assert_array_equal(drawn, masks["a"])
    assert sorted(plain) == [15, 36, 52]  # patch, whole columns, the region without what is unseen
    assert not [a for a, _ in instances(read, "b.png") if a["category_id"] <= 3]


def test_findings_are_carried_by_one_instance_each(read, findings):
    rows = table(findings, CLASSES)
    for f, (_, row) in zip(findings, rows.iterrows(), strict=True):
        carriers = [pair for pair in instances(read, f.image_id) if pair[0]["attributes"].get("kind") == f.kind]
        [(annotation, pixels)] = carriers
        assert encode(pixels) == (f.suggested or f.marked)
        suggests = f.kind != "unseen"
        assert annotation["category_id"] == (3 + f.suggested_id if suggests else f.class_id)
        source = {"source": "suggestion" if suggests else "label"}
        assert annotation["attributes"] == source | row[["kind", "score", "reason", "rank"]].to_dict()
        assert annotation["score"] == row["score"]


def test_suggestions_are_results_to_pycocotools(read):
    results = [dict(a) for a in read.dataset["annotations"] if a["category_id"] > 3]
    loaded = read.loadRes(results)
    assert len(loaded.getAnnIds()) == 3
    assert [a["score"] for a in loaded.loadAnns(loaded.getAnnIds())] == [0.9, 0.2, 0.8]


def test_findings_that_share_marked_pixels(tmp_path):
    """Each carries its own pixels, and no label is lost."""
    mask = block(0, 0, 4, 10)
    first, second = block(0, 0, 4, 6), block(0, 4, 4, 8)
    given = [finding("a.png", "unseen", 0.9, marked=(2, first)), finding("a.png", "unseen", 0.8, marked=(2, second))]
    write_coco(tmp_path / "c.json", given, samples(a=np.uint8(2) * mask), CLASSES)
    drawn = [encode(pixels) for _, pixels in instances(COCO(str(tmp_path / "c.json")), "a.png")]
    assert sorted(drawn) == sorted(map(encode, [first, second, block(0, 8, 4, 10)]))


def test_nothing_found_is_a_sound_file_whatever_the_classes_are_called(tmp_path):
    names = ('"patch"', "Ölfleck", "\\")
    write_coco(tmp_path / "c.json", [], {}, names)
    content = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert content["images"] == content["annotations"] == []
    assert [c["name"] for c in content["categories"]] == [*names, *(f"{name} (suggested)" for name in names)]


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_coco(tmp_path / "file" / "c.json", [], {}, CLASSES)


@pytest.mark.parametrize("seed", range(40))
def test_shape_of_a_code(seed):
    """With runs that end at the foot of a column, go on in the next, or touch each other."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 12, 2))
    ends = np.sort(rng.choice(height * width + 1, min(2 * rng.integers(1, 6), (height * width + 1) // 2 * 2), False))
    starts, ends = ends[::2], ends[1::2]
    halved = ends - starts > 1
    runs = [(s, e) for s, e, cut in zip(starts, ends, halved, strict=True) if not cut]
    runs += [piece for s, e in zip(starts[halved], ends[halved], strict=True) for piece in ((s, s + 1), (s + 1, e))]
    code = " ".join(f"{s + 1} {e - s}" for s, e in sorted(runs))

    flat = np.zeros(height * width, np.uint8)
    for start, end in runs:
        flat[start:end] = 1
    mask = np.asfortranarray(flat.reshape(width, height).T)
    shape = shape_of_code(code, (height, width))
    expected = coco_mask.encode(mask)
    given = coco_mask.frPyObjects({"size": [height, width], "counts": shape.counts}, height, width)
    assert given["counts"] == expected["counts"]
    assert shape.area == coco_mask.area(expected) == mask.sum()
    assert list(shape.box) == coco_mask.toBbox(expected).astype(int).tolist()
    assert all(type(number) is int for number in (shape.area, *shape.box, *shape.counts))
