"""The README's commands do what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from steel_defects import CONF_DIR
from steel_defects.data.images import read_grey
from steel_defects.models.scores import scores

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
MODULE = "python -m steel_defects."
COMMANDS = re.findall(rf"^{re.escape(MODULE)}(\w+)(.*)$", README, re.MULTILINE)
TRAIN = [rest.strip() for name, rest in COMMANDS if name == "train"]
OTHERS = [(name, rest.strip()) for name, rest in COMMANDS if name != "train"]
RUN = "outputs/2026-01-31/12-00-00-000000"


# Resuming and the paper's systems have tests of their own, in test_train.py and test_configs.py.
@pytest.mark.parametrize("line", [c for c in TRAIN if "resume=" not in c and "paper/" not in c])
def test_commands_run(line, train_here, tmp_path):
    """Run for real, with their nets and recipes, for one epoch on tiny synthetic images."""
    kept = [word for word in shlex.split(line) if not word.startswith(("data=", "data.root="))]
    quick = ["recipe.epochs=1", "recipe.batch_size=16", "data.size=[32,32]", "figures=false"]
    result = train_here(tmp_path, *kept, *quick)
    assert result.returncode == 0, result.output
    assert "miou" in result.output
    assert "Traceback" not in result.output


@pytest.fixture(scope="module")
def desk(tmp_path_factory, trained_run, tiny_root) -> Path:
    """A folder as the README's reader has it: a run, strips, Kaggle's test images."""
    desk = tmp_path_factory.mktemp("desk")
    for folder in (RUN, "study/job"):
        shutil.copytree(trained_run.path, desk / folder)
    images = sorted((tiny_root / "train_images").iterdir())[:3]
    for folder in ("strips", "data/severstal/test_images"):
        (desk / folder).mkdir(parents=True)
        for image in images:
            shutil.copy(image, desk / folder)
    rows = "".join(f"{image.name},1 409600,0\n" for image in images)
    (desk / "data/severstal/sample_submission.csv").write_text("ImageId,EncodedPixels,ClassId\n" + rows)
    return desk


# A net of random weights, hardly trained, on 32 pixels: what it loses in int8 says nothing.
_SMALLER = {
    "export": ["parity.int8.miou=1", "parity.int8.pixels=0", "parity.bf16.miou=1", "parity.bf16.pixels=0"],
    "dashboard": ["dry_run=true"],  # saving needs an account; tests/dashboards has a server for it
    "benchmark": ["systems=efficientnet-lite0", "sizes=[[64,64]]", "rounds=1", "seconds=0.05", "warmup=0.01"],
}
_SMALLER["benchmark"] += ["engines=pytorch-fp32,openvino-fp32", "images=2", "train.steps=1", "train.size=[64,64]"]


def smaller(name: str, rest: str, root: Path) -> list[str]:
    """What makes a command quick, or gives it the data that the README's reader has."""
    if name == "download":  # the reader has them already; tests/test_download.py has a stand-in for Kaggle's client
        return [f"data.root={root}", "expect=null"]
    if name == "explore":
        drawn = ["data.synthetic.num_images=50", "+data.synthetic.size=[64,400]"] if "data=synthetic" in rest else []
        return [f"data.root={root}", "data.image_size=[64,400]", "data.size=[64,64]", "sheet=2", *drawn]
    if name == "audit":
        if "spoil=" in rest:  # of ten images, more than a tenth
            return ["spoil=0.5"]
        return [] if "reviewed=" in rest else ["folds=2", "epochs=1", "tta=false"]
    return _SMALLER.get(name, [])


def test_other_commands_run_in_their_order(desk, steel, tiny_root):
    assert {name for name, _ in OTHERS} == {
        *("download", "explore", "dashboard", "audit", "evaluate", "report", "predict", "export", "benchmark")
    }
    for name, rest in OTHERS:
        rest = rest.replace("tu-tf_efficientnet_lite0", "tu-test_efficientnet")  # in the names of exported files
        if "reviewed=" in rest:  # the reader has looked at the first finding by then
            table = pd.read_csv(desk / "audit" / "audit.csv", dtype=str)
            table.loc[0, "verdict"] = "accept"
            table.to_csv(desk / "audit" / "audit.csv", index=False)
        result = steel(name, *shlex.split(rest), *smaller(name, rest, tiny_root), cwd=desk)
        # A CPU without bf16 cannot compare such a file, and says so.
        fine = result.returncode == 0 or (name == "export" and "computes in bf16" in result.stdout)
        assert fine, f"{name} {rest}\n{result.output}"
        assert "Traceback" not in result.output
    assert (desk / "submission/submission.csv").is_file()
    assert (desk / "corrected/train.csv").read_text() != (tiny_root / "train.csv").read_text()
    masks = [sorted((desk / folder / "masks").glob("*.png")) for folder in ("predictions", "predictions-exported")]
    assert len(masks[0]) == len(masks[1]) == 3
    for one, other in zip(*masks, strict=True):
        assert (read_grey(one) == read_grey(other)).mean() > 0.999


def test_every_choice_is_listed():
    for path in set(Path(CONF_DIR).glob("*/**/*.yaml")) - set(Path(CONF_DIR, "hydra").rglob("*.yaml")):
        assert f"`{path.relative_to(CONF_DIR).with_suffix('').as_posix().split('/', 1)[1]}`" in README, path


def test_every_score_is_explained():
    for key in scores(np.zeros((1, 2, 2), int), ["c"]):
        assert f"`{key.replace('_c', '_<class>') if key.endswith('_c') else key}`" in README


def test_pictures_and_overrides_exist():
    for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / target).is_file()
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+) \|$", README.split("| to | set |")[1].split("\n\n")[0], re.MULTILINE)
    assert len(rows) >= 6
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        for row in rows:
            for code in re.findall(r"`([^`]+=[^`]+)`", row):
                compose("train", shlex.split(code.replace("[", "'[").replace("]", "]'")))
