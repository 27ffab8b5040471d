"""A small competition, a stand-in for Kaggle's client, and a folder of its own for each test."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.settings import read
from steel_defects.data.synthetic import write_synthetic
from steel_defects.download.__main__ import download
from steel_defects.download.settings import DownloadSettings

ZIP = "severstal-steel-defect-detection.zip"


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def archive(files) -> Path:
    return Path(shutil.make_archive(str(files), "zip", files))


@pytest.fixture(scope="session")
def expected(files) -> list[str]:
    """What is expected of these files, as counted by pandas."""
    rows = pd.read_csv(files / "train.csv")
    by_class = [int((rows["ClassId"] == c).sum()) for c in (1, 2, 3, 4)]
    return [
        *("expect.train_images=12", "expect.test_images.first_stage=3", f"expect.regions={len(rows)}"),
        *(f"expect.defective={rows['ImageId'].nunique()}", f"expect.regions_by_class={by_class}".replace(" ", "")),
    ]


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def unzipped(root, files) -> Path:
    """All files lie in the folder already."""
    return shutil.copytree(files, root)


@pytest.fixture
def zip_there(root, archive) -> Path:
    """The zip lies there already."""
    root.mkdir(exist_ok=True)
    return shutil.copy(archive, root / ZIP)


@pytest.fixture(scope="session")
def contents() -> Callable[..., dict[str, bytes]]:
    """All files of a folder, by name; but for the zip."""

    def read_all(folder: Path, but: str = ZIP) -> dict[str, bytes]:
        paths = [path for path in folder.rglob("*") if path.is_file() and path.name != but]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return read_all


@pytest.fixture
def given(expected, root) -> Callable[..., DownloadSettings]:
    """conf/download.yaml for these files and this folder."""

    def make(*overrides: str) -> DownloadSettings:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("download", [*expected, f"data.root={root}", "space.zip=0", *overrides])
        return read(DownloadSettings, OmegaConf.to_container(cfg, resolve=True))

    return make


@pytest.fixture
def refusal(given) -> Callable[..., str]:
    """What the command ends with."""

    def told(*overrides: str) -> str:
        with pytest.raises(UserError) as caught:
            download(given(*overrides))
        return str(caught.value)

    return told


@pytest.fixture
def no_home(tmp_path, monkeypatch) -> Path:
    """No token is found, whoever runs the tests."""
    for key in [key for key in os.environ if key.startswith("KAGGLE_")]:
        monkeypatch.delenv(key)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return home


@pytest.fixture
def absent(monkeypatch, no_home) -> None:
    """The package kaggle is not installed."""
    monkeypatch.setitem(sys.modules, "kaggle", None)


@pytest.fixture
def kaggle(archive, tmp_path, monkeypatch, no_home) -> Iterator[SimpleNamespace]:
    """The stand-in: `does(how)` tells it how it goes, `starts()` is where each download began."""
    plan, log = tmp_path / "plan.json", tmp_path / "log"

    def does(how: str, has: Path = archive) -> None:
        plan.write_text(json.dumps({"zip": str(has), "does": how, "log": str(log)}))

    does("fine")
    monkeypatch.setenv("STAND_IN_KAGGLE", str(plan))
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "stand_in")
    monkeypatch.delitem(sys.modules, "kaggle", raising=False)
    yield SimpleNamespace(
        does=does, starts=lambda: [int(line) for line in log.read_text().split()] if log.exists() else []
    )
    sys.modules.pop("kaggle", None)
