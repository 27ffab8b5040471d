"""Augmentation: how often, what, on which pixels, and the same draws whoever makes them."""

from __future__ import annotations

import pickle
import re
from collections import Counter

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from steel_defects.core.errors import UserError
from steel_defects.core.settings import SettingFaults, read
from steel_defects.data.augment import Augment, class_shares
from steel_defects.data.dataset import EpochSampler, collate, limit_worker_threads
from steel_defects.data.images import resize
from steel_defects.data.settings import AugmentSettings

# albumentations only warns of an argument it does not know, and leaves it out.
pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.filterwarnings("default:.*fork.*:DeprecationWarning")]

SHARES = np.array([0.15, 0.05, 0.7, 0.1])
MOVES = ["crop", "vertical_flip", "horizontal_flip", "rotation", "turn", "zoom"]


def noise(seed: int, size: tuple[int, int], top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, size, np.uint8)


def blocks(size: tuple[int, int], seed: int = 0, side: int = 32) -> np.ndarray:
    """A mask of five classes in blocks large enough to survive any operation."""
    height, width = size
    return np.kron(noise(seed, (-(-height // side), -(-width // side)), 5), np.ones((side, side), np.uint8))[
        :height, :width
    ]


def augmenter(size, shares, weights, seed: int = 0, **settings) -> Augment:
    """Made of settings, with the paper's where none are given."""
    paper = {"gate": "class_weighted", "clean_prob": 0, "rotation_limit": 180, "also": {}}
    return Augment(size, shares, read(AugmentSettings, paper | {"weights": weights} | settings), seed)


def augment_with(name: str, size: tuple[int, int], **settings) -> Augment:
    """One operation, on every sample."""
    if name in ("turn", "zoom", "light"):
        return augmenter(size, SHARES, {"crop": 1}, gate=0.0, also={name: 1.0}, **settings)
    return augmenter(size, SHARES, {name: 1}, gate=1.0, clean_prob=1.0, **settings)


def assert_binomial(hits: int, count: int, p: float) -> None:
    assert abs(hits - count * p) <= 4 * np.sqrt(count * p * (1 - p)), f"{hits} of {count} at p={p}"


def window_of(crop: np.ndarray, raw: np.ndarray) -> tuple[int, int] | None:
    """Row and column at which `crop` is cut from `raw`, or None."""
    scores = cv2.matchTemplate(raw.astype(np.float32), crop.astype(np.float32), cv2.TM_SQDIFF)
    y, x = np.unravel_index(np.argmin(scores), scores.shape)
    found = np.array_equal(raw[y : y + crop.shape[0], x : x + crop.shape[1]], crop)
    return (int(y), int(x)) if found else None


def test_class_shares_by_hand():
    table = [(3,), (3,), (1, 3), (), (2, 3), (1, 2, 3), (3,)]  # 2, 2, 6, 0 of 10 regions
    np.testing.assert_allclose(class_shares(table, 4), [0.2, 0.2, 0.6, 0.0])
    np.testing.assert_allclose(class_shares([(5,), (1,)], 5), [0.5, 0, 0, 0, 0.5])
    assert class_shares([(), (1,)], 2).tolist() == [1, 0]
    assert class_shares([(), ()], 3).tolist() == [0, 0, 0]
    assert class_shares([], 2).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("classes", "p"),
    [((1,), 0.85), ((2,), 0.95), ((3,), 0.3), ((4,), 0.9), ((3, 4), 0.9), ((1, 3), 0.85), ((1, 2, 3), 0.95)],
)
def test_how_often_a_sample_is_augmented(classes, p):
    augment = augmenter((16, 16), SHARES, {"vertical_flip": 1})
    assert augment.probability(classes) == pytest.approx(p)
    image, mask = noise(0, (16, 16)), noise(1, (16, 16), 5)
    hits = 0
    for epoch in range(20):
        for k in range(60):
            out, out_mask = augment(image, mask, classes, f"{k}.jpg", epoch)
            changed = not np.array_equal(out, image)
            assert changed == (not np.array_equal(out_mask, mask))
            hits += changed
    assert_binomial(hits, 1200, p)


def test_shares_come_from_the_regions_of_the_split():
    table = [(3,)] * 6 + [(1, 3), (1, 2), ()]
    augment = augmenter((16, 16), class_shares(table, 4), {"crop": 1})
    assert [augment.probability((c,)) for c in (1, 2, 3, 4)] == pytest.approx([0.8, 0.9, 0.3, 1.0])


@pytest.mark.parametrize(
    ("settings", "clean", "defective"),
    [
        ({}, 0.0, 0.3),
        ({"clean_prob": 0.25}, 0.25, 0.3),
        ({"gate": 0.6, "clean_prob": 0.1}, 0.1, 0.6),
        ({"gate": 0}, 0, 0),
    ],
)
def test_clean_samples_have_a_probability_of_their_own(settings, clean, defective):
    augment = augmenter((16, 16), SHARES, {"vertical_flip": 1}, **settings)
    image = noise(0, (16, 16))
    for classes, p in (((), clean), ((3,), defective)):
        outs = [augment(image, image, classes, f"{k}", epoch)[0] for k in range(60) for epoch in range(10)]
        assert_binomial(sum(not np.array_equal(out, image) for out in outs), 600, p)


def test_operations_are_mixed_by_their_weights():
    """Told by their outcome: a crop keeps raw pixels, a flip turns the resized ones over, a rotation does neither."""
    weights = {"crop": 2, "vertical_flip": 5, "rotation": 3, "horizontal_flip": 0}
    augment = augmenter((16, 16), SHARES, weights, gate=1.0)
    image = noise(0, (16, 40))
    small, _ = resize(image, image, (16, 16))
    told = Counter()
    for k in range(50):
        for epoch in range(30):
            out, _ = augment(image, image, (2,), f"{k}.jpg", epoch)
            assert not np.array_equal(out, small)
            assert not np.array_equal(out, np.fliplr(small))
            if np.array_equal(out, np.flipud(small)):
                told["vertical_flip"] += 1
            elif window_of(out, image):
                told["crop"] += 1
            else:
                told["rotation"] += 1
    for name in ("crop", "vertical_flip", "rotation"):
        assert_binomial(told[name], 1500, weights[name] / 10)


def test_operations_beside_the_gate_have_their_own_probability():
    augment = augmenter((16, 16), SHARES, {"crop": 1}, gate=0.0, also={"horizontal_flip": 0.3, "vertical_flip": 0.8})
    image = noise(0, (16, 16))
    turned = {(False, False): image, (True, False): np.fliplr(image), (False, True): np.flipud(image)}
    turned[True, True] = np.rot90(image, 2)
    told = Counter()
    for k in range(1000):
        out, _ = augment(image, image, (), f"{k}", 0)
        told.update(key for key, picture in turned.items() if np.array_equal(out, picture))
    assert told.total() == 1000
    for key, count in told.items():
        assert_binomial(count, 1000, (0.3 if key[0] else 0.7) * (0.8 if key[1] else 0.2))


@pytest.mark.parametrize("raw", [(128, 128), (128, 400), (80, 100)])
@pytest.mark.parametrize("name", MOVES)
def test_image_and_mask_move_together(name, raw):
    """The image is its mask, times 60: so it stays, away from the seams that interpolation blurs."""
    augment = augment_with(name, (128, 128))
    mask = blocks(raw)
    image = mask * 60
    plain, _ = resize(image, mask, (128, 128))
    moved = 0
    for epoch in range(12):
        out, out_mask = augment(image, mask, (1, 2, 3, 4), "a.jpg", epoch)
        assert out.shape == out_mask.shape == (128, 128)
        assert out.dtype == out_mask.dtype == np.uint8
        assert set(np.unique(out_mask)) <= {0, 1, 2, 3, 4}
        around = np.ones((7, 7), np.uint8)
        inside = cv2.erode(out_mask, around) == cv2.dilate(out_mask, around)
        inside[:4] = inside[-4:] = inside[:, :4] = inside[:, -4:] = False  # a seam may lie just beyond the rim
        assert inside.mean() > 0.03, "too little is left to compare"
        off = np.abs(out.astype(int) - out_mask.astype(int) * 60)
        assert off[inside].max() <= 1
        moved += not np.array_equal(out, plain)
    smaller_than_target = name == "crop" and max(raw) <= 128  # the window is then the whole image
    assert (moved == 0) if smaller_than_target else moved >= 6


@pytest.mark.parametrize("name", [*MOVES, "light"])
def test_class_indices_stay_in_the_set(name):
    """Classes 1 and 200 in a fine pattern: any interpolation between them would make up a third."""
    mask = np.kron(noise(3, (50, 100), 2), np.ones((2, 3), np.uint8)) * 199 + 1
    for size in ((64, 64), (160, 160)):
        augment = augment_with(name, size)
        for epoch in range(8):
            _, out = augment(mask, mask, (1,), "a", epoch)
            assert set(np.unique(out)) == {1, 200}


def test_light_changes_the_image_alone():
    augment = augment_with("light", (64, 64))
    image, mask = noise(0, (64, 64), 100) + 60, blocks((64, 64))
    means = []
    for epoch in range(40):
        out, out_mask = augment(image, mask, (1,), "a", epoch)
        np.testing.assert_array_equal(out_mask, mask)
        order = np.argsort(image.ravel(), kind="stable")
        assert (np.diff(out.ravel()[order].astype(int)) >= 0).all(), "more than brightness and contrast was changed"
        means.append(out.mean() - image.mean())
    assert min(means) < -10
    assert max(means) > 10


@pytest.mark.parametrize(("name", "flip"), [("vertical_flip", np.flipud), ("horizontal_flip", np.fliplr)])
def test_flips(name, flip):
    image, mask = noise(0, (48, 32)), noise(1, (48, 32), 5)
    out, out_mask = augment_with(name, (48, 32))(image, mask, (1,), "a", 0)
    np.testing.assert_array_equal(out, flip(image))
    np.testing.assert_array_equal(out_mask, flip(mask))


def test_turns_are_by_quarters():
    augment = augment_with("turn", (32, 32))
    image = noise(0, (32, 32))
    told = Counter()
    for epoch in range(200):
        out, out_mask = augment(image, image, (1,), "a", epoch)
        np.testing.assert_array_equal(out, out_mask)
        told.update(k for k in range(4) if np.array_equal(out, np.rot90(image, k)))
    assert told.total() == 200
    assert all(told[k] > 25 for k in range(4))


@pytest.mark.parametrize("limit", [180, 30])
def test_rotation_covers_all_angles_up_to_the_limit(limit):
    augment = augment_with("rotation", (128, 128), rotation_limit=limit)
    mask = np.zeros((128, 128), np.uint8)
    mask[60:68, 90:98] = 1  # to the right of the centre, and near enough not to be mirrored into sight
    angles = []
    for k in range(400):
        _, out = augment(mask * 200, mask, (1,), f"{k}", 0)
        y, x = (where.mean() - 63.5 for where in np.nonzero(out))
        assert np.hypot(y, x) == pytest.approx(30, abs=1.5)
        angles.append(np.degrees(np.arctan2(-y, x)))
    angles = np.array(angles)
    assert abs(angles).max() <= limit + 1.5
    assert angles.min() < -0.95 * limit
    assert angles.max() > 0.95 * limit
    for low in np.linspace(-limit, limit, 9)[:-1]:  # uniformly
        assert_binomial(int(((angles >= low) & (angles < low + limit / 4)).sum()), 400, 1 / 8)


def test_rotation_leaves_no_black_corners():
    image, mask = np.full((64, 64), 200, np.uint8), np.full((64, 64), 3, np.uint8)
    for epoch in range(10):
        out, out_mask = augment_with("rotation", (64, 64))(image, mask, (3,), "a", epoch)
        assert (out == 200).all()
        assert (out_mask == 3).all()


@pytest.mark.parametrize("size", [(200, 200), (64, 512), (256, 1600), (512, 64)])
def test_zoom_shows_half_the_area_or_more(size):
    """Rows and columns go from 0 to 240, so that the window can be read off the outcome."""
    augment = augment_with("zoom", size)
    height, width = size
    rows = np.repeat(np.linspace(0, 240, height).round().astype(np.uint8)[:, None], width, axis=1)
    columns = np.repeat(np.linspace(0, 240, width).round().astype(np.uint8)[None], height, axis=0)
    shares, shapes, windows = [], [], set()
    for epoch in range(100):
        high, wide = (augment(picture, picture, (1,), "a", epoch)[0] for picture in (rows, columns))
        share_high, share_wide = int(np.ptp(high)) / 240 + 1 / height, int(np.ptp(wide)) / 240 + 1 / width
        shares.append(share_high * share_wide)
        shapes.append(share_wide / share_high)
        windows.add((high.min(), high.max(), wide.min(), wide.max()))
    assert 0.47 < min(shares) < 0.6
    assert max(shares) > 0.88
    assert (min(shapes), max(shapes)) == (pytest.approx(0.75, abs=0.025), pytest.approx(1.33, abs=0.06))
    assert len(windows) > 95


@pytest.mark.parametrize("size", [(256, 256), (128, 192), (256, 1600)])
def test_a_crop_is_a_window_of_the_raw_image(size):
    augment = augment_with("crop", size)
    image, mask = noise(0, (256, 1600)), noise(1, (256, 1600), 5)
    corners = []
    for epoch in range(25):
        out, out_mask = augment(image, mask, (1,), "a.jpg", epoch)
        corner = window_of(out, image)
        assert corner is not None, "not at native scale"
        y, x = corner
        np.testing.assert_array_equal(out_mask, mask[y : y + size[0], x : x + size[1]])
        corners.append(corner)
    for found, raw, target in zip(zip(*corners, strict=True), image.shape, size, strict=True):
        room = raw - target
        assert min(found) <= 0.3 * room
        assert max(found) >= 0.7 * room


def test_crops_of_a_strip_reach_both_ends():
    augment = augment_with("crop", (64, 64))
    image = np.broadcast_to(np.arange(240, dtype=np.uint8), (64, 240)).copy()
    lefts = [int(augment(image, image, (1,), f"{k}", 0)[0][0, 0]) for k in range(600)]
    assert min(lefts) <= 2
    assert 240 - 64 - 2 <= max(lefts) <= 240 - 64
    assert len(set(lefts)) > 140


@pytest.mark.parametrize("raw", [(40, 300), (300, 40), (40, 50), (128, 64)])
def test_images_smaller_than_the_target(raw):
    """Taken whole along the short side, cut at native scale along the long one, then scaled up."""
    size = (128, 128)
    height, width = raw
    image = noise(0, raw)
    for epoch in range(5):
        out, _ = augment_with("crop", size)(image, image, (1,), "a", epoch)
        assert out.shape == size
        windows = [
            image[y : y + 128, x : x + 128]
            for y in range(max(height - 128, 0) + 1)
            for x in range(max(width - 128, 0) + 1)
        ]
        assert any(np.array_equal(out, resize(window, window, size)[0]) for window in windows)
    for name in ("rotation", "vertical_flip", "zoom", "light"):
        out, out_mask = augment_with(name, size)(image, image, (1,), "a", 0)
        assert out.shape == out_mask.shape == size


def test_without_a_draw_a_sample_is_resized_alone():
    augment = augmenter((64, 64), SHARES, {"crop": 1}, gate=0.0)
    image, mask = noise(0, (48, 200)), noise(1, (48, 200), 5)
    for out, expected in zip(augment(image, mask, (1,), "a", 0), resize(image, mask, (64, 64)), strict=True):
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", [*MOVES, "light"])
def test_the_sample_given_is_not_written_to(name):
    image, mask = noise(0, (64, 100)), noise(1, (64, 100), 5)
    image.flags.writeable = mask.flags.writeable = False
    for epoch in range(4):
        augment_with(name, (64, 64))(image, mask, (1,), "a", epoch)


@pytest.mark.parametrize("name", ["crop", "rotation", "zoom", "light"])
def test_draws_differ_by_epoch_sample_and_seed_and_by_nothing_else(name):
    image = cv2.GaussianBlur(noise(0, (64, 600)), (0, 0), 2)
    augment, other = (augment_with(name, (64, 64), seed=seed) for seed in (1, 2))
    keys = [(epoch, image_id) for epoch in range(5) for image_id in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")]
    drawn = {key: augment(image, image, (1,), key[1], key[0])[0].tobytes() for key in keys}
    assert len(set(drawn.values())) >= 19, "draws repeat themselves"
    for epoch, image_id in reversed(keys):
        assert augment(image, image, (1,), image_id, epoch)[0].tobytes() == drawn[epoch, image_id]
    copy = pickle.loads(pickle.dumps(augment))  # what a worker process gets
    fresh = augment_with(name, (64, 64), seed=1)
    for epoch, image_id in (keys[7], keys[3]):
        for same in (copy, fresh):
            assert same(image, image, (1,), image_id, epoch)[0].tobytes() == drawn[epoch, image_id]
    assert sum(other(image, image, (1,), key[1], key[0])[0].tobytes() == drawn[key] for key in keys) <= 1


def test_which_samples_are_augmented_differs_by_epoch():
    augment = augmenter((16, 16), SHARES, {"vertical_flip": 1}, gate=0.5)
    image = noise(0, (16, 16))
    gates = np.array(
        [[np.array_equal(augment(image, image, (1,), f"{k}", e)[0], image) for k in range(40)] for e in range(20)]
    )
    assert len({tuple(row) for row in gates}) == 20
    assert len({tuple(column) for column in gates.T}) == 40


class Noise(Dataset):
    """A few noisy images, augmented in whichever process asks for them."""

    def __init__(self, augment: Augment) -> None:
        self.augment = augment

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        image = noise(index, (32, 96))
        out, mask = self.augment(image, image, (index % 4 + 1,), f"{index}.jpg", epoch)
        return {"image": out.copy(), "mask": mask.copy(), "index": index}


def test_workers_do_not_change_the_draws():
    """Left to its own generator albumentations draws the same in every worker, and again in every epoch."""
    weights = {"crop": 1, "vertical_flip": 1, "rotation": 2}
    also = {"zoom": 0.5, "light": 0.5, "horizontal_flip": 0.5}
    dataset = Noise(augmenter((32, 32), SHARES, weights, also=also, seed=7))

    def epochs(workers: int, persistent: bool) -> list[dict[int, bytes]]:
        sampler = EpochSampler(dataset, num_replicas=1, rank=0, shuffle=True, seed=3)
        loader = DataLoader(
            dataset,
            batch_size=2,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=persistent,
            collate_fn=collate,
            worker_init_fn=limit_worker_threads,
        )
        found = []
        for epoch in range(2):
            sampler.set_epoch(epoch)
            batches = list(loader)
            order = [int(i) for batch in batches for i in batch["index"]]
            pixels = [image.numpy().tobytes() for batch in batches for image in batch["image"]]
            found.append(dict(zip(order, pixels, strict=True)))
        return found

    alone = epochs(0, False)
    assert [len(epoch) for epoch in alone] == [10, 10]
    assert sum(alone[0][i] == alone[1][i] for i in range(10)) <= 2, "an epoch repeats the one before"
    for workers, persistent in ((1, False), (2, False), (2, True)):
        found = epochs(workers, persistent)
        assert found == alone
        assert [list(epoch) for epoch in found] == [list(epoch) for epoch in alone], "another order"


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"weights": {"crop": 0}}, "weights: one must be above 0"),
        ({"weights": {}}, "weights: one must be above 0"),
        ({"gate": "class_wieghted"}, "gate=class_wieghted: class_weighted, or a probability from 0 to 1"),
        ({"gate": None}, "gate=null"),
        ({"gate": 1.5}, "gate=1.5"),
        ({"clean_prob": -0.1}, "clean_prob=-0.1: a number from 0 to 1"),
        ({"clean_prob": float("nan")}, "clean_prob=nan"),
        ({"weights": {"crop": -1}}, "weights.crop=-1: a number, 0 or more"),
        ({"weights": {"crop": float("nan")}}, "weights.crop=nan"),
        ({"weights": {"crop": float("inf")}}, "weights.crop=inf"),
        ({"weights": {"turn": 1}}, "weights.turn: there is no such setting; did you mean also.turn"),
        ({"rotation_limit": 200}, "rotation_limit=200: a number from 0 to 180"),
        ({"rotation_limit": "a"}, "rotation_limit=a"),
        ({"weights": 5}, "weights=5"),
        ({"also": {"crop": 0.1}}, "also.crop: there is no such setting"),
        ({"also": {"zoom": 3}}, "also.zoom=3: a number from 0 to 1"),
        ({"also": {"zoom": "often"}}, "also.zoom=often"),
    ],
)
def test_a_bad_setting(settings, fault):
    with pytest.raises(SettingFaults, match=re.escape(fault)):
        augmenter((64, 64), SHARES, **({"weights": {"crop": 1}} | settings))


