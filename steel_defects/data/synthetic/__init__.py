"""A data set of strips drawn by the computer, in the layout of Kaggle's `severstal-steel-defect-detection`.

They stand in for the real pictures where those are not at hand: to try the programs out and to test them. The kinds of
defect, how often they occur and how much area they take follow the Severstal training set; scores reached on them say
nothing about real steel.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from steel_defects.core.errors import UserError
from steel_defects.core.runs import write_json
from steel_defects.data.rle import encode
from steel_defects.data.synthetic.strip import MIN_SIDE, draw_strip

VERSION = 2  # raise when the same seed draws other pictures
MANIFEST = "synthetic.json"
IMAGES, DEFECTIVE = 12_568, 6_666  # of the Severstal training set
PAIRS = {1: 897, 2: 247, 3: 5_150, 4: 801}  # (image, class) pairs of the Severstal training set
FLOOR, FLOOR_CAP, FLOOR_FROM = 0.15, 40, 40


def allocate(num_images: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Which classes each image of a data set shows, by quota and not by chance.

    As many images are clean, as many show two or three classes and each class is as frequent as in the Severstal
    training set (largest remainder). One departure: from 40 images on, each class gets at least 15 % of the defective
    images, though no more than 40 for that reason. The 3.5 % of class 2 would leave it a handful of images in a set
    of a few hundred, too few to be learnt. A set as large as Severstal's has its very counts.

    Args:
        num_images: number of images in the data set.
        seed: seed of the shuffle.

    Returns:
        The sorted classes of each image, `num_images` entries; `()` is a clean image.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    defective = round(num_images * DEFECTIVE / IMAGES)
    counts = _quotas(round(defective * sum(PAIRS.values()) / DEFECTIVE))
    if num_images >= FLOOR_FROM:
        floor = max(1, min(round(FLOOR * defective), FLOOR_CAP))
        counts = {c: max(count, floor) for c, count in counts.items()} | {3: 0}
        counts[3] = round(defective * sum(PAIRS.values()) / DEFECTIVE) - sum(counts.values())
    # Images with more than one class pair a rarer one with what is there, mostly class 3, as they do in Severstal.
    rare = rng.permutation([c for c in (1, 2, 4) for _ in range(counts[c])]).tolist()
    extra = min(sum(counts.values()) - defective, len(rare))
    images = [[c] for c in rng.permutation(rare[extra:] + [3] * counts[3]).astype(int).tolist()]
    for i, c in enumerate(rare[:extra]):
        size = 2 if i % 200 == 199 else 1  # 2 of Severstal's images show three classes
        next(image for image in images if len(image) == size and c not in image).append(c)
    images += [[] for _ in range(num_images - len(images))]
    return [tuple(sorted(images[i])) for i in rng.permutation(num_images)]


def _quotas(pairs: int) -> dict[int, int]:
    shares = {c: pairs * count / sum(PAIRS.values()) for c, count in PAIRS.items()}
    counts = {c: int(share) for c, share in shares.items()}
    for c in sorted(shares, key=lambda c: counts[c] - shares[c])[: pairs - sum(counts.values())]:
        counts[c] += 1
    return counts


def write_synthetic(root: Path, num_images: int, seed: int = 0, size: tuple[int, int] = (256, 1600)) -> None:
    """Write a data set of drawn strips: `train_images/<id>.jpg` (grey), `train.csv` and the manifest `synthetic.json`.

    A finished set with the same settings is left alone, one with other settings refused: a run may be at work on it.
    It is drawn in a temporary folder beside `root` and moved in whole, so that a broken run leaves no half set behind.

    Args:
        root: folder of the data set.
        num_images: about half of them clean; see `allocate`.
        seed: seed of the data set, not negative.
        size: (height, width) in pixels, each at least 64.

    Raises:
        UserError: where a setting is out of range or `root` holds anything else.
    """
    if num_images < 1 or seed < 0 or min(size) < MIN_SIDE:
        raise UserError(
            f"a synthetic data set needs num_images of 1 or more, a seed of 0 or more and sides of {MIN_SIDE} pixels "
            f"or more; these are num_images={num_images}, seed={seed}, size={tuple(size)}"
        )
    root = Path(root).resolve()
    manifest = {"num_images": num_images, "seed": seed, "size": list(size), "version": VERSION}
    if _finished(root, manifest):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        _write(fresh, manifest)
        try:
            if root.exists():
                root.rmdir()  # an empty one
            fresh.rename(root)
        except OSError:
            if not _finished(root, manifest):  # or another process was faster
                raise


def _told(manifest: dict) -> str:
    return ", ".join(f"{key}={value}" for key, value in manifest.items())


def _finished(root: Path, manifest: dict) -> bool:
    """Whether `root` holds that very set; False where it may be written."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        written = json.loads((root / MANIFEST).read_text())
        if written.keys() == manifest.keys():
            if written == manifest:
                return True
            raise UserError(
                f"{root} holds other strips: drawn with {_told(written)}, not with {_told(manifest)}. "
                "data.root=<another folder> draws these there; or delete the folder, if no run needs it"
            )
    except (OSError, ValueError, AttributeError):
        pass
    raise UserError(
        f"{root} holds something other than a synthetic data set, and is left as it is: name another folder for the "
        "synthetic set, or empty this one"
    )


def _write(root: Path, manifest: dict) -> None:
    seed, count = manifest["seed"], manifest["num_images"]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    names = [f"{number:09x}.jpg" for number in sorted(rng.choice(16**9, count, replace=False).tolist())]
    (root / "train_images").mkdir(parents=True)
    rows = ["ImageId,ClassId,EncodedPixels"]
    strips = zip(names, allocate(count, seed), strict=True)
    for index, (name, classes) in enumerate(
        tqdm(strips, "Drawing synthetic strips", count, unit="strip", disable=None)
    ):
        image, mask = draw_strip(seed, index, classes, *manifest["size"])
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        if not done:
            raise OSError(f"cannot encode {name}")
        (root / "train_images" / name).write_bytes(data.tobytes())
        rows += [f"{name},{c},{encode(mask == c)}" for c in classes]
    (root / "train.csv").write_text("\n".join(rows) + "\n")
    write_json(root / MANIFEST, manifest)
