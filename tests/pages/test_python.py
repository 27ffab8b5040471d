"""The README's Python runs as it stands there, on a run folder of the first version."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2

import steel_defects

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "README.md").read_text().split("## From Python\n")[1].split("\n## ")[0]
RUN = "outputs/2026-01-31/12-00-00-000000"


def test_the_code_runs(tmp_path, tiny_root, monkeypatch, capsys):
    [code] = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    shutil.copytree(ROOT / "tests/fixtures/v0.1.0/run", tmp_path / RUN)
    (tmp_path / "strips").mkdir()
    images = sorted((tiny_root / "train_images").iterdir())
    for image in images:
        shutil.copy(image, tmp_path / "strips")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert sum(line == "clean" or line.endswith(" defects") for line in lines) == len(images)
    assert any(line.endswith(" defects") for line in lines)
    assert cv2.imread("overlay.png").shape == (64, 400, 3)


def test_what_is_public_is_named():
    for name in steel_defects.__all__:
        assert f"`{name}`" in SECTION
    assert {f"`{name}`" for name in steel_defects.load_model.__kwdefaults__} <= set(re.findall(r"`\w+`", SECTION))
    names = {*steel_defects.Prediction.__dataclass_fields__, *steel_defects.Defect.__dataclass_fields__}
    assert {f"`{name}`" for name in names} <= set(re.findall(r"`\w+`", SECTION))
