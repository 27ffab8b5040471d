"""The folds of an audit: who is in which, how each is trained, on what, and what is not trained again."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.audit import folds as module
from steel_defects.audit.folds import assign_folds, fold_settings, train_folds
from steel_defects.audit.settings import AuditSettings
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.data.datamodule import StripDataModule
from steel_defects.data.images import read_grey
from steel_defects.data.settings import DataSettings
from steel_defects.data.synthetic import write_synthetic
from steel_defects.inference.loading import open_engine
from steel_defects.loggers.settings import LOGGERS
from steel_defects.train.settings import TrainSettings

pytestmark = pytest.mark.slow

# Who is in which.


def random_images(seed: int) -> tuple[list[tuple[int, ...]], list[int], int]:
    """Classes of images, their groups and a number of folds; twins have other classes now and then."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(20, 150))
    table = [tuple((np.flatnonzero(rng.random(4) < 0.3) + 1).tolist()) for _ in range(count)]
    groups = np.arange(count)
    if seed % 2:
        for k in rng.choice(count // 2, count // 8, replace=False) * 2:
            groups[k + 1] = k
            if rng.random() < 0.7:
                table[k + 1] = table[k]
    return table, (groups * 7 - 3).tolist(), int(rng.integers(2, 8))


@pytest.mark.parametrize("seed", range(40))
def test_images_are_dealt_evenly_and_twins_together(seed):
    table, groups, folds = random_images(seed)
    fold_of = assign_folds(table, groups, folds, seed)
    assert fold_of.shape == (len(table),)
    assert sorted(set(fold_of.tolist())) == list(range(folds))
    together = pd.DataFrame({"group": groups, "fold": fold_of}).groupby("group")["fold"]
    assert (together.nunique() == 1).all()

    union = {number: set() for number in groups}
    for number, classes in zip(groups, table, strict=True):
        union[number].update(classes)
    images = Counter(groups)
    strata = [tuple(sorted(union[number])) for number in groups]
    for stratum in set(strata):
        inside = [k for k, own in enumerate(strata) if own == stratum]
        counts = np.bincount(fold_of[inside], minlength=folds)
        assert counts.max() - counts.min() <= max(images[groups[k]] for k in inside)
    if max(images.values()) == 1:
        total = np.bincount(fold_of)
        assert total.max() - total.min() <= 1, "what is left over of the strata is dealt evenly, too"


def test_the_seed_decides():
    table, groups, _ = random_images(1)
    first, again, other = (assign_folds(table, groups, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_rare_class_is_spread():
    fold_of = assign_folds([(1,)] * 90 + [(2,)] * 5 + [()] * 55, range(150), 5, 0)
    assert sorted(fold_of[90:95].tolist()) == [0, 1, 2, 3, 4]
    assert np.bincount(fold_of).tolist() == [30] * 5


def test_as_many_groups_of_twins_as_folds():
    fold_of = assign_folds([(1,)] * 7, [5, 5, 5, 1, 1, 9, 9], 3, 0)
    assert sorted(Counter(fold_of.tolist()).values()) == [2, 2, 3]


@pytest.mark.parametrize(
    ("groups", "folds", "message"),
    [
        (range(4), 5, r"folds=5 is more than the 4 images \(twins counted once\)"),
        ([0, 0, 0, 1, 1, 1], 3, "folds=3 is more than the 2 images"),
        ([], 2, "folds=2 is more than the 0 images"),
        (range(5), 3, "folds=3 leaves one image in a fold"),
    ],
)
def test_too_few_images(groups, folds, message):
    with pytest.raises(UserError, match=message):
        assign_folds([(1,)] * len(groups), groups, folds, 0)


# How they are trained.


@pytest.fixture
def settings_of(composed, tmp_path):
    """Settings of a run with some overrides, and of the folds of an audit of it with others; plain values."""

    def make(run: list[str], *overrides: str) -> tuple[dict, dict]:
        folder = RunFolder(tmp_path / "run")
        folder.config.parent.mkdir(parents=True)
        saved = composed(*run)
        OmegaConf.save(OmegaConf.create(saved), folder.config)
        folder.split.write_text("ImageId,part\n")
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("audit", [f"checkpoint={folder.best}", *overrides])
        audit = read(AuditSettings, OmegaConf.to_container(cfg, resolve=True))
        data = saved["data"] | {"csv": "other.csv", "split": saved["data"]["split"] | {"file": "split.csv"}}
        return saved, fold_settings(audit, folder.best, read(DataSettings, data)).plain()

    return make


def test_the_settings_of_the_run_are_taken(settings_of):
    saved, made = settings_of(
        ["recipe=strong", "seed=7", "model=barebone", "trainer.gradient_clip_val=1.0", "logger=wandb", "speed=true"]
    )
    for key in ("system", "seed", "encoder", "model", "recipe", "trainer"):
        assert made[key] == saved[key], key
    assert made["seed"] == 7
    assert made["data"] == saved["data"] | {"csv": "other.csv"}, "a fold has a split of its own"
    assert not any(made["logger"][name] for name in LOGGERS), "a fold is not shown anywhere"
    assert (made["figures"], made["speed"], made["resume"]) == (False, False, None)
    assert set(made) == set(saved) - {"sweep", "experiment"}, "as conf/train.yaml has it"


def test_what_the_audit_changes(settings_of):
    saved, made = settings_of(
        ["recipe=strong"], "epochs=3", "size=[32,64]", "trainer.precision=bf16", "trainer.device=cuda"
    )
    assert made["recipe"] == {**saved["recipe"], "epochs": 3}
    assert made["data"]["size"] == [32, 64]
    assert made["trainer"] == {**saved["trainer"], "precision": "bf16", "device": "cuda"}


def test_one_process_whatever_the_run_had(settings_of):
    saved, made = settings_of(["trainer=ddp", "trainer.num_nodes=2", "trainer.accumulate_grad_batches=3"])
    assert (saved["trainer"]["devices"], saved["trainer"]["strategy"]) == (-1, "ddp")
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto"}
    assert made["trainer"] == saved["trainer"] | alone


# What is trained, by a stand-in for training.

IDS = [f"{k}.png" for k in range(11)]
CLASSES = [((), (1,), (1, 2))[k % 3] for k in range(11)]
GROUPS = [0, 0, *range(2, 11)]
FOLD_OF = np.array([0, 0, 1, 2, 2, 1, 0, 1, 2, 1, 0])


class StandIn:
    """Takes the place of `train`: leaves what is looked at, and notes how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[TrainSettings, RunFolder]] = []
        self.fails_at: int | None = None

    def __call__(self, settings: TrainSettings, run: RunFolder, quiet: bool) -> dict:
        assert quiet
        assert run.config.is_file()
        self.calls.append((settings, run))
        run.checkpoints.mkdir(exist_ok=True)
        run.last.write_text(f"net {len(self.calls)}")
        if self.fails_at == len(self.calls):
            raise KeyboardInterrupt
        summary = {"status": "finished", "test": {"miou": float("nan") if len(self.calls) == 2 else 0.5}}
        run.write_summary(summary)
        return summary

    @property
    def trained(self) -> list[str]:
        return [run.path.name for _, run in self.calls]


@pytest.fixture
def stand_in(monkeypatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(module, "train", stand_in)
    return stand_in


@pytest.fixture
def run_folds(settings, stand_in, tmp_path):
    """Train the folds, with other settings or images than they have by themselves."""

    def run(changes: dict | None = None, ids=IDS, fold_of=FOLD_OF, labels="ab") -> list[Path]:
        own = settings("recipe.epochs=4").changed(changes or {})
        return list(train_folds(own, ids, CLASSES, GROUPS, fold_of, labels, tmp_path))

    return run


def test_each_is_trained_on_all_but_its_own_images(settings, run_folds, stand_in, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        paths = run_folds()
    assert [path.read_text() for path in paths] == ["net 1", "net 2", "net 3"]
    assert [path.name for path in paths] == ["last.ckpt"] * 3
    for fold, (made, run) in enumerate(stand_in.calls):
        assert paths[fold] == run.last
        file = made.data.split.file
        assert Path(file).is_relative_to(tmp_path)
        split = pd.read_csv(file, keep_default_na=False).set_index("ImageId")
        assert list(split.index) == IDS
        assert ((split["part"] == "train") == (fold != FOLD_OF)).all()
        own = split["part"][fold == FOLD_OF].value_counts()
        assert abs(own["val"] - own["test"]) <= 1
        assert split["classes"].tolist() == [" ".join(map(str, classes)) for classes in CLASSES]
        assert split["group"].tolist() == GROUPS
        assert OmegaConf.to_container(OmegaConf.load(run.config)) == made.plain()
        assert made.changed({"data.split.file": None}) == settings("recipe.epochs=4")
    assert "Fold 1 of 3: 4 epochs on 7 images, to judge 4" in caplog.text
    assert "Fold 2 of 3: miou - on half" in caplog.text
    assert "Fold 3 of 3: miou 0.500 on half" in caplog.text


def test_a_fold_is_trained_when_it_is_asked_for(settings, stand_in, tmp_path):
    nets = train_folds(settings(), IDS, CLASSES, GROUPS, FOLD_OF, "ab", tmp_path)
    assert stand_in.trained == []
    next(nets)
    assert stand_in.trained == ["fold-1"]


def test_a_broken_fold_is_gone_on_with_and_the_finished_ones_stay(run_folds, stand_in):
    stand_in.fails_at = 2
    with pytest.raises(KeyboardInterrupt):
        run_folds()
    paths = run_folds()
    assert stand_in.trained == ["fold-1", "fold-2", "fold-2", "fold-3"]
    assert stand_in.calls[1][0] == stand_in.calls[2][0]
    assert stand_in.calls[1][1].path == stand_in.calls[2][1].path, "where its last.ckpt lies"
    assert [path.read_text() for path in paths] == ["net 1", "net 3", "net 4"]


@pytest.mark.parametrize(
    ("spoil", "again"),
    [
        (lambda run: None, []),
        (lambda run: run.summary.unlink(), ["fold-2"]),
        (lambda run: run.last.unlink(), ["fold-2"]),
        (lambda run: run.write_summary({"status": "failed"}), ["fold-2"]),
    ],
    ids=["whole", "no summary", "no checkpoint", "failed"],
)
def test_finished_folds_are_not_repeated_and_others_are(run_folds, stand_in, caplog, spoil, again):
    paths = run_folds()
    spoil(RunFolder(paths[1].parent.parent))
    with caplog.at_level(logging.INFO):
        assert run_folds() == paths
    assert stand_in.trained == ["fold-1", "fold-2", "fold-3", *again]
    assert caplog.text.count("is finished, and not repeated") == 3 - len(again)


def test_other_settings_images_or_folds_have_another_folder(run_folds, stand_in, tmp_path):
    others = [
        {},
        {"changes": {"recipe.epochs": 5}},
        {"changes": {"data.csv": "spoiled.csv"}},
        {"ids": ["other.png", *IDS[1:]]},
        {"fold_of": np.roll(FOLD_OF, 1)},
        {"labels": "cd"},
    ]
    homes = [run_folds(**other)[0].parents[2] for other in others]
    assert len(set(homes)) == len(others)
    assert all(home.parent == tmp_path for home in homes)
    assert len(stand_in.calls) == 3 * len(others)


# For once, real nets.


def test_nets_of_two_folds(settings, tmp_path):
    write_synthetic(tmp_path / "data", num_images=24, seed=1, size=(64, 96))
    strips = [f"data.root={tmp_path}/data", "data.synthetic=null", "data.image_size=null"]
    own = settings("encoder=resnet18", "recipe.epochs=1", "figures=false", *strips)
    data = StripDataModule(own.data)
    data.setup("predict")
    samples = data.catalog.samples
    ids, class_sets = [sample.image_id for sample in samples], [sample.classes for sample in samples]
    fold_of = assign_folds(class_sets, data.groups, 2, 0)
    paths = list(train_folds(own, ids, class_sets, data.groups, fold_of, "ab", tmp_path / "folds"))
    assert len(paths) == 2
    for fold, path in enumerate(paths):
        run = RunFolder(path.parent.parent)
        parts = pd.read_csv(run.split).set_index("ImageId")["part"]
        assert set(parts.index[parts != "train"]) == {ids[i] for i in np.flatnonzero(fold_of == fold)}
        assert set(pd.read_csv(run.per_image)["ImageId"]) == set(parts.index[parts == "test"])
        engine = open_engine(path, threads=1, tta=True)
        assert engine.card.classes == ("pits", "streaks", "scratches", "patches")
        probabilities = engine.probabilities(read_grey(samples[0].path))
        assert probabilities.shape == (5, 64, 96)
        np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in paths)
    assert any(not torch.equal(first[key], second[key]) for key in first), "they have seen other images"
