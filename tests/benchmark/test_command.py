"""The benchmark: what its clocks say of calls of known length, what it writes, and what it makes of mistakes."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.benchmark import engines, report
from steel_defects.benchmark.__main__ import benchmark
from steel_defects.benchmark.engines import open_engines
from steel_defects.benchmark.files import Pictures, TypicalAnswers, images_for
from steel_defects.benchmark.rows import END_TO_END, LATENCY, LOAD, NET, TRAIN, WITH_OVERLAYS, Row, fastest, write_csv
from steel_defects.benchmark.settings import ENGINES, BenchmarkSettings, known_systems
from steel_defects.benchmark.systems import read_system
from steel_defects.benchmark.timing import in_rounds, ratios, time_calls
from steel_defects.core.errors import UserError
from steel_defects.core.paper import ORIGINAL, PAPER, RESIZED
from steel_defects.core.settings import read
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.engine import Engine
from steel_defects.page.overlay import PALETTE

pytestmark = pytest.mark.slow


class Clock(threading.local):
    """A time of its own for each thread."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def settings(*overrides: str) -> BenchmarkSettings:
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return read(BenchmarkSettings, OmegaConf.to_container(compose("benchmark", list(overrides)), resolve=True))


def test_calls_of_known_length():
    clock, seen = Clock(), []

    def call(seconds: float) -> None:
        clock.now += seconds
        seen.append(seconds)

    timing = time_calls(call, [0.1, 0.1, 0.4], 1, 1.0, clock)
    assert seen == [0.1, 0.1, 0.4, 0.1, 0.1, 0.4], "what was begun before the end is finished"
    assert timing.rate == pytest.approx(6 / 1.2)
    assert timing.latency == pytest.approx(0.1)
    assert time_calls(call, [5.0], 1, 1.0, clock).rate == pytest.approx(1 / 5)


def test_rates_of_threads_add_up():
    clock, meet = Clock(), threading.Barrier(2)

    def call(seconds: float) -> None:
        if clock.now == 0:
            meet.wait(10)  # each thread has its first call: none does all the work
        clock.now += seconds

    timing = time_calls(call, [0.5, 2.0], 2, 2.5, clock)
    assert timing.rate == pytest.approx(2 / 2.5 + 2 / 2.5)
    assert timing.latency == pytest.approx(1.25)


def test_rounds_take_turns_and_a_failure_costs_nothing_else():
    order = []

    def measure(name: str) -> float:
        order.append(name)
        if name == "b" and len(order) > 3:
            raise RuntimeError("out of memory\n  at some place")
        return float(len(order))

    values, faults = in_rounds({name: lambda name=name: measure(name) for name in "abc"}, 3)
    assert order == ["a", "b", "c", "b", "c", "a", "c", "a"]
    assert values == {"a": [1, 6, 8], "c": [3, 5, 7]}
    assert faults == {"b": "RuntimeError: out of memory"}


def test_ratios_are_of_a_round():
    assert ratios([10, 4, 30], [5, 2, 15]) == [2, 2, 2], "though the machine was slower in the second"
    assert ratios([1.0], None) == []


def made_up() -> list[Row]:
    rows = [Row("", size, "", LOAD, [900, 1500]) for size in (RESIZED, ORIGINAL)]
    for system, base in (("baseline", 8), ("resnet101", 16), ("efficientnet-lite0", 40)):
        for size in (RESIZED, ORIGINAL):
            for k, engine in enumerate(list(ENGINES)[:7]):
                if engine == "openvino-bf16" and system == "resnet101":
                    rows.append(Row(system, size, engine, NET, note="which this CPU | does not"))
                    continue
                values = [base * (k + 1) * f * (1 if size == RESIZED else 0.1) for f in (0.9, 1.0, 1.2)]
                rows.append(Row(system, size, engine, NET, values, [k + 0.9, k + 1, k + 1.1]))
                rows.append(Row(system, size, engine, LATENCY, [1000 / v for v in values]))
            rows += [
                Row(system, size, "openvino-int8", kind, [5, 6], [0.8, 0.9]) for kind in (END_TO_END, WITH_OVERLAYS)
            ]
        rows.append(Row(system, RESIZED, "fp32", TRAIN, [0.1, 0.2], [1, 1]))
    return rows


def test_tables():
    rows = made_up()
    resized, original = report.paper_sheets(rows)
    assert [line[0] for line in resized.lines] == ["baseline", "resnet101"], "the paper knows no other"
    assert resized.lines[0] == [
        "baseline",
        "26",
        "openvino-int8-bf16",
        "56",
        "yes ×2.2",
        "openvino-bf16",
        "40",
        "yes ×1.5",
    ]
    assert original.lines[1][-3:] == ["openvino-fp32", "6.4", "no ×0.8"]
    lines = report.system_sheets(rows, "resnet101")[0].lines
    assert [line[0] for line in lines] == list(ENGINES)[:7], "one that did not run is a row, too"
    assert lines[0][:4] == ["pytorch-fp32", "16 (14.4–19.2)", "1 (0.9–1.1)", "62.5"]
    assert lines[4][1:] == ["-", "-", "-", "which this CPU | does not"]
    assert report.file_sheet(rows).lines[0][3] == "1,200 (900–1,500)"
    assert report.train_sheet(rows, 16).lines[0][4] == "24"
    assert report.train_sheet(rows, 4).lines[0][4] == "-", "the paper's batch was another"
    assert report.train_sheet(rows[:2], 16) is None
    assert [report.number(v) for v in (0.0123456, 9.876, 1234.5)] == ["0.0123", "9.88", "1,234"]


