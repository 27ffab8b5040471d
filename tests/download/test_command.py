"""Kaggle's competition, fetched, unpacked and checked: with a stand-in for its client, and the client itself."""

from __future__ import annotations

import errno
import functools
import http.server
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.synthetic import PAIRS, write_synthetic
from steel_defects.download import advice, client, unpack
from steel_defects.download.__main__ import download, require_space

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).parents[1] / "stand_in"
NAME = "severstal-steel-defect-detection"
RULES = f"https://www.kaggle.com/c/{NAME}/rules"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """What the competition holds, made small: 12 strips of 64x128 to train on, 3 to test on."""
    root = tmp_path_factory.mktemp("kaggle") / "files"
    write_synthetic(root, num_images=12, size=(64, 128))
    (root / "synthetic.json").unlink()
    (root / "test_images").mkdir()
    for path in sorted((root / "train_images").iterdir())[:3]:
        shutil.copy(path, root / "test_images" / f"t{path.name}")
    (root / "sample_submission.csv").write_text("ImageId,EncodedPixels,ClassId\n")
    return root


def zip_of(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(folder.rglob("*")):
            zipped.write(path, path.relative_to(folder))
    return target


@pytest.fixture(scope="module")
def archive(files) -> Path:
    return zip_of(files, files.with_suffix(".zip"))


@pytest.fixture(scope="module")
def expected(files) -> list[str]:
    """What is expected of these files, as counted by pandas."""
    rows = pd.read_csv(files / "train.csv")
    by_class = [int((rows["ClassId"] == c).sum()) for c in (1, 2, 3, 4)]
    return [
        *("expect.train_images=12", "expect.test_images.first_stage=3", f"expect.regions={len(rows)}"),
        *(f"expect.defective={rows['ImageId'].nunique()}", f"expect.regions_by_class={by_class}".replace(" ", "")),
    ]


@pytest.fixture
def given(expected, tmp_path) -> Callable[..., dict]:
    """conf/download.yaml, composed, for these files and a folder of its own."""

    def make(*overrides: str) -> dict:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("download", [*expected, f"data.root={tmp_path / 'data'}", "space.zip=0", *overrides])
        return OmegaConf.to_container(cfg, resolve=True)

    return make


@pytest.fixture
def no_home(tmp_path, monkeypatch) -> None:
    """No token is found, whoever runs the tests."""
    for key in [key for key in os.environ if key.startswith("KAGGLE_")]:
        monkeypatch.delenv(key)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


@pytest.fixture
def kaggle(archive, tmp_path, monkeypatch, no_home) -> Iterator[SimpleNamespace]:
    """The stand-in: `does(how)` tells it how it goes, `starts()` is where each download began."""
    plan, log = tmp_path / "plan.json", tmp_path / "log"

    def does(how: str, has: Path = archive) -> None:
        plan.write_text(json.dumps({"zip": str(has), "does": how, "log": str(log)}))

    does("fine")
    monkeypatch.setenv("STAND_IN_KAGGLE", str(plan))
    monkeypatch.syspath_prepend(STAND_IN)
    monkeypatch.delitem(sys.modules, "kaggle", raising=False)
    yield SimpleNamespace(
        does=does, starts=lambda: [int(line) for line in log.read_text().split()] if log.exists() else []
    )
    sys.modules.pop("kaggle", None)


@pytest.fixture
def absent(monkeypatch, no_home) -> None:
    """The package kaggle is not installed."""
    monkeypatch.setitem(sys.modules, "kaggle", None)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "data"


def same_files(one: Path, other: Path, but: tuple[str, ...] = (f"{NAME}.zip",)) -> bool:
    def contents(folder: Path) -> dict[str, bytes]:
        paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return contents(one) == contents(other)


def run(cwd: Path, *words: str, path: Path | None = STAND_IN) -> subprocess.CompletedProcess:
    """`python -m steel_defects.download` in a process of its own."""
    environment = os.environ | {"COLUMNS": "200"} | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-m", "steel_defects.download", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_it_is_fetched_unpacked_and_checked(kaggle, root, files, expected):
    result = run(root.parent, *expected, f"data.root={root}")
    assert (result.returncode, result.stderr) == (0, "")
    assert same_files(root, files)
    assert kaggle.starts() == [0]
    rows_shown = [re.split(r"\s{2,}", line) for line in map(str.strip, result.stdout.splitlines()) if "  " in line]
    counts = {cells[0]: cells[-1] for cells in rows_shown}
    assert counts["images in train_images/"] == "12"
    rows = pd.read_csv(files / "train.csv")
    assert counts["regions"] == str(len(rows))
    for c, number in rows["ClassId"].value_counts().items():
        assert counts[f"regions of class_{c}"] == str(number)
    assert "3 (first stage)" in result.stdout
    assert f"python -m steel_defects.explore data.root={root}" in result.stdout
    assert "Downloading" not in result.stdout, "what the client prints"
    assert not {path.name for path in root.parent.iterdir()} & {"outputs", ".hydra", "download.log"}

    again = run(root.parent, *expected, f"data.root={root}", "keep_zip=false", path=None)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith(f"{root} is complete: nothing is fetched.")
    table = [line for line in result.stdout.splitlines() if "  " in line]
    assert [line for line in again.stdout.splitlines() if "  " in line] == table
    assert kaggle.starts() == [0]
    assert same_files(root, files, but=()), "the zip is removed"


def test_a_complete_folder_needs_neither_kaggle_nor_torch_nor_pandas(files, expected, root):
    """As on a machine with the base packages alone."""
    shutil.copytree(files, root)
    blocked = "for name in ('kaggle', 'torch', 'pandas', 'pytorch_lightning', 'matplotlib'): sys.modules[name] = None"
    script = f"import sys\n{blocked}\nfrom steel_defects.download.__main__ import main; main()"
    command = [sys.executable, "-c", script, *expected, f"data.root={root}"]
    result = subprocess.run(command, cwd=root.parent, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "is complete: nothing is fetched" in result.stdout


def test_a_zip_put_there_by_hand_needs_no_token(absent, given, root, archive, files):
    root.mkdir()
    shutil.copy(archive, root / f"{NAME}.zip")
    assert not download(given()).faults
    assert same_files(root, files)


def test_without_the_package_it_says_how_to_get_it_and_do_without(absent, given, root):
    with pytest.raises(UserError, match=r'pip install "steel-defects\[kaggle\]"') as caught:
        download(given())
    assert "data=synthetic" in str(caught.value)
    assert not root.exists()


@pytest.mark.parametrize("how", ["no token", "no kaggle.json"])
def test_without_a_token_it_says_step_by_step_how_to_get_one(kaggle, root, how):
    kaggle.does(how)
    result = run(root.parent, f"data.root={root}")
    assert result.returncode == 2
    assert result.stderr.startswith("Error Kaggle's client found no token.")
    for words in ("  1. ", "  5. ", RULES, "https://www.kaggle.com/settings", "~/.kaggle/access_token"):
        assert words in result.stderr
    for words in ("KAGGLE_API_TOKEN", "kaggle.json", "KAGGLE_USERNAME and KAGGLE_KEY", "data=synthetic", f"{root}"):
        assert words in result.stderr
    for words in ("Traceback", "Authentication required", "Could not find"):
        assert words not in result.stdout + result.stderr
    assert not root.exists()


def test_what_is_missing_is_told_before_that(kaggle, given, root, files):
    shutil.copytree(files, root)
    next((root / "test_images").iterdir()).unlink()
    kaggle.does("no token")
    with pytest.raises(UserError) as caught:
        download(given())
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{root} is not complete:"
    assert lines[1].strip() == "test_images/: 2 images, 5,506 or 3 expected"
    assert lines[2].startswith("Kaggle's client found no token")


def test_a_token_that_the_client_does_not_take_is_named(kaggle, given, monkeypatch, tmp_path):
    kaggle.does("no token")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    (tmp_path / "home" / ".kaggle").mkdir()
    file = tmp_path / "home" / ".kaggle" / "access_token"
    file.write_text("secret")
    with pytest.raises(UserError) as caught:
        download(given())
    head = str(caught.value).splitlines()[0]
    assert f"takes no token from KAGGLE_API_TOKEN or {file}: wrong, expired or empty" in head
    assert "secret" not in str(caught.value)


def test_old_clients_are_told_of_the_file_that_they_read(kaggle, given, monkeypatch):
    kaggle.does("no kaggle.json")
    monkeypatch.setattr(client, "versions", lambda names: {"kaggle": "1.7.4.5"})
    monkeypatch.setenv("KAGGLE_API_TOKEN", "which they know nothing of")
    with pytest.raises(UserError) as caught:
        download(given())
    assert str(caught.value).startswith("Kaggle's client found no token.")
    assert "~/.kaggle/kaggle.json" in str(caught.value)
    assert "access_token" not in str(caught.value)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("rules", ["HTTP 403", "accept them: " + RULES, "You must accept", "Run this command again"]),
        ("bad token", ["HTTP 401", "wrong or expired", "https://www.kaggle.com/settings"]),
        ("unknown", [f"no files of a competition {NAME} (HTTP 404", "the same command tries again"]),
        ("broken site", ["HTTP 500", "https://storage.example/x.zip)", "the same command tries again"]),
        ("offline", ["cannot be reached", "api.kaggle.com", "the same command tries again"]),
        ("fault", ["Kaggle's client (kaggle ", "TypeError: call() got", "force=true"]),
    ],
)
def test_refusals_say_why_and_what_to_do(kaggle, given, root, how, words):
    kaggle.does(how)
    with pytest.raises(UserError) as caught:
        download(given())
    for word in words:
        assert word in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not list(root.iterdir())


