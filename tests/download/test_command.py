"""Kaggle's competition, fetched, unpacked and checked, with a stand-in for its client."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from steel_defects import CONF_DIR
from steel_defects.core.errors import DataFaults, UserError
from steel_defects.core.settings import SettingFaults
from steel_defects.data.synthetic import PAIRS
from steel_defects.download import client
from steel_defects.download.__main__ import download, require_space
from steel_defects.download.unpack import missing_bytes, unpack

pytestmark = pytest.mark.slow

NAME = "severstal-steel-defect-detection"
RULES = f"https://www.kaggle.com/c/{NAME}/rules"


def test_it_is_fetched_unpacked_and_checked(kaggle, steel, root, files, expected, contents, monkeypatch):
    result = steel("download", *expected, f"data.root={root}", cwd=root.parent)
    assert (result.returncode, result.stderr) == (0, "")
    assert contents(root) == contents(files)
    assert kaggle.starts() == [0]
    rows_shown = [re.split(r"\s{2,}", line) for line in map(str.strip, result.stdout.splitlines()) if "  " in line]
    counts = {cells[0]: cells[-1] for cells in rows_shown}
    rows = pd.read_csv(files / "train.csv")
    assert counts["images in train_images/"] == "12"
    assert counts["images in test_images/"] == "3 (first stage)"
    assert counts["regions"] == str(len(rows))
    for c, number in rows["ClassId"].value_counts().items():
        assert counts[f"regions of class_{c}"] == str(number)
    assert f"python -m steel_defects.explore data.root={root}" in result.stdout
    assert "Downloading" not in result.stdout, "what the client prints"
    assert not {path.name for path in root.parent.iterdir()} & {"outputs", ".hydra", "download.log"}

    monkeypatch.setitem(sys.modules, "kaggle", None)
    again = steel("download", *expected, f"data.root={root}", "keep_zip=false", cwd=root.parent)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith(f"{root} is complete: nothing is fetched.")
    table = [line for line in result.stdout.splitlines() if "  " in line]
    assert [line for line in again.stdout.splitlines() if "  " in line] == table
    assert kaggle.starts() == [0]
    assert contents(root, but="") == contents(files), "the zip is removed"


def test_a_complete_folder_needs_neither_kaggle_nor_torch_nor_pandas(unzipped, expected):
    """As on a machine with the base packages alone."""
    blocked = "for name in ('kaggle', 'torch', 'pandas', 'pytorch_lightning', 'matplotlib'): sys.modules[name] = None"
    script = f"import sys\n{blocked}\nfrom steel_defects.download.__main__ import main; main()"
    command = [sys.executable, "-c", script, *expected, f"data.root={unzipped}"]
    result = subprocess.run(command, cwd=unzipped.parent, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "is complete: nothing is fetched" in result.stdout


def test_without_the_package_it_says_how_to_get_it_and_do_without(absent, refusal, root):
    said = refusal()
    assert 'pip install "steel-defects[kaggle]"' in said
    assert "data=synthetic" in said
    assert not root.exists()


@pytest.mark.parametrize("how", ["no token", "no kaggle.json"])
def test_without_a_token_it_says_step_by_step_how_to_get_one(kaggle, steel, root, how):
    kaggle.does(how)
    result = steel("download", f"data.root={root}", cwd=root.parent)
    assert result.returncode == 2
    assert result.stderr.startswith("Error Kaggle's client found no token.")
    for words in ("  1. ", "  5. ", RULES, "https://www.kaggle.com/settings", "~/.kaggle/access_token"):
        assert words in result.stderr
    for words in ("KAGGLE_API_TOKEN", "kaggle.json", "KAGGLE_USERNAME and KAGGLE_KEY", "data=synthetic", f"{root}"):
        assert words in result.stderr
    for words in ("Traceback", "Authentication required", "Could not find"):
        assert words not in result.output
    assert not root.exists()


def test_what_is_missing_is_told_before_that(kaggle, refusal, unzipped):
    next((unzipped / "test_images").iterdir()).unlink()
    kaggle.does("no token")
    lines = refusal().splitlines()
    assert lines[0] == f"{unzipped} is not complete:"
    assert lines[1].strip() == "test_images/: 2 images, 5,506 or 3 expected"
    assert lines[2].startswith("Kaggle's client found no token")


def test_a_token_that_the_client_does_not_take_is_named(kaggle, refusal, monkeypatch, no_home):
    kaggle.does("no token")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    (no_home / ".kaggle").mkdir()
    (no_home / ".kaggle" / "access_token").write_text("secret")
    said = refusal()
    places = f"KAGGLE_API_TOKEN or {no_home / '.kaggle' / 'access_token'}"
    assert f"accepts no token from {places}: wrong, expired or empty" in said.splitlines()[0]
    assert "secret" not in said


def test_old_clients_are_told_of_the_file_that_they_read(kaggle, refusal, monkeypatch):
    kaggle.does("no kaggle.json")
    monkeypatch.setattr(client, "versions", lambda names: {"kaggle": "1.7.4.5"})
    monkeypatch.setenv("KAGGLE_API_TOKEN", "which they know nothing of")
    said = refusal()
    assert said.startswith("Kaggle's client found no token.")
    assert "~/.kaggle/kaggle.json" in said
    assert "access_token" not in said


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("rules", ["HTTP 403", "accept them: " + RULES, "You must accept", "Run this command again"]),
        ("bad token", ["HTTP 401", "wrong or expired", "https://www.kaggle.com/settings"]),
        ("unknown", [f"no files of a competition {NAME} (HTTP 404", "the same command tries again"]),
        ("broken site", ["HTTP 500", "https://storage.example/x.zip)", "the same command tries again"]),
        ("offline", ["cannot be reached", "api.kaggle.com", "the same command tries again"]),
        ("fault", ["Kaggle's client (kaggle ", "TypeError: call() got", "force=true"]),
        ("full", ["The disk of ", "/data is full.", "the same command tries again"]),
        ("barred", ["cannot use /home/x/.config: Permission denied"]),
    ],
)
def test_refusals_say_why_and_what_to_do(kaggle, refusal, root, how, words):
    kaggle.does(how)
    said = refusal()
    for word in words:
        assert word in said
    assert "secret" not in said
    assert not list(root.iterdir())


def test_a_download_broken_off_is_gone_on_with(kaggle, given, refusal, root, archive, files, contents):
    kaggle.does("breaks")
    half = archive.stat().st_size // 2
    said = refusal()
    assert "the connection broke (ConnectionError: Connection broken: IncompleteRead)" in said
    assert f"is kept ({half / 1e6:,.1f} MB in {root / NAME}.zip): the same command goes on" in said
    assert "the same command without force=true goes on" in refusal("force=true")
    kaggle.does("fine")
    download(given("keep_zip=false"))
    assert kaggle.starts() == [0, 0, half]
    assert contents(root, but="") == contents(files), "zip and marker are removed"


@pytest.fixture
def labelled(root, files):
    """Images and labels lie there already, and nothing else."""
    shutil.copytree(files / "train_images", root / "train_images")
    shutil.copy(files / "train.csv", root)


def test_a_zip_is_removed_only_when_all_of_it_is_there(absent, given, labelled, zip_there, root, files, contents):
    """Also where no number is expected, and the folder holds some of it only."""
    download(given("keep_zip=false", "expect=null"))
    assert contents(root, but="") == contents(files)


def test_a_zip_that_nobody_can_read_is_kept(absent, given, labelled, root, caplog):
    """The folder is complete as far as anybody knows; what was in the zip, nobody does."""
    broken = root / f"{NAME}.zip"
    broken.write_bytes(b"PK" + bytes(1000))
    download(given("keep_zip=false", "expect=null"))
    assert broken.exists()
    assert "is not a whole zip, so nobody knows what is in it: it is kept" in caplog.text


def test_a_root_that_is_a_file_is_named(refusal, tmp_path):
    (tmp_path / "afile").touch()
    assert re.match(r"data\.root=.*afile: is a file", refusal(f"data.root={tmp_path / 'afile'}"))


@pytest.mark.parametrize(("words", "way_on"), [([], ""), (["force=true"], " without force=true")])
def test_ctrl_c_ends_with_130_and_no_traceback(kaggle, steel, root, words, way_on):
    kaggle.does("Ctrl-C")
    result = steel("download", f"data.root={root}", *words, cwd=root.parent)
    assert result.returncode == 130
    assert f"the same command{way_on} goes on" in result.stdout
    assert "Traceback" not in result.stderr


def test_a_zip_that_stays_cut_short_is_named(kaggle, refusal, root):
    kaggle.does("truncated")
    assert re.search(r"\.zip is broken: .*Delete it .*force=true", refusal())
    assert (root / f"{NAME}.zip").is_file()
    kaggle.does("no token")
    assert re.search(r"is not a whole zip .*\nKaggle's client found no token", refusal())


def test_a_bad_checksum_names_the_file_and_keeps_the_others(kaggle, given, refusal, root, files, contents, tmp_path):
    names = sorted(path.relative_to(files).as_posix() for path in files.rglob("*.jpg"))
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as zipped:  # stored, so that its bytes can be found
        for path in sorted(files.rglob("*.*")):
            zipped.write(path, path.relative_to(files))
    content = bytearray(bad.read_bytes())
    for name in names[-2:]:
        content[content.index((files / name).read_bytes()) + 100] ^= 1
    bad.write_bytes(content)
    kaggle.does("fine", bad)
    said = refusal()
    assert "broken" in said
    for name in names:
        assert (name in said) == (name in names[-2:])
        assert (root / name).exists() == (name not in names[-2:])
    kaggle.does("fine")
    download(given("force=true"))
    assert contents(root) == contents(files)
    assert kaggle.starts() == [0, 0]


def test_unpacking_that_was_interrupted_goes_on_without_a_token(
    absent, given, unzipped, zip_there, files, contents, caplog
):
    images = sorted((unzipped / "train_images").iterdir())
    images[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in images[1:]}
    caplog.set_level("INFO")
    download(given())
    assert "1 file unpacked, 16 there already" in caplog.text
    assert kept == {path: path.stat().st_mtime_ns for path in images[1:]}
    assert contents(unzipped) == contents(files)


def test_files_of_ones_own_are_kept_and_named(kaggle, given, root, files, contents, caplog):
    (root / "train_images").mkdir(parents=True)
    own = "ImageId,ClassId,EncodedPixels\nmine.jpg,1,1 5\n"
    (root / "train.csv").write_text(own)
    shutil.copy(next((files / "train_images").iterdir()), root / "train_images" / "mine.jpg")
    with pytest.raises(DataFaults) as caught:
        download(given())
    assert (root / "train.csv").read_text() == own
    assert "1 file in" in caplog.text
    assert "differs from the zip's, and is kept: train.csv" in caplog.text
    expect = given().expect
    assert [str(fault) for fault in caught.value.faults[:3]] == [
        "train_images/: 13 images, 12 expected",
        f"train.csv: 1 images with a defect, {expect.defective} expected",
        f"train.csv: 1 regions, {expect.regions} expected",
    ]
    assert "train.csv" in caught.value.way_out
    (root / "train_images" / "mine.jpg").unlink()
    download(given("force=true"))
    assert contents(root) == contents(files)


def test_the_checksum_tells_files_of_the_same_size_apart(absent, given, unzipped, zip_there, files, contents, caplog):
    first, second = sorted((unzipped / "train_images").iterdir())[:2]
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.unlink()
    download(given())
    assert f"is kept: train_images/{first.name}\n" in caplog.text
    assert first.read_bytes() == content
    first.unlink()
    second.unlink()
    download(given())
    assert contents(unzipped) == contents(files)


def test_all_that_is_wrong_is_told_at_once_and_nothing_deleted(absent, refusal, unzipped, contents):
    (unzipped / "sample_submission.csv").unlink()
    labels = unzipped / "train.csv"
    rows = pd.read_csv(labels)
    images = sorted((unzipped / "train_images").iterdir())
    clean = [path for path in images if path.name not in set(rows["ImageId"])]
    clean[0].write_bytes(b"")
    clean[1].write_text("<!DOCTYPE html>")
    clean[2].write_bytes(clean[2].read_bytes()[:-40])
    clean[3].write_bytes(clean[3].read_bytes() + b"\0\0\0")  # padded: sound
    with labels.open("a") as file:
        file.write("gone.jpg,1,1 5\nx.jpg,9,1 5\n")
    before = contents(unzipped)
    lines = [line.strip() for line in refusal().splitlines()]
    number = rows["ClassId"].value_counts()[1]
    assert lines[: lines.index(next(line for line in lines if "pip install" in line))] == [
        f"{unzipped} is not complete:",
        f"train.csv: {rows['ImageId'].nunique() + 1} images with a defect, {rows['ImageId'].nunique()} expected",
        f"train.csv: {len(rows) + 1} regions, {len(rows)} expected",
        f"train.csv: {number + 1} regions of class_1, {number} expected",
        "sample_submission.csv: does not exist",
        f"train.csv, row {len(rows) + 3}: ClassId 9 is outside 1 to 4: data.classes names 4 classes",
        "train.csv: names 1 image not in train_images/: gone.jpg",
        f"train_images/{clean[0].name}: is empty (0 bytes)",
        f"train_images/{clean[1].name}: does not begin as a JPEG does",
        f"train_images/{clean[2].name}: is cut short: the end of the JPEG is missing after "
        f"{clean[2].stat().st_size:,} bytes",
    ]
    assert contents(unzipped) == before


@pytest.mark.parametrize(
    ("labels", "said"), [("ImageId,ClassId,EncodedPixels\n", "train.csv: 0 regions"), ("", "train.csv: is empty")]
)
def test_labels_without_a_row_or_without_a_header_do_not_pass(absent, refusal, unzipped, labels, said):
    (unzipped / "train.csv").write_text(labels)
    assert said in refusal()


@pytest.mark.parametrize("expect", ["expect.test_images=null", "expect=null", "expect.test_images=2"])
def test_null_is_counted_but_not_checked(absent, given, unzipped, expect):
    next((unzipped / "test_images").iterdir()).unlink()
    assert not download(given(expect)).faults


@pytest.mark.parametrize("name", ["../out.jpg", "/tmp/out.jpg", "a/../../out.jpg", "C:/out.jpg", "..\\out.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    evil, target = tmp_path / "evil.zip", tmp_path / "deep" / "data"
    with zipfile.ZipFile(evil, "w") as zipped:
        zipped.writestr("train.csv", "x")
        zipped.writestr(name, "x")
    with pytest.raises(UserError, match="lead out of the folder") as caught:
        unpack(evil, target)
    assert repr(name) in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip"]


def test_a_file_in_the_way_has_a_message(root, archive):
    root.mkdir()
    (root / "train_images").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        unpack(archive, root)


def test_space_is_checked_before_anything_is_fetched(kaggle, refusal, root, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    said = refusal("space={zip: 1.7, unzipped: 1.8}")
    assert re.search(r"needs 3\.50 GB .about: space\.zip and space\.unzipped.* 1\.00 GB are free", said)
    assert kaggle.starts() == []
    with pytest.raises(UserError, match=r"needs 2\.00 GB"):
        require_space(root, 2e9, "")
    require_space(root, 1e9, "")


def test_what_is_in_the_zip_is_known_exactly(archive, files, tmp_path):
    sizes = {path: path.stat().st_size for path in files.rglob("*") if path.is_file()}
    assert missing_bytes(archive, tmp_path) == sum(sizes.values())
    shutil.copy(files / "train.csv", tmp_path)
    assert missing_bytes(archive, tmp_path) == sum(sizes.values()) - sizes[files / "train.csv"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["competition=a/b", "force=3", "expect.regions=-1", "expect.test_images=x", "space.zip=-1"],
            [
                "competition=a/b: its name as in the address kaggle.com/c/<name>",
                "force=3: true or false",
                "expect.regions=-1: a whole number, 0 or more, or null",
                "expect.test_images=x: a whole number, some by name, any of which will do, or null",
                "space.zip=-1: a number, 0 or more",
            ],
        ),
        (
            ["expect.regions_by_class=[1]"],
            ["expect.regions_by_class=[1]: a list of 4 whole numbers, one a class, or null"],
        ),
        (["data=synthetic"], ["data=synthetic: this command fetches data=severstal; data=synthetic needs no download"]),
    ],
)
def test_settings_that_make_no_sense_are_told_at_once(given, overrides, said):
    with pytest.raises(SettingFaults) as caught:
        given(*overrides)
    assert str(caught.value).splitlines() == said


def test_a_sweep_is_refused_and_leaves_nothing(steel, tmp_path):
    result = steel("download", "--multirun", "force=true,false", cwd=tmp_path)
    assert result.returncode == 2
    assert "--multirun makes no sense here" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_counts_are_those_of_the_paper_and_of_the_synthetic_set():
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("download")
    assert cfg.data.root == "data/severstal"
    assert cfg.competition == NAME
    expect = cfg.expect
    assert (expect.train_images, expect.defective, expect.regions) == (12_568, 6_666, 7_095)
    assert sum(expect.regions_by_class) == expect.regions
    assert list(expect.regions_by_class) == list(PAIRS.values())
    shares = 100 * np.array(expect.regions_by_class) / expect.regions
    assert [f"{shares[0]:.1f}", f"{shares[1]:.2f}", f"{shares[2]:.0f}", f"{shares[3]:.1f}"] == [
        *("12.6", "3.48", "73", "11.3")  # section 3.1 of the paper
    ]


def test_real_strips_are_whole_jpegs(shared_data, absent, given):
    lines = download(given("expect=null", f"data.root={shared_data / 'severstal_mini'}")).lines
    assert ("images that are not whole JPEGs", "0", "0") in lines
    assert ("images in train_images/", "-", "19") in lines
    assert ("regions of class_3", "-", "9") in lines