def test_markdown_and_csv(tmp_path):
    rows = made_up()
    text = report.markdown(rows, {"device": "a CPU", "versions": {"torch": "2"}}, 16, complete=False)
    assert "- device: a CPU\n- versions: torch 2" in text
    assert "Not complete" in text
    assert "which this CPU \\| does not" in text
    for block in text.split("### ")[1:]:
        bars = {line.replace("\\|", "").count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(bars) == 1, block
    write_csv(tmp_path / "b.csv", rows)
    with (tmp_path / "b.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows)
    row = next(row for row in table if row["engine"] == "pytorch-fp32" and row["measure"] == NET)
    assert (row["system"], row["size"], row["unit"]) == ("baseline", "256x256", "images/s")
    assert (row["median"], row["min"], row["max"], row["rounds"]) == ("8", "7.2", "9.6", "7.2 8 9.6")
    assert (row["ratio_to"], row["ratio_median"]) == ("pytorch-fp32", "1")
    assert fastest([]) is None


@pytest.mark.filterwarnings("error")
def test_chart_has_a_bar_for_each_engine(tmp_path):
    report.draw_chart(made_up(), tmp_path / "b.png", "a CPU")
    picture = cv2.imread(str(tmp_path / "b.png")).astype(int)
    for colour in PALETTE:
        bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
        assert (abs(picture - bgr) <= 1).all(axis=-1).sum() > 500, colour
    report.draw_chart([Row("resnet101", RESIZED, "cuda-fp32", NET, note="no GPU")], tmp_path / "none.png", "")
    assert not (tmp_path / "none.png").exists()


def test_systems_are_those_of_the_configuration():
    assert list(known_systems())[:4] == list(PAPER)
    assert read_system("resnet101").settings.model.atrous_rates == (12, 24, 36)
    assert read_system("baseline").settings.model.architecture == "barebone"
    system = read_system("efficientnet-lite0").settings
    assert system.encoder.name == "tu-tf_efficientnet_lite0"
    assert system.recipe.optimizer == "sgd"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["systems=[resnet101,vgg]", "engines=[onnx-int4]", "warmup=0", "train.batch_size=1", "sizes=[[50,64]]"],
         ["systems=[resnet101,vgg]: one or more of baseline, densenet201, resnet101, efficientnet-b1",
          "sizes=[[50,64]]: one or more [height,width], multiples of 16",
          "engines=[onnx-int4]: auto, or one or more of pytorch-fp32, pytorch-bf16, onnx-fp32",
          "warmup=0: seconds, more than 0", "train.batch_size=1: a whole number, 2 or more"]),
        (["systems=[]", "engines=null"], ["systems=[]: one or more of", "engines=null: auto, or one or more of"]),
        (["engines=[auto,onnx-fp32]"], ["engines=[auto,onnx-fp32]: auto, or"]),
        (["engines=onnx-fp32", "end_to_end=[fastest,cuda-fp16,onnx-fp32]", "sizes=[[48,64]]"],
         ["end_to_end=cuda-fp16: one or more of fastest, onnx-fp32",
          "sizes=[[48,64]]: strips are drawn with sides of 64 pixels or more"]),
        (["end_to_end=onnx-int4"], ["end_to_end=onnx-int4: one or more of fastest, pytorch-fp32"]),
    ],
)  # fmt: skip
def test_settings_are_checked_all_at_once(typed, said):
    with pytest.raises(UserError) as error:
        settings(*typed)
    lines = str(error.value).splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True)), lines


def test_lists_as_they_are_given():
    """A name alone is a list of one, and what is named twice is measured once; small sizes need files or none."""
    given = settings("systems=resnet101", "engines=[onnx-fp32,onnx-fp32]", "sizes=[[48,64],[48,64]]", "end_to_end=null")
    assert (given.systems, given.engines, given.end_to_end) == (("resnet101",), ("onnx-fp32",), ())
    assert given.sizes == ((48, 64),)
    assert settings("sizes=[[48,64]]", "input=strips").engines == ("auto",)


def test_input_without_images(steel, tmp_path):
    out = tmp_path / "out"
    done = steel("benchmark", "systems=efficientnet-lite0", f"input={tmp_path}", f"hydra.run.dir={out}", cwd=tmp_path)
    assert done.returncode == 2
    assert "no images found" in done.stderr
    assert [path.name for path in out.iterdir() if path.is_file()] == ["benchmark.log"]


