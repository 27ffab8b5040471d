"""Which images are shown, against plain loops over the rows."""

import statistics

import numpy as np
import pandas as pd
import pytest

from steel_defects.core.runs import RunFolder
from steel_defects.report.choose import Typical, shown_runs, typical, worst
from steel_defects.report.records import Run, Study, System

CLASSES = ["pits", "streaks", "patches"]


def table(rng: np.random.Generator, count: int = 80, clean: float = 0.3, first: int = 0) -> pd.DataFrame:
    """Rows as of `per_image.csv`, in no order; IoU rounded so that there are ties."""
    ids = [f"{first + i:03}.png" for i in rng.permutation(count)]
    truth = np.random.default_rng(7)  # the same truth for all runs
    rows = {f"{first + i:03}.png": truth.random(3) < truth.choice([0.2, 0.6]) for i in range(count)}
    rows = {name: has & (truth.random() > clean) for name, has in rows.items()}
    values = {}
    for c, name in enumerate(CLASSES):
        true = np.array([rows[image_id][c] for image_id in ids]) * 100
        predicted = rng.integers(0, 4, count) * 10 * (rng.random(count) < 0.5)
        values[f"native_true_{name}"] = true
        values[f"native_predicted_{name}"] = predicted
        values[f"native_iou_{name}"] = np.where(true + predicted > 0, rng.random(count).round(1) * (true > 0), np.nan)
    frame = pd.DataFrame(values, index=pd.Index(ids, name="ImageId"))
    frame["native_iou"] = frame[[f"native_iou_{name}" for name in CLASSES]].mean(axis=1)
    return frame


def run(seed: int, per_image: pd.DataFrame | None, predictions: bool = True) -> Run:
    summary = {"seed": seed, "data": {"classes": CLASSES, "size": [64, 64]}}
    rows = pd.DataFrame(columns=["ClassId", "EncodedPixels", "ResizedPixels"]) if predictions else None
    return Run(RunFolder(f"run{seed}"), summary, {}, [], pd.DataFrame(), per_image, rows)


@pytest.fixture
def shown() -> dict[str, Run]:
    """The runs that stand for three systems."""
    rng = np.random.default_rng(0)
    return {name: run(0, table(rng)) for name in ("b", "a", "c")}


def test_the_lowest_seed_that_has_both_tables_is_shown():
    rows = table(np.random.default_rng(0))
    runs = [run(1, rows, predictions=False), run(2, None), run(4, rows), run(3, rows)]
    study = Study([System("some", None, runs), System("none", None, runs[:2])])
    assert {name: shown.seed for name, shown in shown_runs(study).items()} == {"some": 3}


def expected_worst(shown: dict[str, Run], per_group: int) -> list[str]:
    chosen = []
    for each in shown.values():
        rows = list(each.per_image.to_dict("index").items())
        for name in CLASSES:
            ious = sorted((row[f"native_iou_{name}"], image) for image, row in rows if row[f"native_true_{name}"])
            chosen += [image for _, image in ious[:per_group]]
        false = []
        for image, row in rows:
            pixels = sum(row[f"native_predicted_{name}"] for name in CLASSES)
            if pixels and not any(row[f"native_true_{name}"] for name in CLASSES):
                false.append((-pixels, image))
        chosen += [image for _, image in sorted(false)[:per_group]]
    return [image for i, image in enumerate(chosen) if image not in chosen[:i]]


@pytest.mark.parametrize("per_group", [1, 3, 1000])
def test_the_worst_are_those_of_every_system_class_and_false_alarm(shown, per_group):
    assert worst(shown, per_group) == expected_worst(shown, per_group)


def test_a_clean_image_without_a_false_alarm_is_not_among_the_worst():
    rows = table(np.random.default_rng(0), clean=1.0)
    rows[[f"native_predicted_{name}" for name in CLASSES]] = 0
    rows.loc["005.png", "native_predicted_pits"] = 1
    assert worst({"a": run(0, rows)}, 10) == ["005.png"]


def kinds_of(shown: dict[str, Run]) -> dict[tuple[str, ...], dict[str, float]]:
    """Set of classes -> image -> its IoU, averaged over the systems."""
    tables = [each.per_image for each in shown.values()]
    kinds: dict[tuple[str, ...], dict[str, float]] = {}
    for image in tables[0].index:
        kind = tuple(name for name in CLASSES if tables[0].loc[image, f"native_true_{name}"] > 0)
        kinds.setdefault(kind, {})[image] = statistics.mean(float(each.loc[image, "native_iou"]) for each in tables)
    return kinds


def test_typical_images_have_the_median_iou_of_their_kind(shown):
    kinds, chosen = kinds_of(shown), typical(shown)
    assert list(chosen.one) == CLASSES
    assert len(chosen.several) == 3
    for kind, image in [*(((name,), image) for name, image in chosen.one.items()), *chosen.several.items()]:
        assert kinds[kind][image] == pytest.approx(statistics.median_low(kinds[kind].values()))


def test_of_the_combinations_of_defects_the_most_frequent_are_typical(shown):
    counts = {kind: len(images) for kind, images in kinds_of(shown).items() if len(kind) > 1}
    chosen = list(typical(shown, several=2).several)
    assert len(counts) > 2
    assert sorted((counts[kind] for kind in chosen), reverse=True) == sorted(counts.values(), reverse=True)[:2]


def test_ties_are_ordered_by_id():
    rows = table(np.random.default_rng(0))
    alone = (rows["native_true_pits"] > 0) & ~rows[["native_true_streaks", "native_true_patches"]].any(axis=1)
    rows.loc[rows["native_true_pits"] > 0, ["native_iou", "native_iou_pits"]] = 0.5
    shown = {"a": run(0, rows)}
    ids = sorted(rows.index[alone])
    assert typical(shown).one["pits"] == ids[(len(ids) - 1) // 2]
    assert worst(shown, 2)[:2] == sorted(rows.index[rows["native_true_pits"] > 0])[:2]


def test_only_images_that_all_systems_were_tested_on_are_typical():
    rows = table(np.random.default_rng(0))
    alone = sorted(rows.index[(rows[[f"native_true_{name}" for name in CLASSES]] > 0).sum(axis=1) == 1])
    chosen = typical({"a": run(0, rows.drop(alone[1:])), "b": run(0, rows)})
    assert list(chosen.one.values()) == alone[:1]


def test_kinds_without_an_image_are_absent_and_without_a_run_nothing_is_chosen():
    rows = table(np.random.default_rng(0))
    rows = rows[(rows[["native_true_streaks", "native_true_patches"]] == 0).all(axis=1)]
    chosen = typical({"a": run(0, rows)})
    assert (list(chosen.one), chosen.several) == (["pits"], {})
    assert worst({}, 3) == []
    assert typical({}) == Typical({}, {})
