"""The order of findings, and the table that a reviewer fills in."""

from __future__ import annotations

import io

import pandas as pd

from steel_defects.audit.finding import COLUMNS, KINDS, Finding, ranked, table

CLASSES = ("scratch", "patch, large")


def finding(image_id: str, score: float, kind: str = "missing", **changes) -> Finding:
    values = {
        "size": (4, 6),
        "reason": "A sentence, with a comma.",
        "class_id": 0,
        "suggested_id": 2,
        "confidence": 0.87654321,
        "marked": "",
        "suggested": "1 2 9 1",
        "marked_px": 0,
        "suggested_px": 3,
    }
    return Finding(image_id=image_id, score=score, kind=kind, **(values | changes))


def test_images_come_by_their_worst_finding_and_stay_together():
    given = [
        finding("a", 0.3),
        finding("b", 0.2),
        finding("c", 0.9),
        finding("b", 0.95),
        finding("a", 0.9, "unseen"),
        finding("a", 0.9, "class"),
    ]
    order = [(f.image_id, f.score, f.kind) for f in ranked(given)]
    assert order == [
        ("b", 0.95, "missing"),
        ("b", 0.2, "missing"),
        ("a", 0.9, "class"),
        ("a", 0.9, "unseen"),
        ("a", 0.3, "missing"),
        ("c", 0.9, "missing"),
    ]
    assert ranked(given[::-1]) == ranked(given)
    assert ranked([]) == []


def test_table_as_pandas_reads_it_back():
    unseen = {"class_id": 1, "suggested_id": 0, "marked": "5 2", "suggested": "", "marked_px": 2, "suggested_px": 0}
    given = ranked(
        [finding("b.png", 0.123456), finding("a.png", 1 / 3, "unseen", fold=0, **unseen), finding("b.png", 0.5)]
    )
    found = table(given, CLASSES)
    assert list(found.columns) == COLUMNS
    back = pd.read_csv(io.StringIO(found.to_csv(index=False)), keep_default_na=False, dtype=str)
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
    empty = table([], CLASSES)
    assert list(empty.columns) == COLUMNS
    assert empty.to_csv(index=False) == ",".join(COLUMNS) + "\n"


def test_kinds_are_told_in_words():
    assert all(words and words != kind for kind, words in KINDS.items())