class Still(Engine):
    parallel, about, card, calls = 2, {}, None, 0

    def __call__(self, image: np.ndarray) -> Maps:
        self.calls += 1
        return Maps(np.ones_like(image), np.zeros(image.shape, np.float32))


def test_answers_are_typical():
    engine = Still()
    answering = TypicalAnswers(engine, {(64, 128), (40, 60)})
    decision = Decision.argmax(4)
    masks = [decision.mask(answering(np.zeros((64, 128), np.uint8))) for _ in range(16)]
    assert engine.calls == 16, "the net has been run for each"
    assert 4 <= sum(mask.any() for mask in masks) <= 12
    assert answering(np.zeros((40, 60), np.uint8)).classes.shape == (40, 60)
    assert images_for(0.1, 2, 2) == 8
    assert images_for(33.3, 2, 2) == 68


def test_the_users_images(tmp_path):
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((16, 32 + i % 2), np.uint8))
    pictures = Pictures.given(str(tmp_path), 3)
    assert list(pictures.paths) == ["0.png", "1.png", "3.png"]
    assert pictures.shapes == {(16, 32), (16, 33)}
    assert list(pictures.repeated(4).values())[3].name == "0.png"
    (tmp_path / "3.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"3\.png"):
        Pictures.given(str(tmp_path), 3)


def test_a_package_that_is_missing_is_a_reason(tmp_path, monkeypatch):
    def write_model(*_) -> None:
        raise UserError('the package nncf is not installed: pip install "steel-defects[export]"')

    monkeypatch.setattr(engines, "write_model", write_model)
    monkeypatch.setattr(engines, "trace", lambda model, path: path.touch())
    system = read_system("efficientnet-lite0")
    opened, faults = open_engines(["pytorch-bf16", "openvino-int8", "cuda-fp16"], system, (64, 64), 1, tmp_path)
    assert list(opened) == ["pytorch-bf16"]
    assert "nncf" in faults["openvino-int8"]
    assert opened["pytorch-bf16"].about["precision"] == "bf16"


def test_int8_is_calibrated_once(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(engines, "trace", lambda model, path: path.touch())
    monkeypatch.setattr(engines, "write_model", lambda source, card, path, images: written.append((card, path, images)))
    monkeypatch.setattr(engines, "stamp", lambda path, card, target: written.append((card, path, target)))
    names = ["openvino-bf16", "openvino-int8-bf16", "openvino-int8"]
    _, faults = open_engines(names, read_system("efficientnet-lite0"), (64, 64), 1, tmp_path)
    assert list(faults) == names, "there are no such files"
    assert [card.precision for card, *_ in written[:3]] == ["bf16", "int8", "int8-bf16"]
    assert [len(images) for _, _, images in written[:2]] == [0, 2]
    assert written[2][1:] == (tmp_path / "int8.xml", tmp_path / "int8-bf16.xml")


def test_small_run(tmp_path, capsys):
    rows = benchmark(
        settings(
        "systems=[efficientnet-lite0]", "sizes=[[64,64]]",
        "engines=[pytorch-fp32,onnx-fp32,openvino-fp32,cuda-fp32]",
        "rounds=2", "seconds=0.05", "warmup=0.01", "file_rounds=1", "images=4", "end_to_end=[fastest,cuda-fp32]",
        "train.steps=1", "train.batch_size=2", "train.size=[32,32]",
        ),
        tmp_path,
    )  # fmt: skip
    found = {(row.engine, row.measure): row for row in rows}
    assert not found["openvino-fp32", NET].note
    for engine in ("pytorch-fp32", "onnx-fp32", "openvino-fp32"):
        assert len(found[engine, NET].values) == len(found[engine, NET].ratios) == 2
        assert found[engine, LATENCY].median > 0
    assert found["pytorch-fp32", NET].ratios == [1, 1]
    assert found["", LOAD].median > 0
    assert {row.measure for row in rows if row.values} == {NET, LATENCY, LOAD, END_TO_END, WITH_OVERLAYS, TRAIN}
    if not torch.cuda.is_available():
        assert "no GPU" in found["cuda-fp32", NET].note
        assert "no GPU" in found["cuda-fp32", END_TO_END].note
        assert found["bf16", TRAIN].ratios
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert written["complete"] is True
    assert {key: written["plan"][key] for key in ("engines", "end_to_end", "batch_size", "steps", "train_size")} == {
        "engines": ["pytorch-fp32", "onnx-fp32", "openvino-fp32", "cuda-fp32"],
        "end_to_end": ["fastest", "cuda-fp32"],
        "batch_size": 2,
        "steps": 1,
        "train_size": [32, 32],
    }
    assert written["versions"]["torch"]
    assert written["paper"]["baseline"] == {"resized": 26, "original": 11, "train": 24}
    assert len(written["rows"]) == len(rows)
    for name in ("benchmark.csv", "benchmark.md", "benchmark.png"):
        assert (tmp_path / name).stat().st_size > 500
    lines = capsys.readouterr().out.splitlines()
    assert any("openvino-fp32" in line for line in lines)
    assert max(map(len, lines)) <= 100
    assert not list(Path(tmp_path).glob("*.part"))
