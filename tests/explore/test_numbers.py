"""What the page shows, from tables made up with answers counted in plain Python."""

from __future__ import annotations

import random
import statistics

import numpy as np
import pandas as pd
import pytest

from steel_defects.explore import numbers

CLASSES = ["pits", "streaks", "scratches", "nothing of this"]


def regions_table(rows: list[tuple]) -> pd.DataFrame:
    """Rows: image, class, area, percent, segments, resized pixels."""
    columns = ["ImageId", "class_id", "area_px", "area_percent", "segments", "resized_px"]
    table = pd.DataFrame(rows, columns=columns).astype({"segments": "Int64", "resized_px": "Int64"})
    return table.assign(vanished=(table["resized_px"] == 0).astype("boolean"))


@pytest.fixture
def made_up() -> list[tuple]:
    """300 images with some of three classes."""
    rng = random.Random(3)
    rows = []
    for i in range(300):
        for c in (1, 2, 3):
            if rng.random() < 0.15 * c:
                area = rng.randint(1, 9000)
                rows.append((f"{i:03}.png", c, area, area / 100, rng.randint(1, 14), rng.choice([0, area // 6])))
    return rows


def images_table(rows: list[tuple], count: int = 300) -> pd.DataFrame:
    own = [[row for row in rows if row[0] == f"{i:03}.png"] for i in range(count)]
    return pd.DataFrame(
        {
            "ImageId": [f"{i:03}.png" for i in range(count)],
            "regions": [len(of) for of in own],
            "area_px": [sum(row[2] for row in of) for of in own],
        }
    )


def test_totals_and_classes(made_up):
    images, regions = images_table(made_up), regions_table(made_up)
    defective = {row[0] for row in made_up}
    assert numbers.totals(images) == numbers.Totals(
        images=300,
        defective=len(defective),
        regions=len(made_up),
        area_px=sum(row[2] for row in made_up),
    )
    table = numbers.class_table(regions, CLASSES)
    assert list(table.index) == CLASSES
    for c, name in enumerate(CLASSES[:3], start=1):
        areas = [row[2] for row in made_up if row[1] == c]
        assert table.loc[name].to_dict() == pytest.approx(
            {
                "images": len(areas),
                "share": len(areas) / len(made_up),
                "area_px": sum(areas),
                "area_share": sum(areas) / sum(row[2] for row in made_up),
                "median_px": statistics.median(areas),
                "mean_percent": statistics.mean(areas) / 100,
            }
        )
    assert table.loc["nothing of this", ["images", "share", "area_px", "area_share"]].tolist() == [0, 0, 0, 0]
    assert np.isnan(table.loc["nothing of this", "median_px"])


def test_classes_per_image_and_co_occurrence(made_up):
    classes = {f"{i:03}.png": {row[1] for row in made_up if row[0] == f"{i:03}.png"} for i in range(300)}
    most = max(map(len, classes.values()))
    expected = {k: sum(len(of) == k for of in classes.values()) for k in range(most + 1)}
    assert numbers.classes_per_image(images_table(made_up)) == expected
    together = numbers.co_occurrence(regions_table(made_up), 4)
    assert together.tolist() == [
        [sum({a, b} <= of for of in classes.values()) for b in range(1, 5)] for a in range(1, 5)
    ]


def test_segments_per_region(made_up):
    regions = regions_table(made_up)
    bins, many = numbers.segment_bins(regions, CLASSES), numbers.fragmented(regions, CLASSES)
    ranges = [range(1, 2), range(2, 3), range(3, 4), range(4, 5), range(5, 6), range(6, 11), range(11, 99)]
    assert list(bins.columns) == ["1", "2", "3", "4", "5", "6-10", ">10"]
    for c, name in enumerate(CLASSES[:3], start=1):
        counts = [row[4] for row in made_up if row[1] == c]
        assert bins.loc[name].tolist() == [sum(n in within for n in counts) for within in ranges]
        assert many.loc[name].tolist() == [sum(n > k for n in counts) / len(counts) for k in (1, 3, 5, 10)]
    assert bins.loc["nothing of this"].sum() == 0
    assert many.loc["nothing of this"].isna().all()


def test_segment_sizes():
    rng = np.random.default_rng(0)
    segments = pd.DataFrame({"class_id": rng.integers(1, 4, 200), "area_px": rng.integers(1, 9000, 200)})
    table = numbers.segment_sizes(segments, CLASSES)
    for c, name in enumerate(CLASSES[:3], start=1):
        areas = segments["area_px"].to_numpy()[segments["class_id"].to_numpy() == c]
        quantiles = [np.quantile(areas, q) for q in numbers.QUANTILES]
        assert table.loc[name].tolist() == pytest.approx([len(areas), *quantiles])
    assert table.loc["nothing of this", "segments"] == 0
    assert table.loc["nothing of this"].isna().sum() == 5


def test_what_survives_the_resize():
    rows = [
        ("a", 1, 600, 6.0, 2, 100),
        ("b", 1, 40, 0.4, 1, 0),
        ("c", 2, 120, 1.2, 1, 20),
        ("d", 2, 7, None, None, None),
    ]
    segments = pd.DataFrame({"class_id": [1, 1, 1, 2], "resized_px": [100, 0, 0, 20]})
    table = numbers.survival(regions_table(rows), segments, CLASSES, (40, 50))
    assert table.loc["pits"].to_dict() == pytest.approx(
        {
            "pixels": 100 / 640,
            "area": (100 / 2000) / 0.064,
            "segments": 1 / 3,
            "regions": 1 / 2,
            "vanished_segments": 2,
            "vanished_regions": 1,
        }
    )
    assert table.loc["streaks"].tolist() == pytest.approx([20 / 120, (20 / 2000) / 0.012, 1, 1, 0, 0])
    assert table.loc["scratches", ["pixels", "area", "segments", "regions"]].isna().all()
    assert table["vanished_regions"].tolist() == [1, 0, 0, 0]


def test_vanished_regions_the_largest_first():
    rows = [("a", 1, 5, 0.1, 1, 0), ("b", 1, 9, 0.1, 1, 1), ("b", 2, 8, 0.1, 1, 0), ("c", 1, 9, None, None, None)]
    gone = numbers.vanished(regions_table(rows))
    assert gone[["ImageId", "class_id"]].values.tolist() == [["b", 2], ["a", 1]]


def test_image_sizes():
    heights, widths = [8, 8, None, 4, 8], [12, 12, None, 12, 9]
    table = pd.DataFrame({"height": pd.array(heights, "Int64"), "width": pd.array(widths, "Int64")})
    assert numbers.image_sizes(table).values.tolist() == [[8, 12, 2], [4, 12, 1], [8, 9, 1]]
    assert numbers.image_sizes(table.iloc[2:3]).empty


def light_table(rows: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(numbers.LIGHT))
    return table.astype({name: "Int64" for name in numbers.LIGHT if name.startswith("margin")})


def test_light_of_the_images_that_were_read():
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 200, (50, 7)) * (rng.random((50, 7)) < [1, 1, 1, 0.4, 0.2, 0.1, 0])
    summary = numbers.light_summary(light_table(np.vstack([rows, np.full((3, 7), np.nan)])))
    assert list(summary.index) == list(numbers.LIGHT)
    for k, name in enumerate(numbers.LIGHT):
        expected = [50, rows[:, k].mean(), *np.quantile(rows[:, k], numbers.QUANTILES)]
        assert summary.loc[name].tolist() == pytest.approx(expected)
    assert numbers.margin_share(light_table(rows)) == pytest.approx((rows[:, 3:] > 0).any(axis=1).mean())


def test_nothing_at_all():
    regions, images = regions_table([]), images_table([], 2)
    assert numbers.totals(images) == (2, 0, 0, 0)
    assert numbers.classes_per_image(images) == {0: 2}
    assert numbers.co_occurrence(regions, 4).tolist() == np.zeros((4, 4)).tolist()
    assert numbers.class_table(regions, CLASSES)["share"].isna().all()
    assert numbers.segment_bins(regions, CLASSES).to_numpy().sum() == 0
    assert numbers.fragmented(regions, CLASSES).isna().all(axis=None)
    segments = pd.DataFrame({"class_id": [], "area_px": [], "resized_px": []}, dtype="int64")
    assert numbers.segment_sizes(segments, CLASSES)["segments"].tolist() == [0] * 4
    assert numbers.survival(regions, segments, CLASSES, (8, 8))["regions"].isna().all()
    assert numbers.vanished(regions).empty
    nothing_read = light_table(np.full((2, 7), np.nan))
    assert numbers.light_summary(nothing_read)["images"].tolist() == [0] * 7
    assert np.isnan(numbers.margin_share(nothing_read))
