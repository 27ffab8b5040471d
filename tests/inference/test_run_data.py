"""Which data and split a model is measured on, and how this can go wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import DataFaults, UserError
from steel_defects.core.runs import RunFolder, find_run
from steel_defects.data.datamodule import StripDataModule
from steel_defects.data.settings import DataSettings
from steel_defects.data.synthetic import write_synthetic
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision
from steel_defects.inference.run_data import asked_data, load_run_data, part_samples

CLASSES = ("pits", "streaks", "scratches", "patches")
CARD = ModelCard(CLASSES, (32, 64), Decision.argmax(4))


@pytest.fixture
def own_settings(settings) -> DataSettings:
    return settings("data.split.seed=3").data


@pytest.fixture
def run(tmp_path, own_settings) -> RunFolder:
    """What a run leaves that says which data it had; the split is another than conf/ would draw."""
    run = RunFolder(tmp_path / "run")
    run.config.parent.mkdir(parents=True)
    OmegaConf.save(OmegaConf.create({"data": own_settings.plain()}), run.config)
    data = StripDataModule(own_settings)
    data.setup("predict")
    data.write_split(run.split)
    run.checkpoints.mkdir()
    run.best.touch()
    return run


def parts(data: StripDataModule) -> list[str]:
    return [sample.image_id for part in ("train", "val", "test") for sample in data.samples(part)]


def test_the_runs_own_data_and_split(run, own_settings):
    data = load_run_data([run.best], CARD)
    assert str(data.root) == own_settings.root
    assert data.size == CARD.size
    expected = StripDataModule(own_settings)
    expected.setup()
    assert parts(data) == parts(expected)
    assert data.split_hash == expected.split_hash


def test_exported_files_lie_in_the_run_folder_or_beside_the_checkpoint(run, tmp_path):
    for path in (run.path / "model.onnx", run.checkpoints / "best.xml"):
        assert find_run(path).path == run.path
    assert find_run(tmp_path / "best.ckpt") is None


def test_another_choice_keeps_the_runs_split(run, own_settings):
    data = load_run_data([run.best], CARD, chosen=own_settings.changed({"name": "chosen", "split.seed": 0}))
    assert data.name == "chosen"
    assert parts(data) == parts(load_run_data([run.best], CARD))


def test_single_values(run, tmp_path, own_settings):
    with pytest.raises(UserError, match=r"nowhere.* does not exist"):
        load_run_data([run.best], CARD, changes={"root": str(tmp_path / "nowhere"), "synthetic": None})
    split = tmp_path / "split.csv"
    split.write_text(run.split.read_text().replace(",val,", ",test,"))
    data = load_run_data([run.best], CARD, changes={"split.file": str(split)})
    assert not data.samples("val")
    with pytest.raises(UserError, match="no image in part=val"):
        part_samples(data, "val", [run.best], CARD)


def test_strips_that_were_drawn_anew_are_left_alone(run, tmp_path):
    """Another run may be at work on them."""
    root = tmp_path / "strips"
    write_synthetic(root, num_images=10, size=(64, 400))
    before = {path.name for path in (root / "train_images").iterdir()}
    with pytest.raises(UserError, match="holds other strips: drawn with num_images=10"):
        load_run_data([run.best], CARD, changes={"root": str(root)})
    assert {path.name for path in (root / "train_images").iterdir()} == before
    elsewhere = load_run_data([run.best], CARD, changes={"root": str(tmp_path / "elsewhere")})
    assert parts(elsewhere) == parts(load_run_data([run.best], CARD))


def test_no_run_folder(tmp_path, own_settings, run):
    alone = [tmp_path / "best.onnx"]
    with pytest.raises(UserError, match=r"lies in no run folder.*data=severstal"):
        load_run_data(alone, CARD)
    with pytest.raises(UserError, match=r"data.split.file=<run folder>/split.csv; part=all"):
        load_run_data(alone, CARD, chosen=own_settings)
    drawn = load_run_data(alone, CARD, chosen=own_settings, divided=False)
    assert len(part_samples(drawn, "all", alone, CARD)) == 50
    given = load_run_data(alone, CARD, chosen=own_settings.changed({"split.file": str(run.split)}))
    assert given.split_hash == load_run_data([run.best], CARD).split_hash


def test_no_run_folder_but_the_split_it_was_trained_with(tmp_path, own_settings, run, caplog):
    """The card knows the split's hash: what is drawn again can be told to be the same."""
    split_hash = load_run_data([run.best], CARD).split_hash
    card = ModelCard(CLASSES, (32, 64), Decision.argmax(4), data={"split_hash": split_hash})
    alone = [tmp_path / "best.onnx"]
    data = load_run_data(alone, card, chosen=own_settings)
    assert parts(data) == parts(load_run_data([run.best], CARD))
    assert part_samples(data, "test", alone, card)
    assert not caplog.text
    assert part_samples(data, "test", alone, CARD)
    assert "Nothing says which images" in caplog.text


def test_other_classes(run):
    card = ModelCard(("a", "b"), (32, 64), Decision.argmax(2))
    with pytest.raises(UserError, match="pits, streaks, scratches, patches; the model knows a, b"):
        load_run_data([run.best], card)


def test_split_of_other_images(run):
    run.split.write_text("ImageId,part\nx.jpg,train\n")
    with pytest.raises(DataFaults) as caught:
        load_run_data([run.best], CARD)
    assert "50 images of the data set not in the split" in str(caught.value)
    assert "data.split.file; part=all" in str(caught.value)
    load_run_data([run.best], CARD, divided=False)


@pytest.mark.parametrize("text", ["[1", "system: x\n", "data: {root: x}\n"])
def test_broken_configuration(run, text):
    run.config.write_text(text)
    with pytest.raises(UserError, match="does not say what data the run had"):
        load_run_data([run.best], CARD)


def asked(*overrides: str):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("evaluate", list(overrides))
    choice = next((o.removeprefix("data=") for o in overrides if o.startswith("data=")), None)
    return asked_data(cfg, choice, overrides)


def test_what_the_command_line_says():
    assert asked() == (None, {})
    assert asked("data.root=/x", "tta=true") == (None, {"root": "/x"})
    assert asked("data.image_size=null", "data.split.file=s.csv") == (None, {"image_size": None, "split.file": "s.csv"})
    assert asked("+data.synthetic.size=[64,400]") == (None, {"synthetic.size": [64, 400]})
    chosen, changes = asked("data=strip_steel", "data.root=/x")
    assert chosen.root == "/x"
    assert chosen.classes == ("inclusion", "patches", "scratches")
    assert not changes


def test_every_key_that_may_be_given_is_one_of_the_data():
    """The list in evaluate.yaml follows conf/data."""
    conf = Path(CONF_DIR)
    keys, known = OmegaConf.load(conf / "evaluate.yaml").data, OmegaConf.load(conf / "data" / "severstal.yaml")
    assert set(keys) <= set(known)
    assert set(keys.split) <= set(known.split)
