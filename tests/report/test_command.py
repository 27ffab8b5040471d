"""The report command: from run folders to a page, a text and a table, with the numbers of the runs in them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.report.__main__ import report
from steel_defects.report.settings import ReportSettings
from steel_defects.train.training import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory, settings) -> Path:
    """Two systems, one of them with two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    for name, *overrides in (
        ("a1", "experiment=paper/resnet101", "encoder=resnet18", "seed=1", "speed=true"),
        ("a2", "experiment=paper/resnet101", "encoder=resnet18", "seed=2"),
        ("b1", "model=barebone", "system=bare", "seed=1", "speed=true"),
    ):
        run = RunFolder(folder / name)
        values = settings("encoder.weights=null", "recipe.batch_size=8", "recipe.epochs=2", "figures=false", *overrides)
        run.config.parent.mkdir(parents=True)
        OmegaConf.save(values.plain(), run.config)
        OmegaConf.save(overrides, run.config.with_name("overrides.yaml"))
        train(values, run)
    return folder


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, report(given(runs), folder)


def given(*runs: Path, **changes) -> ReportSettings:
    values = {"runs": list(map(str, runs)), "title": "Steel", "data": {"root": None}, "gallery": 2}
    return read(ReportSettings, values | changes)


def table(text: str, title: str) -> pd.DataFrame:
    """A table of report.md by its title."""
    lines = text.split(f"### {title}")[1].split("\n\n")[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return pd.DataFrame(rows[2:], columns=rows[0])


def test_numbers_are_those_of_the_runs(made, runs):
    folder, _ = made
    text = (folder / "report.md").read_text()
    scores = table(text, "Scores at the net's size (paper, table 2)").set_index("system")
    values = [RunFolder(runs / name).read_summary()["test"]["miou"] for name in ("a1", "a2")]
    assert scores.loc["resnet101", "miou"] == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    assert scores.loc["resnet101", "mIoU in the paper"] == "0.57"
    bare = RunFolder(runs / "b1").read_summary()
    assert scores.loc["bare", "miou"] == f"{bare['test']['miou']:.3f}"
    assert scores.loc["bare", "mIoU in the paper"] == "-"
    costs = table(text, "Speed and size (paper, table 1)").set_index("system")
    assert costs.loc["bare", "images/s resized"] == f"{bare['speed']['resized']['images_per_s']:.3g}"
    assert costs.loc["bare", "images/s original"] == f"{bare['speed']['original']['images_per_s']:.3g}"
    assert costs.loc["bare", "peak memory"] == f"{bare['peak_memory']['bytes'] / 2**20:,.0f} MB"
    assert float(costs.loc["bare", "GMACs"]) == pytest.approx(bare["gmacs"], abs=0.005)
    ran = table(text, "Runs")
    assert ran["seed"].tolist() == ["1", "2", "1"]
    assert set(ran["split hash"]) == {bare["data"]["split_hash"]}
    commands = table(text, "Commands")["command"]
    assert "python -m steel_defects.train experiment=paper/resnet101" in commands[0]
    assert "seed=2" in commands[1]


def test_results_are_a_row_a_run(made, runs):
    folder, _ = made
    results = pd.read_csv(folder / "results.csv")
    assert results["system"].tolist() == ["resnet101", "resnet101", "bare"]
    for row in results.itertuples():
        summary = RunFolder(Path(row.folder)).read_summary()
        assert row.seed == summary["seed"]
        assert row.miou == pytest.approx(summary["test"]["miou"])
        assert row.peak_memory == summary["peak_memory"]["bytes"]


def test_the_page_holds_everything_and_names_nothing_outside(made):
    folder, content = made
    page = (folder / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    headings = [section.title for section in content.sections]
    assert len(headings) == 8
    assert [title for title in headings if title not in page] == []
    names = {chart.name for section in content.sections for chart in section.charts}
    assert {path.stem for path in (folder / "figures").iterdir()} == names
    assert set(re.findall(r"\]\(figures/(.+?)\.png\)", (folder / "report.md").read_text())) == names
    assert content.omissions == []
    assert {shown.group for picture in content.gallery for shown in picture.shown} == {"resnet101", "bare"}


def test_without_its_images_a_report_says_so_and_has_the_rest(runs, tmp_path):
    content = report(given(runs, data={"root": str(tmp_path / "gone")}), tmp_path)
    assert content.gallery == []
    assert len(content.sections) == 7
    (omission,) = content.omissions
    assert "gone" in str(omission)
    assert "no test images are shown" in str(omission)
    assert all("gone" in (tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))


def no_defect(run: RunFolder) -> None:
    rows = pd.read_csv(run.per_image, dtype={"ImageId": str})
    rows.loc[:, [column for column in rows if "iou" in column]] = np.nan
    counts = ("true", "predicted", "hit")
    rows.loc[:, [column for column in rows if column.removeprefix("native_").split("_")[0] in counts]] = 0
    rows.to_csv(run.per_image, index=False)
    summary = run.read_summary()
    run.write_summary(summary | {"test": dict.fromkeys(summary["test"])})


def no_defect_to_validate_and_one_to_test(run: RunFolder) -> None:
    run.read_history().assign(**{"val/miou": np.nan}).to_csv(run.history, index=False)
    rows = pd.read_csv(run.per_image, dtype={"ImageId": str})
    rows[rows.filter(like="native_true_").any(axis=1)].iloc[:1].to_csv(run.per_image, index=False)


def odd_names(run: RunFolder) -> None:
    for path in (run.per_image, run.summary, run.config):
        path.write_text(path.read_text().replace("pits", "$a_{$").replace("streaks", "<b>|%"))


@pytest.mark.parametrize(
    ("change", "absent"),
    [
        (no_defect, {"distribution", "same-images"}),
        (no_defect_to_validate_and_one_to_test, {"training"}),
        (odd_names, set()),
    ],
)
def test_rare_runs_have_a_report_too(made, runs, tmp_path, change, absent):
    for name in ("a1", "b1"):
        change(RunFolder(shutil.copytree(runs / name, tmp_path / "runs" / name)))
    content = report(given(tmp_path / "runs", gallery=1), tmp_path / "report")
    every = [section.name for section in made[1].sections]
    assert [section.name for section in content.sections] == [name for name in every if name not in absent]
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "report" / "results.csv").is_file()


def test_a_report_does_not_hide_the_study_it_lies_in(runs, steel, tmp_path):
    study = shutil.copytree(runs, tmp_path / "study")
    for _ in range(2):
        result = steel("report", "runs=study", "gallery=0", "hydra.run.dir=study", cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Not reported" not in result.stdout
    config = (study / "a1" / ".hydra" / "config.yaml").read_text()
    refused = steel("report", "runs=study", "hydra.run.dir=study/a1", cwd=tmp_path)
    assert refused.returncode == 2
    assert "holds a run; name another folder" in refused.stderr
    assert (study / "a1" / ".hydra" / "config.yaml").read_text() == config


def test_on_the_command_line(runs, steel, tmp_path):
    odd = tmp_path / "2026_01_31 ü"
    shutil.copytree(runs, odd)
    (odd / "b1" / "summary.json").write_text("{")
    result = steel("report", f"runs={odd}, nowhere,", "gallery=1", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "nowhere: is not a folder" in result.stdout
    assert "summary.json is broken" in result.stdout
    (page,) = tmp_path.glob("reports/*/*/report.html")
    assert str(page.name) in result.stdout
    assert "nowhere" in page.read_text()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "runs=<folder>"),
        (["runs=nowhere"], "There is nothing to report"),
        (["runs=nowhere", "gallery=-1", "title=''"], "gallery=-1: a whole number, 0 or more"),
    ],
)
def test_mistakes_have_one_clear_error(steel, tmp_path, overrides, message):
    result = steel("report", *overrides, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