def test_turns_that_never_happen_are_fine_for_strips():
    image = noise(0, (32, 64))
    assert augmenter((32, 64), SHARES, {"crop": 1}, also={"turn": 0})(image, image, (1,), "a", 0)[0].shape == (32, 64)


OWN = """
import numpy as np

def marks(image, mask, rng):
    row = rng.integers(image.shape[0])
    image, mask = image.copy(), mask.copy()
    image[row], mask[row] = 255, 4
    return image, mask

def fails(image, mask, rng): return image + "a", mask
def floats(image, mask, rng): return image / 255, mask
def smaller(image, mask, rng): return image, mask[:-1]
def alone(image, mask, rng): return image
def fifth(image, mask, rng): return image, mask + 5
def three(image, mask, rng): return image, mask, mask
def lists(image, mask, rng): return image, mask.tolist()
"""


@pytest.fixture
def own_module(desk):
    desk("my_marks.py", OWN)


def test_a_function_of_ones_own_comes_last_and_is_drawn_like_the_others(own_module):
    plain = augmenter((32, 48), SHARES, {"crop": 1}, gate=0.0)
    own = augmenter((32, 48), SHARES, {"crop": 1}, gate=0.0, own="my_marks.marks")
    raw, truth = noise(3, (64, 96), 200), np.zeros((64, 96), np.uint8)
    rows = set()
    for epoch in range(6):
        image, mask = own(raw, truth, (), "a", epoch)
        assert np.array_equal(image, own(raw, truth, (), "a", epoch)[0]), "another draw of the same sample"
        (row,) = np.flatnonzero(mask.any(axis=1))
        untouched = np.delete(np.arange(32), row)
        np.testing.assert_array_equal(image[untouched], plain(raw, truth, (), "a", epoch)[0][untouched])
        assert (image[row] == 255).all()
        assert (mask[row] == 4).all()
        rows.add(row)
    assert len(rows) > 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", r"failed: .*my_marks\.py, line 10\)"),
        ("floats", r"returned as image float64 of shape \[16, 16\]; it has to return uint8 of shape \[16, 16\]"),
        ("smaller", r"returned as mask uint8 of shape \[15, 16\]"),
        ("alone", "returned ndarray; it has to return image and mask"),
        ("three", "returned tuple; it has to return image and mask"),
        ("lists", "returned tuple; it has to return image and mask"),
        ("fifth", "returned a mask with class 5; there are 4"),
    ],
)
def test_what_a_function_of_ones_own_must_not_return(own_module, name, message):
    augment = augmenter((16, 16), SHARES, {"crop": 1}, own=f"my_marks.{name}")
    with pytest.raises(UserError, match=rf"recipe\.augment\.own=my_marks\.{name} {message}"):
        augment(noise(0, (16, 16)), np.zeros((16, 16), np.uint8), (), "a", 0)


def test_a_function_of_ones_own_that_is_not_there():
    with pytest.raises(UserError, match=r"recipe\.augment\.own=no_marks\.dust: there is no module no_marks"):
        augmenter((16, 16), SHARES, {"crop": 1}, own="no_marks.dust")