def test_errors_of_the_disk_are_not_taken_for_the_networks(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    assert client._explain(full, NAME, tmp_path / "x.zip", False).startswith(f"The disk of {tmp_path} is full.")
    barred = PermissionError(errno.EACCES, "Permission denied", "/home/x/.config")
    assert "cannot use /home/x/.config: Permission denied" in client._explain(barred, NAME, tmp_path / "x.zip", False)


def test_a_download_broken_off_is_gone_on_with(kaggle, given, root, archive, files):
    kaggle.does("breaks")
    half = archive.stat().st_size // 2
    with pytest.raises(UserError) as caught:
        download(given())
    assert "the connection broke (ConnectionError: Connection broken: IncompleteRead)" in str(caught.value)
    assert f"is kept ({half / 1e6:,.1f} MB in {root / NAME}.zip): the same command goes on" in str(caught.value)
    kaggle.does("breaks")
    with pytest.raises(UserError, match=r"the same command without force=true goes on"):
        download(given("force=true"))
    kaggle.does("fine")
    download(given("keep_zip=false"))
    assert kaggle.starts() == [0, 0, half]
    assert same_files(root, files, but=()), "zip and marker are removed"


def test_a_zip_is_removed_only_when_all_of_it_is_there(absent, given, root, archive, files):
    """Also where no number is expected, and the folder holds some of it only."""
    root.mkdir()
    shutil.copy(archive, root / f"{NAME}.zip")
    shutil.copytree(files / "train_images", root / "train_images")
    shutil.copy(files / "train.csv", root)
    download(given("keep_zip=false", "expect=null"))
    assert same_files(root, files, but=())


def test_a_zip_that_nobody_can_read_is_kept(absent, given, root, files, caplog):
    """The folder is complete as far as anybody knows; what was in the zip, nobody does."""
    shutil.copytree(files / "train_images", root / "train_images")
    shutil.copy(files / "train.csv", root)
    broken = root / f"{NAME}.zip"
    broken.write_bytes(b"PK" + bytes(1000))
    download(given("keep_zip=false", "expect=null"))
    assert broken.exists()
    assert "is no whole zip, so nobody knows what is in it: it is kept" in caplog.text


def test_a_root_that_is_a_file_is_named(given, tmp_path):
    (tmp_path / "afile").touch()
    with pytest.raises(UserError, match=r"data\.root=.*afile: is a file"):
        download(given(f"data.root={tmp_path / 'afile'}"))


def test_ctrl_c_ends_with_130_and_no_traceback(kaggle, root):
    kaggle.does("Ctrl-C")
    result = run(root.parent, f"data.root={root}")
    assert result.returncode == 130
    assert "the same command goes on" in result.stdout
    assert "Traceback" not in result.stderr


def test_a_zip_that_stays_cut_short_is_named(kaggle, given, root):
    kaggle.does("truncated")
    with pytest.raises(UserError, match=r"\.zip is broken: .*Delete it .*force=true"):
        download(given())
    assert (root / f"{NAME}.zip").is_file()
    kaggle.does("no token")
    with pytest.raises(UserError, match=r"is no whole zip .*\nKaggle's client found no token"):
        download(given())


def test_a_bad_checksum_names_the_file_and_keeps_the_others(kaggle, given, root, files, archive, tmp_path):
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
    with pytest.raises(UserError, match="broken") as caught:
        download(given())
    for name in names:
        assert (name in str(caught.value)) == (name in names[-2:])
        assert (root / name).exists() == (name not in names[-2:])
    kaggle.does("fine", archive)
    download(given("force=true"))
    assert same_files(root, files)
    assert kaggle.starts() == [0, 0]


def test_interrupted_unpacking_goes_on(absent, given, root, files, archive, caplog):
    shutil.copytree(files, root)
    shutil.copy(archive, root / f"{NAME}.zip")
    images = sorted((root / "train_images").iterdir())
    images[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in images[1:]}
    caplog.set_level("INFO")
    download(given())
    assert "1 file unpacked, 16 there already" in caplog.text
    assert kept == {path: path.stat().st_mtime_ns for path in images[1:]}
    assert same_files(root, files)


def test_files_of_ones_own_are_kept_and_named(kaggle, given, root, files, archive, caplog):
    (root / "train_images").mkdir(parents=True)
    own = "ImageId,ClassId,EncodedPixels\nmine.jpg,1,1 5\n"
    (root / "train.csv").write_text(own)
    (root / "train_images" / "mine.jpg").write_bytes(next((files / "train_images").iterdir()).read_bytes())
    with pytest.raises(DataFaults) as caught:
        download(given())
    assert (root / "train.csv").read_text() == own
    assert "1 file in" in caplog.text
    assert "differs from the zip's, and is kept: train.csv" in caplog.text
    faults = [str(fault) for fault in caught.value.faults]
    assert faults[:3] == [
        "train_images/: 13 images, 12 expected",
        f"train.csv: 1 images with a defect, {given()['expect']['defective']} expected",
        f"train.csv: 1 regions, {given()['expect']['regions']} expected",
    ]
    assert "train.csv" in caught.value.way_out
    (root / "train_images" / "mine.jpg").unlink()
    download(given("force=true"))
    assert same_files(root, files)


def test_the_checksum_tells_files_of_the_same_size_apart(absent, given, root, files, archive, caplog):
    shutil.copytree(files, root)
    shutil.copy(archive, root / f"{NAME}.zip")
    first, second = sorted((root / "train_images").iterdir())[:2]
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
    assert same_files(root, files)


def test_all_that_is_wrong_is_told_at_once_and_nothing_deleted(absent, given, root, files):
    shutil.copytree(files, root)
    (root / "sample_submission.csv").unlink()
    images = sorted((root / "train_images").iterdir())
    rows = pd.read_csv(files / "train.csv")
    clean = [path for path in images if path.name not in set(rows["ImageId"])]
    clean[0].write_bytes(b"")
    clean[1].write_text("<!DOCTYPE html>")
    clean[2].write_bytes(clean[2].read_bytes()[:-40])
    clean[3].write_bytes(clean[3].read_bytes() + b"\0\0\0")  # padded: sound
    with (root / "train.csv").open("a") as file:
        file.write("gone.jpg,1,1 5\nx.jpg,9,1 5\n")
    before = {path: path.read_bytes() for path in root.rglob("*.*")}
    with pytest.raises(UserError) as caught:
        download(given())
    lines = [line.strip() for line in str(caught.value).splitlines()]
    number = rows["ClassId"].value_counts()[1]
    assert lines[: lines.index(next(line for line in lines if "pip install" in line))] == [
        f"{root} is not complete:",
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
    assert before == {path: path.read_bytes() for path in root.rglob("*.*")}


def test_labels_without_a_row_or_without_a_header_do_not_pass(absent, given, root, files):
    shutil.copytree(files, root)
    (root / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n")
    with pytest.raises(UserError, match=r"train\.csv: 0 regions"):
        download(given())
    (root / "train.csv").write_text("")
    with pytest.raises(UserError, match=r"train\.csv: is empty"):
        download(given())


def test_null_is_counted_but_not_checked(absent, given, root, files):
    shutil.copytree(files, root)
    next((root / "test_images").iterdir()).unlink()
    assert not download(given("expect.test_images=null")).faults
    assert not download(given("expect=null")).faults
    assert not download(given("expect.test_images=2")).faults


@pytest.mark.parametrize("name", ["../out.jpg", "/tmp/out.jpg", "a/../../out.jpg", "C:/out.jpg", "..\\out.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    evil, target = tmp_path / "evil.zip", tmp_path / "deep" / "data"
    with zipfile.ZipFile(evil, "w") as zipped:
        zipped.writestr("train.csv", "x")
        zipped.writestr(name, "x")
    with pytest.raises(UserError, match="lead out of the folder") as caught:
        unpack.unpack(evil, target)
    assert repr(name) in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip"]


def test_a_file_in_the_way_has_a_message(tmp_path, archive):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train_images").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        unpack.unpack(archive, tmp_path / "data")


def test_space_is_checked_before_anything_is_fetched(kaggle, given, root, monkeypatch):
    usage = functools.partial(SimpleNamespace, free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage())
    with pytest.raises(UserError, match=r"needs 3\.50 GB .about: space\.zip and space\.unzipped.* 1\.00 GB are free"):
        download(given("space={zip: 1.7, unzipped: 1.8}"))
    assert kaggle.starts() == []
    with pytest.raises(UserError, match=r"needs 2\.00 GB"):
        require_space(root, 2e9, "")
    require_space(root, 1e9, "")


def test_what_is_in_the_zip_is_known_exactly(archive, files, tmp_path):
    sizes = {path: path.stat().st_size for path in files.rglob("*") if path.is_file()}
    assert unpack.missing_bytes(archive, tmp_path) == sum(sizes.values())
    shutil.copy(files / "train.csv", tmp_path)
    assert unpack.missing_bytes(archive, tmp_path) == sum(sizes.values()) - sizes[files / "train.csv"]


def test_all_settings_that_make_no_sense_are_told_at_once(given):
    wrong = ["competition=a/b", "force=3", "data.csv=1", "expect.regions=-1", "expect.regions_by_class=[1]"]
    with pytest.raises(UserError) as caught:
        download(given(*wrong, "expect.test_images=x", "space.zip=-1"))
    assert str(caught.value).splitlines() == [
        "competition=a/b: its name as in the address kaggle.com/c/<name>",
        "force=3: true or false",
        "data.csv=1: a path",
        "expect.regions=-1: a whole number, or null",
        "expect.regions_by_class=[1]: a list of 4 whole numbers, one a class, or null",
        "expect.test_images=x: a whole number, some by name, any of which will do, or null",
        "space={'zip': -1, 'unzipped': 1.8}: zip and unzipped, each a number of GB, 0 or more",
    ]
    with pytest.raises(UserError, match="data=synthetic: this command fetches data=severstal"):
        download(given("data=synthetic"))


def test_a_sweep_is_refused_and_leaves_nothing(tmp_path):
    result = run(tmp_path, "--multirun", "force=true,false")
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
    mini = shared_data / "severstal_mini"
    settings = given("expect=null")
    settings["data"]["root"] = str(mini)
    found = download(settings)
    assert ("images that are no whole JPEG", "0", "0") in found.lines
    assert ("images in train_images/", "-", "19") in found.lines
    assert ("regions of class_3", "-", "9") in found.lines


# From here on, Kaggle's own client.


def test_the_client_can_be_called_as_the_stand_in_is(no_home):
    """It has the stand-in's parameters, and none besides that must be given; newer clients add some.

    Asked for in a process of its own, as the client looks for a token when it is imported.
    """
    script = (
        "import inspect, json, kaggle\n"
        "functions = [getattr(kaggle.KaggleApi, name) for name in ('authenticate', 'competition_download_files')]\n"
        "signatures = [inspect.signature(function).parameters.values() for function in functions]\n"
        "print(json.dumps([[(p.name, repr(p.default)) for p in one] for one in signatures]))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    spec = spec_from_file_location("stand_in_kaggle", STAND_IN / "kaggle" / "__init__.py")
    stand_in = module_from_spec(spec)
    spec.loader.exec_module(stand_in)
    theirs = json.loads(result.stdout.splitlines()[-1])
    for name, signature in zip(("authenticate", "competition_download_files"), theirs, strict=True):
        parameters = inspect.signature(getattr(stand_in.KaggleApi, name)).parameters.values()
        ours = [[p.name, repr(p.default)] for p in parameters]
        assert signature[: len(ours)] == ours
        assert all(default != repr(inspect.Parameter.empty) for _, default in signature[len(ours) :])


# Sends the client to a server of the test's own instead of Kaggle's.
SCRIPT = """
import kagglesdk.kaggle_env as environment
environment._env_to_endpoint[environment.KaggleEnv.PROD] = {address!r}
from steel_defects.download.__main__ import main
main()
"""


@pytest.fixture
def server(tmp_path, no_home, monkeypatch) -> Iterator[SimpleNamespace]:
    """Answers as Kaggle does: a redirect to a file that can be had in parts, or a refusal as JSON."""
    state = SimpleNamespace(content=b"", refusal=None, stop_at=None, ranges=[], go_on=threading.Event())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if state.refusal:
                self.send_response(state.refusal[0])
                body = json.dumps({"code": state.refusal[0], "message": state.refusal[1]}).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_response(302)
            self.send_header("Location", f"{state.address}/archive.zip?Signature=secret")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(206 if asked else 200)
            for key, value in {
                "Content-Length": str(len(state.content) - start),
                "Content-Type": "application/zip",
                "Accept-Ranges": "bytes",
                "ETag": '"1"',
                "Last-Modified": "Thu, 25 Jul 2019 10:00:00 GMT",
            }.items():
                self.send_header(key, value)
            self.end_headers()
            state.ranges.append(asked)
            end = len(state.content) if state.stop_at is None else state.stop_at
            try:
                self.wfile.write(state.content[start:end])
                self.wfile.flush()
                if state.stop_at is not None:
                    state.go_on.wait(60)
            except OSError:  # the client has hung up
                pass

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{listening.server_port}"
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state.command = [sys.executable, "-c", SCRIPT.format(address=state.address)]
    yield state
    state.go_on.set()
    listening.shutdown()
    listening.server_close()


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, "You must accept this competition's rules"), ["HTTP 403: You must accept", RULES]),
        ((401, "Unauthenticated"), ["HTTP 401: Unauthenticated", "It is from KAGGLE_KEY."]),
    ],
)
def test_the_client_refused(server, root, refusal, words):
    server.refusal = refusal
    command = [*server.command, f"data.root={root}"]
    result = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stdout + result.stderr


def test_the_client_killed_goes_on_with_the_rest(server, root, files, expected, tmp_path):
    """What it has is longer than its blocks of 1 MiB, which it writes whole."""
    more = shutil.copytree(files, tmp_path / "more")
    (more / "noise.bin").write_bytes(np.random.default_rng(0).bytes(3 << 20))
    server.content = zip_of(more, tmp_path / "more.zip").read_bytes()
    server.stop_at = 2_500_000
    command = [*server.command, *expected, f"data.root={root}"]
    process = subprocess.Popen(command, cwd=root.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    archive, deadline = root / f"{NAME}.zip", time.monotonic() + 60
    while not archive.is_file() or archive.stat().st_size < 2 << 20:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    server.go_on.set()
    server.stop_at, size = None, archive.stat().st_size
    assert archive.with_name(archive.name + client.PARTIAL).is_file()

    result = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert server.ranges == [None, None, f"bytes={size}-"]  # the client asks for all, and leaves the body unread
    assert archive.read_bytes() == server.content
    assert same_files(root, more)
    assert "is no whole zip (2.1 MB)" in result.stdout


def test_the_client_without_a_token(no_home, root):
    result = run(root.parent, f"data.root={root}", path=None)
    assert result.returncode == 2
    expected = advice.no_token(NAME, root / f"{NAME}.zip", client.is_old())
    assert result.stderr == f"Error {expected}\n"
    assert "Authentication required" not in result.stdout
