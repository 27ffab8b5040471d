"""The split: shares, strata, whole groups, and the file it is kept in."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.split import PARTS, make_split, read_split, split_hash, write_split

SHARES = (0.8, 0.1, 0.1)


def severstal_table(seed: int = 0) -> list[tuple[int, ...]]:
    """12,568 images; 897/247/5,150/801 with class 1..4, 429 of them with two classes; 6,666 with a defect."""
    rng = np.random.default_rng(seed)
    pool = rng.permutation(np.repeat([1, 2, 3, 4], [897, 247, 5150, 801])).tolist()
    doubles = []
    while len(doubles) < 429:
        first = pool.pop()
        second = next(k for k in reversed(range(len(pool))) if pool[k] != first)
        doubles.append(tuple(sorted((first, pool.pop(second)))))
    table = doubles + [(c,) for c in pool]
    assert len(table) == 6666
    table += [()] * (12568 - len(table))
    return [table[k] for k in rng.permutation(len(table))]


def twin_groups(table: list[tuple[int, ...]], seed: int, count: int = 300) -> np.ndarray:
    """`count` images each join another with the same classes."""
    order = sorted(np.random.default_rng(seed).permutation(len(table)).tolist(), key=lambda k: table[k])
    groups = np.arange(len(table))
    for k in np.random.default_rng(seed).choice(len(table) // 2, count, replace=False) * 2:
        if table[order[k]] == table[order[k + 1]]:
            groups[order[k + 1]] = order[k]
    return groups


def shares_of_classes(parts: list[str], table: list[tuple[int, ...]], part: str) -> np.ndarray:
    found = Counter(c for p, classes in zip(parts, table, strict=True) if p == part for c in classes)
    whole = Counter(c for classes in table for c in classes)
    return np.array([found[c] / whole[c] for c in sorted(whole)])


def random_case(seed: int) -> tuple[list[tuple[int, ...]], list[int], tuple[float, float, float]]:
    rng = np.random.default_rng(seed)
    count, classes = int(rng.integers(3, 200)), int(rng.integers(1, 6))
    table = [tuple((np.flatnonzero(rng.random(classes) < 0.4) + 1).tolist()) for _ in range(count)]
    groups = np.arange(count) if seed % 2 else rng.integers(0, count, count)
    fractions = [SHARES, (0.7, 0.2, 0.1), (0.6, 0.4, 0.0), (0.34, 0.33, 0.33), (0.9, 0.05, 0.05)][seed % 5]
    return table, groups.tolist(), fractions


@pytest.mark.parametrize("seed", range(0, 120))
def test_any_table_is_divided_as_promised(seed):
    table, groups, fractions = random_case(seed)
    parts = make_split(table, groups, fractions, seed)
    assert len(parts) == len(table)
    assert set(parts) <= set(PARTS)
    whole = {}
    for number, classes, part in zip(groups, table, parts, strict=True):
        assert whole.setdefault(number, (part, set()))[0] == part, "a group was divided"
        whole[number][1].update(classes)
    biggest = max(Counter(groups).values())
    for part, fraction in zip(PARTS, fractions, strict=True):
        assert abs(parts.count(part) - fraction * len(table)) <= biggest + 1
        if len(whole) >= 3:
            assert (part in parts) == (fraction > 0)
    strata = [tuple(sorted(whole[number][1])) for number in groups]
    for stratum, images in Counter(strata).items():
        if images >= 10:
            inside = [k for k, own in enumerate(strata) if own == stratum]
            step = max(Counter(groups[k] for k in inside).values())
            for part, fraction in zip(PARTS, fractions, strict=True):
                assert abs(sum(parts[k] == part for k in inside) - fraction * images) <= step + 1e-6
    for c in set().union(*table):
        holders = [part for part, classes in whole.values() if c in classes]
        assert len(holders) < 3 or "train" in holders


def test_severstal_counts_are_divided_quickly_and_evenly():
    table = severstal_table()
    started = time.process_time()
    parts = make_split(table, range(len(table)))
    assert time.process_time() - started < 10  # of this process alone: not of what else the machine does
    assert [parts.count(part) for part in PARTS] == pytest.approx([10054.4, 1256.8, 1256.8], abs=1.5)
    for part, fraction in zip(PARTS, SHARES, strict=True):
        assert shares_of_classes(parts, table, part) == pytest.approx([fraction] * 4, abs=0.01)


def test_no_worse_than_stratified_group_k_fold():
    sklearn = pytest.importorskip("sklearn.model_selection")
    table = severstal_table(1)[::3]  # the reference takes its time over more
    groups = twin_groups(table, seed=2)
    ours = make_split(table, groups.tolist(), SHARES, seed=3)
    numbers = {classes: k for k, classes in enumerate(sorted(set(table)))}
    folds = sklearn.StratifiedGroupKFold(n_splits=10, shuffle=True, random_state=3)
    _, held_out = next(folds.split(np.zeros(len(table)), [numbers[classes] for classes in table], groups))
    theirs = ["train"] * len(table)
    for k in held_out:
        theirs[k] = "test"
    off = {name: np.abs(shares_of_classes(p, table, "test") - 0.1).max() for name, p in (("a", ours), ("b", theirs))}
    assert off["a"] <= off["b"] + 0.01
    assert off["a"] < 0.02


def test_rare_strata_do_not_all_go_to_train():
    table = [(c,) for c in range(1, 61)] + [()] * 40  # sixty classes of one image each
    parts = make_split(table, range(100))
    assert Counter(parts[:60]) == {"train": 48, "val": 6, "test": 6}


@pytest.mark.parametrize(
    ("table", "fractions"),
    [
        ([(1, 2, 4), (2, 3, 4), (1, 2, 3, 4), (), (1, 3)], (0.34, 0.33, 0.33)),
        ([(2,), (1, 2), (), (1, 2)], (0.1, 0.6, 0.3)),
    ],
)
def test_a_class_of_three_groups_is_in_train_even_in_rare_company(table, fractions):
    parts = make_split(table, range(len(table)), fractions)
    assert set(parts) == set(PARTS), "the part that it came from was emptied"
    for c in set().union(*table):
        holders = [part for part, classes in zip(parts, table, strict=True) if c in classes]
        assert len(holders) < 3 or "train" in holders


def test_the_smallest_group_is_moved():
    """To a part that is empty, from the one with most groups; to train, if it lacks a class."""
    sizes = [90, 7, 2, 1]
    parts = make_split([(1,)] * 100, np.repeat(range(4), sizes).tolist(), (0.98, 0.01, 0.01))
    assert Counter(parts) == {"train": 97, "val": 1, "test": 2}
    parts = make_split([(1,)] * 9 + [()], np.repeat(range(4), [4, 3, 2, 1]).tolist(), (0.1, 0.6, 0.3))
    assert parts == ["val"] * 4 + ["test"] * 3 + ["train"] * 3


@pytest.mark.parametrize("fractions", [SHARES, (0.5, 0.3, 0.2), (0.7, 0.15, 0.15)])
def test_single_images_are_divided_to_the_image(fractions):
    """Of every stratum each part has its share, rounded up or down, although the strata before left it short."""
    table = [(c,) for c in range(1, 25) for _ in range(c + 4)]
    parts = make_split(table, range(len(table)), fractions)
    for c in range(1, 25):
        inside = Counter(part for part, classes in zip(parts, table, strict=True) if classes == (c,))
        for part, fraction in zip(PARTS, fractions, strict=True):
            assert abs(inside[part] - fraction * (c + 4)) < 1


@pytest.mark.parametrize("seed", range(8))
def test_many_classes_do_not_outweigh_the_total(seed):
    """Of twelve classes, nearly every image is a stratum of its own."""
    table = [tuple((np.flatnonzero(row) + 1).tolist()) for row in np.random.default_rng(seed).random((200, 12)) < 0.5]
    parts = make_split(table, range(200))
    assert [parts.count(part) for part in PARTS] == pytest.approx([160, 20, 20], abs=1)


def test_the_seed_decides():
    table = severstal_table()[:500]
    first, again, other = (make_split(table, range(500), SHARES, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert split_hash(map(str, range(500)), first) == "58afd95e3d80", (
        "a seed gives another split than in earlier versions"
    )


def test_three_groups_fill_three_parts():
    assert sorted(make_split([(1,)] * 9, [0, 0, 0, 1, 1, 1, 2, 2, 2])) == ["test"] * 3 + ["train"] * 3 + ["val"] * 3
    assert make_split([], []) == []
    assert make_split([(1,)], [7]) == ["train"]


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ("[0.8,0.1,0.2]", "sum to 1.1"),
        ("[1.1,-0.1,0.0]", "negative"),
        ("[0.0,0.5,0.5]", "train on"),
        ("[0.8,0.2]", "three"),
        ("0.8", "three numbers, for train, val and test"),
        ("[a,b,c]", "three numbers"),
        ("[.nan,0.5,0.5]", "three numbers"),
    ],
)
def test_fractions_that_are_none(settings, fractions, message):
    with pytest.raises(UserError, match=rf"data\.split\.fractions.*{message}"):
        settings(f"data.split.fractions={fractions}")


def test_class_sets_and_groups_go_together():
    with pytest.raises(ValueError, match="shorter"):
        make_split([(1,)] * 10, range(11))


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "study" / "run" / "split.csv"
    names = ["b, with comma.jpg", "a.jpg", "c.jpg"]
    write_split(path, names, ["val", "train", "test"], [(3, 1), (), (2,)], np.array([0, 1, 2]))
    assert path.read_text().splitlines()[:3] == [
        "ImageId,part,classes,group",
        '"b, with comma.jpg",val,1 3,0',
        "a.jpg,train,,1",
    ]
    assert read_split(path, ["c.jpg", *names[:2]]) == ["test", "val", "train"]
    assert [file.name for file in path.parent.iterdir()] == ["split.csv"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("old")
    with pytest.raises(ValueError, match=r"shorter|longer"):
        write_split(path, ["a", "b"], ["train"], [(), ()], [0, 1])
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["split.csv"]


def test_byte_order_mark_crlf_spaces_and_two_columns(tmp_path):
    path = tmp_path / "split.csv"
    path.write_bytes(b'\xef\xbb\xbfpart, ImageId\r\ntrain, a.jpg\r\ntest, "b, or c.jpg"\r\n')
    assert read_split(path, ["b, or c.jpg", "a.jpg"]) == ["test", "train"]


def test_all_faults_at_once(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("ImageId,part\na.jpg,train\na.jpg,val\nb.jpg,valid\n,train\nghost.jpg,test\nshort.jpg\n")
    wanted = ["a.jpg", "b.jpg", "short.jpg", *(f"{k}.jpg" for k in range(13))]
    with pytest.raises(DataFaults) as caught:
        read_split(path, wanted)
    faults = caught.value.faults
    assert [fault.row for fault in faults] == [3, 4, 5, 7, None, None]
    text = str(caught.value)
    for words in (
        "a.jpg is listed already in row 2",
        "unknown part 'valid'",
        "no ImageId",
        "unknown part ''",
        "13 images of the data set not in the split: 0.jpg, 1.jpg",
        "9.jpg and 3 more",
        "1 image of the split not in the data set: ghost.jpg",
    ):
        assert words in text
    assert "12.jpg" not in text


@pytest.mark.parametrize(
    ("content", "row", "message"),
    [
        ("ImageId,set\na.jpg,train\n", 1, "column part is missing; there are: ImageId, set"),
        ("", 1, "column ImageId is missing"),
        ("ImageId,part\na.jpg,val\n", None, "no image is in train"),
    ],
)
def test_files_that_are_no_split(tmp_path, content, row, message):
    path = tmp_path / "split.csv"
    path.write_text(content)
    with pytest.raises(DataFaults, match=message) as caught:
        read_split(path, ["a.jpg"])
    assert caught.value.faults[0].row == row


def test_images_left_out_may_be_in_the_file(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("ImageId,part\na,train\nb,val\nc,test\n")
    assert read_split(path, ["a", "c"], dropped={"b"}) == ["train", "test"]
    with pytest.raises(DataFaults, match="1 image of the split not in the data set: b"):
        read_split(path, ["a", "c"])


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.csv").write_bytes(b"ImageId,part\n\xff\xfe\n")
    for name in ("absent.csv", "binary.csv", "."):
        with pytest.raises(UserError, match="cannot be read"):
            read_split(tmp_path / name, ["a.jpg"])


def test_the_hash_tells_splits_apart():
    one = split_hash(["a", "b"], ["train", "val"])
    assert one == split_hash(["b", "a"], ["val", "train"])
    assert one != split_hash(["a", "b"], ["val", "train"])
    assert len(one) == 12


@pytest.mark.parametrize(("missing", "end"), [(10, "9.jpg"), (11, "9.jpg and 1 more")])
def test_up_to_ten_images_are_named(tmp_path, missing, end):
    (tmp_path / "split.csv").write_text("ImageId,part\na.jpg,train\n")
    with pytest.raises(DataFaults) as caught:
        read_split(tmp_path / "split.csv", ["a.jpg", *(f"{k}.jpg" for k in range(missing))])
    (fault,) = caught.value.faults
    assert fault.message.startswith(f"{missing} images of the data set not in the split: 0.jpg, 1.jpg")
    assert fault.message.endswith(end)
