"""Images to results with a net that is a rule: what is brighter than 150 is class 1, than 200 class 2."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from skimage.measure import label, regionprops

from steel_defects.core.errors import UserError
from steel_defects.data import rle
from steel_defects.data.images import read_grey
from steel_defects.inference.decision import Maps
from steel_defects.inference.model import Model
from steel_defects.predict.handler import Handler
from steel_defects.predict.journal import TABLES, Journal
from steel_defects.predict.pipeline import Summary, predict_images

CLASSES = ("scratch", "patch, large")


def truth(path: Path) -> np.ndarray:
    grey = np.asarray(Image.open(path).convert("L"))
    return np.where(grey > 200, 2, np.where(grey > 150, 1, 0))


def strip(seed: int, shape=(40, 90)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full(shape, 90, np.uint8)
    for _ in range(seed % 4):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        image[y : y + rng.integers(1, 15), x : x + rng.integers(1, 30)] = rng.choice([160, 180, 210, 250])
    return image


@pytest.fixture
def paths(tmp_path) -> dict[str, Path]:
    names = [*(f"{k:02d}.png" for k in range(12)), "line/00.png", "line/a,b.png", "same.bmp", "same.png"]
    for seed, name in enumerate(names):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "in" / name), strip(seed, (40, 90) if seed % 5 else (25, 33)))
    return {name: tmp_path / "in" / name for name in names}


REASONS = {
    "cut.jpg": "cut short",
    "gone.png": "not exist",
    "page.jpg": "not an image",
    "pipe.png": "is no file",
    "void.png": "empty",
    f"{'x' * 251}.png": "too long for its pictures",
}


@pytest.fixture
def bad(paths, tmp_path) -> dict[str, Path]:
    """As above, with files that are none among them."""
    for name in REASONS:
        paths[name] = tmp_path / "in" / name
    paths["cut.jpg"].write_bytes(cv2.imencode(".jpg", strip(3))[1].tobytes()[:-200])
    paths["page.jpg"].write_bytes(b"<html>404</html>")
    paths["void.png"].write_bytes(b"")
    cv2.imwrite(str(paths[f"{'x' * 251}.png"]), strip(3))
    os.mkfifo(paths["pipe.png"])
    return dict(sorted(paths.items()))


@pytest.fixture
def run(rule):
    def run(paths, output: Path, engine=None, resume: bool = False, **options) -> Summary:
        engine = engine or rule()
        handler = Handler(Model(engine, engine.card.decision), output, **options)
        with Journal(output, {}, resume) as journal:
            return predict_images(paths, handler, journal)

    return run


def tables(output: Path) -> dict[str, bytes]:
    return {name: (output / name).read_bytes() for name in TABLES}


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pictures(paths, tmp_path, run):
    run(paths, tmp_path / "out")
    expected = {name: Path(name).with_suffix("").as_posix() for name in paths}
    expected |= {"same.bmp": "same.bmp", "same.png": "same.png"}
    for name, short in expected.items():
        mask = Image.open(tmp_path / "out" / "masks" / f"{short}.png")
        assert mask.mode == "L"
        np.testing.assert_array_equal(np.asarray(mask), truth(paths[name]))
        assert Image.open(tmp_path / "out" / "overlays" / f"{short}.jpg").size == mask.size
    for folder in ("masks", "overlays"):
        assert len(files(tmp_path / "out" / folder)) == len(paths)


def test_tables_tell_the_masks(paths, tmp_path, run, rows):
    run(paths, tmp_path / "out")
    images, defects = rows(tmp_path / "out" / "images.csv"), rows(tmp_path / "out" / "defects.csv")
    codes = {(r["ImageId"], int(r["ClassId"])): r["EncodedPixels"] for r in rows(tmp_path / "out" / "predictions.csv")}
    assert [row["image"] for row in images] == list(paths)
    counts, drawn = Counter(), set()
    for row in images:
        mask = truth(paths[row["image"]])
        height, width = mask.shape
        assert (row["status"], row["error"], int(row["height"]), int(row["width"])) == ("ok", "", height, width)
        own = [d for d in defects if d["image"] == row["image"]]
        assert [int(d["defect"]) for d in own] == list(range(1, int(row["defects"]) + 1))
        expected = []
        for c, name in enumerate(CLASSES, start=1):
            assert float(row[f"area_percent_{name}"]) == pytest.approx(100 * (mask == c).mean(), abs=1e-6)
            if (mask == c).any():
                drawn.add((row["image"], c))
                assert codes[row["image"], c] == rle.encode(mask == c)
            for region in regionprops(label(mask == c, connectivity=2), read_grey(paths[row["image"]]) / 256):
                top, left, bottom, right = region.bbox
                percent = round(100 * region.area / mask.size, 6)
                box = (left, top, right - left, bottom - top)
                expected.append((name, c, int(region.area), percent, *box, round(float(region.intensity_mean), 4)))
        counts[len(expected)] += 1
        keys = ("class_id", "area_px", "area_percent", "x", "y", "width", "height", "mean_confidence")
        assert sorted((d["class"], *(float(d[key]) for key in keys)) for d in own) == sorted(expected)
    assert set(codes) == drawn
    assert counts[0]
    assert len(counts) > 2


def test_coco(paths, tmp_path, run):
    run(paths, tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "defects.json"))
    assert {c["id"]: c["name"] for c in coco.dataset["categories"]} == dict(enumerate(CLASSES, start=1))
    assert [image["file_name"] for image in coco.dataset["images"]] == list(paths)
    for image in coco.dataset["images"]:
        mask = truth(paths[image["file_name"]])
        assert (image["height"], image["width"]) == mask.shape
        drawn = np.zeros_like(mask)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            pixels = coco.annToMask(annotation).astype(bool)
            assert pixels.sum() == annotation["area"]
            assert label(pixels, connectivity=2).max() == 1
            assert 0 < annotation["score"] <= 1
            assert annotation["iscrowd"] == 0
            ys, xs = np.nonzero(pixels)
            assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            drawn[pixels] = annotation["category_id"]
        np.testing.assert_array_equal(drawn, mask)


def test_bad_files_are_rows_and_the_others_are_summed_up(bad, tmp_path, run, rows):
    summary = run(bad, tmp_path / "out")
    images = {row["image"]: row for row in rows(tmp_path / "out" / "images.csv")}
    assert list(images) == list(bad)
    reasons = {name: row["error"] for name, row in images.items() if row["status"] == "error"}
    assert reasons.keys() == REASONS.keys()
    assert all(words in reasons[name] for name, words in REASONS.items())
    totals = summary.totals
    assert dict(totals.reasons) == reasons
    assert totals.bad == len(REASONS)
    assert all(images[name][key] == "" for name in reasons for key in ("height", "width", "defects"))
    coco = json.loads((tmp_path / "out" / "defects.json").read_text())
    assert not reasons.keys() & {image["file_name"] for image in coco["images"]}
    assert not list((tmp_path / "out" / "masks").glob("cut*"))

    masks = [truth(path) for name, path in bad.items() if name not in REASONS]
    assert (summary.images, summary.predicted, totals.images) == (len(bad), len(bad), len(bad))
    assert totals.pixels == sum(mask.size for mask in masks)
    assert totals.clean == sum(not mask.any() for mask in masks)
    for c, name in enumerate(CLASSES, start=1):
        of = totals.classes[name]
        assert of.images == sum((mask == c).any() for mask in masks)
        assert of.area == sum((mask == c).sum() for mask in masks)
        assert of.defects == sum(label(mask == c, connectivity=2).max() for mask in masks)
        assert totals.percent(name) == pytest.approx(100 * of.area / totals.pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("value", [10, 255])
def test_odd_shapes(tmp_path, run, shape, value):
    path = tmp_path / "x.png"
    Image.fromarray(np.full((*shape, 3), value, np.uint8)).save(path)  # colour
    assert run({"x.png": path}, tmp_path / "out").totals.classes[CLASSES[1]].area == (value > 200) * shape[0] * shape[1]


def test_nothing_but_bad_files(tmp_path, run):
    summary = run({f"{k}.png": tmp_path / f"{k}.png" for k in range(30)}, tmp_path / "out")
    assert (summary.totals.bad, len(summary.totals.reasons), summary.totals.pixels) == (30, 20, 0)
    assert summary.totals.percent(CLASSES[0]) == 0
    assert json.loads((tmp_path / "out" / "defects.json").read_text())["images"] == []


def test_what_is_not_asked_for_is_not_written(paths, tmp_path, run):
    run(paths, tmp_path / "a", masks=False)
    run(paths, tmp_path / "b", overlays=False)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*TABLES, "journal.jsonl", "overlays"}
    assert {path.name for path in (tmp_path / "b").iterdir()} == {*TABLES, "journal.jsonl", "masks"}
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


def test_white(tmp_path, run):
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), np.full((4, 4), 4095, np.uint16))
    assert run({"x.png": path}, tmp_path / "a").totals.clean == 1  # 12 bits are dark in 16
    assert run({"x.png": path}, tmp_path / "b", white=4095).totals.clean == 0


def test_resume_after_a_kill_at_any_byte(bad, tmp_path, rule, run):
    run(bad, tmp_path / "out")
    expected, journal = tables(tmp_path / "out"), tmp_path / "out" / "journal.jsonl"
    whole = journal.read_bytes()
    for cut in [0, 5, *range(100, len(whole), max(1, len(whole) // 20)), len(whole) - 1, len(whole)]:
        journal.write_bytes(whole[:cut])
        for name in TABLES:  # a killed run wrote none
            (tmp_path / "out" / name).unlink()
        seen = []
        summary = run(bad, tmp_path / "out", rule(hook=lambda image, seen=seen: seen.append(1)), resume=True)
        records = [json.loads(line) for line in whole[:cut].splitlines(keepends=True)[1:] if line.endswith(b"\n")]
        done = sum(record["status"] == "ok" for record in records)
        assert summary.predicted == len(bad) - done
        assert len(seen) == len(bad) - len(REASONS) - done
        assert tables(tmp_path / "out") == expected


def test_resume_does_again_what_has_changed(bad, tmp_path, run):
    output = tmp_path / "out"
    run(bad, output)
    (output / "masks" / "03.png").unlink()
    (output / "masks" / "04.png").write_bytes(b"")
    (output / "overlays" / "line" / "00.jpg").unlink()
    cv2.imwrite(str(bad["05.png"]), strip(7))
    bad["06.png"].write_bytes(b"")
    cv2.imwrite(str(bad["gone.png"]), strip(6))  # has come by now
    summary = run(bad, output, resume=True)
    assert summary.predicted == 5 + len(REASONS)
    assert summary.totals.bad == len(REASONS)
    run(bad, tmp_path / "fresh")
    for part in ("masks", "overlays"):
        assert files(output / part) == files(tmp_path / "fresh" / part)
    assert tables(output) == tables(tmp_path / "fresh")
    assert run(bad, output, resume=True, overlays=False).predicted == len(REASONS)


def test_resume_with_more_and_fewer_images(paths, tmp_path, run):
    names = list(paths)
    run({name: paths[name] for name in names[4:12]}, tmp_path / "out", resume=True)  # nothing is there yet
    fewer = {name: paths[name] for name in names[:9]}
    assert run(fewer, tmp_path / "out", resume=True).predicted == 4
    run(fewer, tmp_path / "fresh")
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")


def test_ctrl_c_leaves_tables_and_goes_on(paths, tmp_path, run, rows, monkeypatch):
    """As Ctrl-C does, between two images; and again as the tables say how far it came."""
    append = Journal.append

    def interrupt(self, record):
        append(self, record)
        if record["image"] == list(paths)[4]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", interrupt)
    assert run(paths, tmp_path / "out").interrupted
    assert [row["image"] for row in rows(tmp_path / "out" / "images.csv")] == list(paths)[:5]
    monkeypatch.undo()
    summary = run(paths, tmp_path / "out", resume=True)
    assert not summary.interrupted
    assert summary.predicted == len(paths) - 5
    run(paths, tmp_path / "fresh")
    assert tables(tmp_path / "out") == tables(tmp_path / "fresh")


@pytest.mark.parametrize("where", ["masks", "overlays"])
def test_what_cannot_be_written_stops_the_run(paths, tmp_path, rule, run, where):
    output = tmp_path / "out"

    def block(image):  # once the run has begun: before, it would be refused
        if not (output / where).exists():
            (output / where).touch()  # a file where a folder is needed

    with pytest.raises(UserError, match="cannot be written"):
        run(paths, output, rule(hook=block))


def test_full_disk(paths, tmp_path, run, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"masks.*No space left"):
        run(paths, tmp_path / "out")


@pytest.mark.parametrize(
    ("fault", "reason"), [(MemoryError("no room"), "MemoryError: no room"), (ZeroDivisionError(), "ZeroDivisionError")]
)
def test_what_the_engine_cannot_do_is_a_row(paths, tmp_path, rule, run, fault, reason):
    """One image too large for memory must not cost the others."""
    asked = iter(range(1000))

    def fail(image):
        if next(asked) == 1:
            raise fault

    summary = run(paths, tmp_path / "out", rule(hook=fail))
    assert summary.totals.bad == 1
    assert reason in summary.totals.reasons[0][1]
    assert summary.totals.images == len(paths)


def test_a_net_that_gives_no_number_is_no_clean_strip(paths, tmp_path, rule, run):
    class Nan(rule):
        def __call__(self, image):
            maps = super().__call__(image)
            return Maps(maps.classes, np.full_like(maps.confidence, np.nan))

    totals = run(paths, tmp_path / "out", Nan()).totals
    assert totals.bad == len(paths)
    assert "no number" in totals.reasons[0][1]


def test_few_images_in_memory(tmp_path, rule, run):
    """However many there are: none is kept once it has its record."""
    alive, counts = set(), []
    cv2.imwrite(str(tmp_path / "x.png"), strip(3))

    def count(image):
        alive.add(id(image))
        weakref.finalize(image, alive.discard, id(image))
        counts.append(len(alive))

    many = {f"{k}.png": tmp_path / "x.png" for k in range(200)}
    assert run(many, tmp_path / "out", rule(2, count), overlays=False, masks=False).predicted == 200
    assert max(counts) <= 3


def test_works_in_parallel(paths, tmp_path, rule, run):
    together = threading.Barrier(3, timeout=20)
    some = dict(list(paths.items())[:9])
    run(some, tmp_path / "out", rule(2, lambda image: together.wait()))
    run(some, tmp_path / "one", rule(0))
    assert tables(tmp_path / "out") == tables(tmp_path / "one")
