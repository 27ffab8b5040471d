"""The order of findings, and the table that a reviewer fills in."""

from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd

from steel_defects.audit.finding import COLUMNS, Finding, by_image, ranked, table

CLASSES = ("scratch", "patch, large")


def finding(image_id: str, score: float, kind: str = "missing", **changes) -> Finding:
    reason = "A sentence, with a comma."
    return replace(Finding(image_id, (4, 6), kind, score, reason, 0, 2, 0.87654321, "", "1 2 9 1", 0, 3), **changes)


def test_images_come_by_their_worst_finding_and_stay_together():
    first, second = finding("b", 0.95), finding("b", 0.2)
    third, fourth, fifth = finding("a", 0.9, "class"), finding("a", 0.9, "unseen"), finding("a", 0.3)
    order = [first, second, third, fourth, fifth, finding("c", 0.9)]
    assert ranked([order[k] for k in (4, 1, 5, 0, 3, 2)]) == order
    assert ranked(order[::-1]) == order
    assert [(rank, image_id, len(inside)) for rank, image_id, inside in by_image(order)] == [
        *((1, "b", 2), (2, "a", 3), (3, "c", 1))
    ]
    assert ranked([]) == []


def test_table_as_pandas_reads_it_back():
    unseen = {"class_id": 1, "suggested_id": 0, "marked": "5 2", "suggested": "", "marked_px": 2, "suggested_px": 0}
    given = ranked(
        [finding("b.png", 0.123456), finding("a.png", 1 / 3, "unseen", fold=0, **unseen), finding("b.png", 0.5)]
    )
    back = pd.read_csv(io.StringIO(table(given, CLASSES).to_csv(index=False)), keep_default_na=False, dtype=str)
    assert back["rank"].tolist() == ["1", "1", "2"]  # of images
    assert back["ImageId"].tolist() == ["b.png", "b.png", "a.png"]
    assert back["score"].tolist() == ["0.5", "0.1235", "0.3333"]
    assert back["verdict"].tolist() == ["", "", ""]
    assert back.loc[0, "reason"] == "A sentence, with a comma."
    # Whole numbers stay whole beside empty cells.
    assert back["class_id"].tolist() == ["", "", "1"]
    assert back["class"].tolist() == ["", "", "scratch"]
    assert back["suggested_class_id"].tolist() == ["2", "2", ""]
    assert back["suggested_class"].tolist() == ["patch, large", "patch, large", ""]
    assert back["fold"].tolist() == ["", "", "0"]
    assert back["confidence"].tolist() == ["0.8765"] * 3
    assert back[["marked", "suggested"]].to_numpy().tolist() == [["", "1 2 9 1"], ["", "1 2 9 1"], ["5 2", ""]]
    assert back[["marked_px", "suggested_px"]].to_numpy().tolist() == [["0", "3"], ["0", "3"], ["2", "0"]]


def test_table_of_nothing_has_its_columns():
    assert table([], CLASSES).to_csv(index=False) == ",".join(COLUMNS) + "\n"
