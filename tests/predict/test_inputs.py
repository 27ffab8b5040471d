"""Finding images by file, folder and glob, and naming what is drawn of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steel_defects.core.errors import UserError
from steel_defects.predict.inputs import find_images, output_names

FILES = [
    "b.jpg",
    "a.JPEG",
    "c.tiff",
    "notes.txt",
    "noending",
    ".hidden.jpg",
    "line 1/a.png",
    "line 1/deep/x.bmp",
    "line 1/deep/.ipynb_checkpoints/x-checkpoint.bmp",
    "line2/a.tif",
    "empty/readme.md",
    "im[1].png",
]
IMAGES = ["a.JPEG", "b.jpg", "c.tiff", "im[1].png", "line 1/a.png", "line 1/deep/x.bmp", "line2/a.tif"]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in FILES:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


@pytest.mark.parametrize("ending", ["", "/", "/."])
def test_folder(folder, tmp_path, ending):
    found = find_images(f"{folder}{ending}", tmp_path / "out")
    assert list(found) == IMAGES
    assert all(path.samefile(folder / name) for name, path in found.items())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", IMAGES[:4]),
        ("*.jpg", ["b.jpg"]),
        ("**/*.png", ["im[1].png", "line 1/a.png"]),
        ("**", IMAGES),
        ("*/a.*", ["line 1/a.png", "line2/a.tif"]),
        ("line 1/**/*.bmp", ["deep/x.bmp"]),
        ("[ab].*", ["a.JPEG", "b.jpg"]),
        ("line?/*", ["line2/a.tif"]),
        (".*", [".hidden.jpg"]),  # asked for by name
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_glob(folder, tmp_path, monkeypatch, pattern, expected, relative):
    monkeypatch.chdir(folder)
    found = find_images(pattern if relative else f"{folder}/{pattern}", tmp_path / "out")
    assert list(found) == expected
    assert all(path.is_file() for path in found.values())


@pytest.mark.parametrize("name", ["b.jpg", "line 1/deep/x.bmp", "im[1].png", "notes.txt", ".hidden.jpg"])
def test_file_is_taken_at_its_word(folder, tmp_path, name):
    assert find_images(f"{folder}/{name}", tmp_path / "out") == {Path(name).name: folder / name}


def test_home(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert list(find_images("~", tmp_path / "out")) == IMAGES
    assert list(find_images("~/line2/*", tmp_path / "out")) == ["a.tif"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere", "no such file"),
        ("empty", r"\.tiff.*subfolders"),
        ("*.gif", "no images found"),
        ("none/*", "no images"),
    ],
)
def test_nothing_found(folder, tmp_path, source, says):
    with pytest.raises(UserError, match=says) as caught:
        find_images(f"{folder}/{source}", tmp_path / "out")
    assert source in str(caught.value)


@pytest.mark.parametrize("output", [".", "results", "line2"])
@pytest.mark.parametrize("pattern", ["", "/**", "/**/*.*"])
def test_results_are_no_input(folder, output, pattern):
    """Else a second run would predict the first one's pictures."""
    for name in ("masks/b.png", "overlays/b.jpg", "masks/sub/b.png"):
        path = folder / output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert list(find_images(f"{folder}{pattern}", folder / output)) == IMAGES  # also with no journal yet
    (folder / output / "journal.jsonl").touch()
    assert list(find_images(f"{folder}{pattern}", folder / "other")) == IMAGES
    if output == "results":  # masks may well be looked at when asked for
        assert list(find_images(f"{folder}/results/masks", folder / "other")) == ["b.png", "sub/b.png"]


def test_folder_of_masks_without_a_journal_is_an_input(folder, tmp_path):
    (folder / "masks").mkdir()
    (folder / "masks" / "m.png").touch()
    assert "masks/m.png" in find_images(str(folder), tmp_path / "out")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="no one is kept out")
def test_closed_folder_is_told(folder, tmp_path):
    (folder / "line2").chmod(0)
    try:
        with pytest.raises(UserError, match="line2"):
            find_images(str(folder), tmp_path)
    finally:
        (folder / "line2").chmod(0o755)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.jpg", "sub/a.png"], ["a", "sub/a"]),
        (["a.b.jpg", "a.c.jpg"], ["a.b", "a.c"]),
        (["a.jpg", "a.png", "a.jpg.tif"], ["a.jpg", "a.png", "a.jpg.tif"]),
        (["a.jpg", "a.png", "a.jpg.tif", "a.jpg.tif.bmp"], ["a.jpg", "a.png", "a.jpg.tif", "a.jpg.tif.bmp"]),
        (["A.jpg", "a.png"], ["A.jpg", "a.png"]),
        (["noending"], ["noending"]),
        (["noending", "noending.jpg"], ["noending", "noending.jpg"]),
    ],
)
def test_output_names(names, expected):
    chosen = output_names(names)
    assert list(chosen) == names
    assert list(chosen.values()) == expected
    assert len(set(chosen.values())) == len(names)


def test_links_are_followed_once(tmp_path):
    root, elsewhere = tmp_path / "strips", tmp_path / "day1"
    for folder in (root, elsewhere):
        folder.mkdir()
        (folder / "a.png").touch()
    (root / "day1").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    assert list(find_images(str(root), tmp_path / "out")) == ["a.png", "day1/a.png"]


def test_no_way_out_of_the_results(tmp_path):
    with pytest.raises(UserError, match="behind a wildcard"):
        find_images(str(tmp_path / "s*" / ".." / "*.png"), tmp_path / "out")


def test_a_picture_is_not_called_as_a_folder():
    names = output_names(["a.jpg", "a.png/b.jpg"])
    assert names == {"a.jpg": "a.jpg", "a.png/b.jpg": "a.png/b"}


def test_paths_that_no_file_system_takes():
    with pytest.raises(UserError, match="input="):
        find_images("x" * 300, Path("out"))
