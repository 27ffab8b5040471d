"""A journal keeps what was written, loses no more than a torn end, and is not mixed up with another run's."""

from __future__ import annotations

import json
import sys

import pytest

from steel_defects.core.errors import UserError
from steel_defects.predict.journal import JOURNAL, MASKS, OVERLAYS, SUBMISSION, TABLES, Journal

HEAD = {"model": [{"file": "a.onnx"}], "size": (256, 1600), "white": None}
RECORDS = [{"image": f"{k}.jpg", "status": "ok", "codes": {"1": "1 2"}} for k in range(3)] + [
    {"image": "é\n,\udcff.jpg", "status": "error", "error": "is no image"}  # a file name that is no UTF-8
]


def write(output, records=RECORDS) -> bytes:
    with Journal(output, HEAD) as journal:
        for record in records:
            journal.append(record)
    return (output / JOURNAL).read_bytes()


def known(journal: Journal) -> list[bool]:
    return [journal.get(record["image"]) == record for record in RECORDS]


def test_records_come_back(tmp_path):
    write(tmp_path / "deep" / "out")
    with Journal(tmp_path / "deep" / "out", HEAD, resume=True) as journal:
        assert [journal.get(record["image"]) for record in RECORDS] == RECORDS
        assert journal.get("other.jpg") is None
        assert not journal.dropped
        again = RECORDS[0] | {"codes": {}}
        journal.append(again)
        assert journal.get("0.jpg") == again  # the later one
    with Journal(tmp_path / "deep" / "out", HEAD, resume=True) as journal:
        assert journal.get("0.jpg") == again
        assert journal.get("1.jpg") == RECORDS[1]


def test_each_record_is_on_disk_at_once(tmp_path):
    with Journal(tmp_path, HEAD) as journal:
        for count, record in enumerate(RECORDS, start=2):
            journal.append(record)
            assert (tmp_path / JOURNAL).read_bytes().count(b"\n") == count


def test_cut_anywhere(tmp_path):
    """As after kill -9 or a full disk: what was whole is kept, and the end is written anew."""
    whole = write(tmp_path)
    for cut in range(len(whole)):
        (tmp_path / JOURNAL).write_bytes(whole[:cut])
        kept = max(0, whole[:cut].count(b"\n") - 1)
        with Journal(tmp_path, HEAD, resume=True) as journal:
            assert known(journal) == [k < kept for k in range(len(RECORDS))]
            assert journal.dropped == (cut > 0 and not whole[:cut].endswith(b"\n"))
            for record in RECORDS[kept:]:
                journal.append(record)
        assert (tmp_path / JOURNAL).read_bytes() == whole


@pytest.mark.parametrize("tail", [b"\0" * 50, b"\0" * 50 + b"\n", b"[1]\n", b'"x"\n{}\n', b"{\xff}\n", b"\n"])
def test_rubbish_at_the_end_is_dropped(tmp_path, tail):
    whole = write(tmp_path)
    (tmp_path / JOURNAL).write_bytes(whole + tail)
    with Journal(tmp_path, HEAD, resume=True) as journal:
        assert journal.dropped
        assert journal.get("2.jpg") == RECORDS[2]
    assert (tmp_path / JOURNAL).read_bytes() == whole


def test_damage_in_the_middle_costs_one_record(tmp_path):
    lines = write(tmp_path).splitlines(keepends=True)
    lines[2] = b"\0" * (len(lines[2]) - 1) + b"\n"
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    with Journal(tmp_path, HEAD, resume=True) as journal:
        assert journal.dropped == 1
        assert known(journal) == [True, False, True, True]
        journal.append(RECORDS[1])
    with Journal(tmp_path, HEAD, resume=True) as journal:
        assert [journal.get(record["image"]) for record in RECORDS] == RECORDS


@pytest.mark.parametrize("name", [MASKS, OVERLAYS, *TABLES, SUBMISSION])
def test_what_is_not_ours_is_not_written_over(tmp_path, name):
    (tmp_path / name).mkdir() if "." not in name else (tmp_path / name).write_text("mine")
    for resume in (False, True):
        with pytest.raises(UserError, match=f"{name}.*another folder"):
            Journal(tmp_path, HEAD, resume)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_used_folder_is_refused(tmp_path):
    whole = write(tmp_path)
    with pytest.raises(UserError, match="resume=true"):
        Journal(tmp_path, HEAD)
    assert (tmp_path / JOURNAL).read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": [{"file": "b.onnx"}]}, ["model", "a.onnx", "b.onnx"]),
        ({"size": [64, 64]}, ["size", "1600", "64"]),
        ({"white": 4095, "tta": True}, ["white: null, now 4095", "tta: null, now true"]),
    ],
)
def test_other_head_is_refused(tmp_path, change, says):
    whole = write(tmp_path)
    with pytest.raises(UserError) as caught:
        Journal(tmp_path, HEAD | change, resume=True)
    assert all(words in str(caught.value) for words in [*says, "another output"])
    assert (tmp_path / JOURNAL).read_bytes() == whole


@pytest.mark.parametrize("content", [b"[]\n", b"5\n", b"my diary\n", json.dumps({"other": 1}).encode() + b"\n"])
def test_other_journals_are_refused(tmp_path, content):
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(UserError, match="another output"):
        Journal(tmp_path, HEAD, resume=True)
    assert (tmp_path / JOURNAL).read_bytes() == content


def test_output_is_a_file(tmp_path):
    (tmp_path / "out").touch()
    for resume in (False, True):
        with pytest.raises(UserError, match="is a file"):
            Journal(tmp_path / "out", HEAD, resume)
    with pytest.raises(UserError, match="cannot be written"):
        Journal(tmp_path / "out" / "deeper", HEAD)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_two_at_once(tmp_path):
    with Journal(tmp_path, HEAD) as first:
        with pytest.raises(UserError, match="another run"):
            Journal(tmp_path, HEAD, resume=True)
        first.append(RECORDS[0])
    with Journal(tmp_path, HEAD, resume=True) as later:
        assert later.get("0.jpg") == RECORDS[0]
