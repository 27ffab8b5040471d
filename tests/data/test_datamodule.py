"""From a folder to batches: whole and disjoint parts, twins undivided, and the same batches for any worker count."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.core.settings import read
from steel_defects.data.datamodule import StripDataModule
from steel_defects.data.settings import AugmentSettings, DataSettings
from steel_defects.data.synthetic import write_synthetic

CLASSES = ["pits", "streaks", "scratches", "patches"]
AUGMENT = {
    "gate": "class_weighted",
    "clean_prob": 0.5,
    "weights": {"crop": 1, "vertical_flip": 1, "rotation": 1},
    "rotation_limit": 180,
    "also": {"zoom": 0.5, "light": 0.5},
}


@pytest.fixture(scope="session")
def strips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("strips") / "set"
    write_synthetic(root, num_images=40, seed=0, size=(64, 400))
    return root


@pytest.fixture
def own(strips, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(strips, tmp_path / "own"))


def module(root: Path, **settings) -> StripDataModule:
    of_module = {"batch_size": 4, "augment": AUGMENT, "seed": 1} | settings
    of_data = {"name": "strips", "root": root, "csv": "train.csv", "image_dir": "train_images", "classes": CLASSES}
    of_data |= {"size": (32, 64), "num_workers": 0}
    of_data |= {key: of_module.pop(key) for key in settings if key not in ("batch_size", "augment", "seed")}
    augment = of_module.pop("augment")
    return StripDataModule(read(DataSettings, of_data), augment=augment and read(AugmentSettings, augment), **of_module)


def ready(root: Path, **settings) -> StripDataModule:
    data = module(root, **settings)
    data.prepare_data()
    data.setup("fit")
    return data


def parts_of(data: StripDataModule) -> dict[str, str]:
    return {sample.image_id: part for part in ("train", "val", "test") for sample in data.samples(part)}


def images(root: Path) -> list[Path]:
    return sorted((root / "train_images").iterdir())


def batches(data: StripDataModule, epochs: tuple[int, ...] = (0, 1)) -> list[list[dict]]:
    loader = data.train_dataloader()
    found = []
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        found.append(list(loader))
    return found


def assert_equal(first: list[list[dict]], second: list[list[dict]]) -> None:
    assert [len(epoch) for epoch in first] == [len(epoch) for epoch in second]
    for epoch, other in zip(first, second, strict=True):
        for batch, twin in zip(epoch, other, strict=True):
            assert batch.keys() == twin.keys() == {"image", "mask", "index"}
            assert all(torch.equal(batch[key], twin[key]) for key in batch)


def test_parts_are_disjoint_and_complete(strips):
    data = ready(strips)
    parts = {part: [sample.image_id for sample in data.samples(part)] for part in ("train", "val", "test")}
    assert [len(parts[part]) for part in ("train", "val", "test")] == [32, 4, 4]
    assert sorted(name for names in parts.values() for name in names) == [path.name for path in images(strips)]
    assert data.absent_classes("train") == []
    for part in ("val", "test"):
        present = {c for sample in data.samples(part) for c in sample.classes}
        assert data.absent_classes(part) == [name for c, name in enumerate(CLASSES, 1) if c not in present]


def test_loaders_without_a_trainer(strips):
    data = ready(strips, batch_size=5)
    train, val, test = data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert (len(train), len(val), len(test)) == (6, 1, 1)
    batch = next(iter(train))
    assert batch["image"].shape == (5, 1, 32, 64)
    assert batch["mask"].shape == (5, 32, 64)
    assert all(len(batch["index"]) == 5 for batch in train), "a short last batch is dropped"
    for loader, part in ((val, "val"), (test, "test")):
        loaded = list(loader)
        assert [int(i) for batch in loaded for i in batch["index"]] == list(range(4)), "in order, none dropped"
        assert ("native_mask" in loaded[0]) == (part == "test")
        for k, sample in enumerate(data.samples(part)):
            raw = cv2.imread(str(sample.path), cv2.IMREAD_GRAYSCALE)
            expected = cv2.resize(raw, (64, 32), interpolation=cv2.INTER_AREA)
            np.testing.assert_array_equal(loaded[0]["image"][k, 0].numpy(), expected)
    for mask, sample in zip(loaded[0]["native_mask"], data.samples("test"), strict=True):
        np.testing.assert_array_equal(mask.numpy(), sample.mask())


def test_without_augmentation_given_samples_are_only_resized(strips):
    data = ready(strips, augment=None)
    for batch in batches(data, (0,))[0]:
        for image, index in zip(batch["image"], batch["index"], strict=True):
            raw = cv2.imread(str(data.samples("train")[index].path), cv2.IMREAD_GRAYSCALE)
            np.testing.assert_array_equal(image[0].numpy(), cv2.resize(raw, (64, 32), interpolation=cv2.INTER_AREA))


def test_twins_are_on_one_side(own):
    """A mirrored copy of every other image, as PNG or as JPEG of another quality."""
    pairs = []
    for k, path in enumerate(images(own)[::2]):
        turned = cv2.flip(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), k % 3 - 1)
        name = f"z{k:02d}" + (".png" if k % 2 else ".jpg")
        encoded = cv2.imencode(Path(name).suffix, turned, [] if k % 2 else [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        (own / "train_images" / name).write_bytes(encoded.tobytes())
        pairs.append((path.name, name))
    data = ready(own, split={"fractions": [0.4, 0.3, 0.3]})
    assert sorted(data.twins) == sorted(pairs)
    parts = parts_of(data)
    assert len(parts) == 60
    assert all(parts[first] == parts[second] for first, second in pairs)
    assert len({parts[first] for first, _ in pairs}) > 1


def test_a_split_is_written_and_read_back(strips, tmp_path):
    data = ready(strips, split={"seed": 3})
    data.write_split(tmp_path / "split.csv")
    again = ready(strips, split={"seed": 8, "file": str(tmp_path / "split.csv")})
    assert parts_of(again) == parts_of(data)
    assert again.split_hash == data.split_hash
    assert parts_of(ready(strips, split={"seed": 8})) != parts_of(data)
    with (tmp_path / "split.csv").open() as file:
        rows = {row["ImageId"]: row for row in csv.DictReader(file)}
    for part in ("train", "val", "test"):
        for sample in data.samples(part):
            row = rows[sample.image_id]
            assert (row["part"], row["classes"]) == (part, " ".join(map(str, sample.classes)))


def test_the_split_does_not_hang_on_the_seed_of_the_run(strips):
    first, second = ready(strips, seed=1), ready(strips, seed=2)
    assert parts_of(first) == parts_of(second)
    assert first.split_hash == second.split_hash
    orders = [[batch["index"].tolist() for batch in batches(data, (0,))[0]] for data in (first, second)]
    assert orders[0] != orders[1]


def test_only_defective(strips):
    data = ready(strips, only_defective=True)
    samples = [sample for part in ("train", "val", "test") for sample in data.samples(part)]
    whole = ready(strips).catalog.samples
    assert {s.image_id for s in samples} == {s.image_id for s in whole if s.classes}
    assert 0 < len(samples) < 40


def test_a_split_may_list_images_that_are_left_out_here(own, tmp_path):
    """Clean ones, and one that has been spoiled since."""
    whole = ready(own)
    whole.write_split(tmp_path / "split.csv")
    parts = parts_of(whole)
    victim = whole.samples("test")[0].image_id
    (own / "train_images" / victim).write_bytes(b"")
    split = {"file": tmp_path / "split.csv"}

    assert parts_of(ready(own, split=split, on_bad="skip")) == {n: p for n, p in parts.items() if n != victim}
    with (own / "train.csv").open() as lines:
        with_defect = {row["ImageId"] for row in csv.DictReader(lines)}
    left = parts_of(ready(own, split=split, on_bad="skip", only_defective=True))
    assert left == {name: part for name, part in parts.items() if name in with_defect - {victim}}


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_image_that_is_gone_by_now_is_named(own, workers):
    data = ready(own, num_workers=workers)
    path = data.samples("train")[3].path
    path.unlink()
    with pytest.raises(UserError) as caught:
        batches(data)
    assert str(caught.value) == f"{path} does not exist"


def test_an_image_that_is_another_by_now_is_named(own):
    sample = ready(own).samples("train")[3]
    cv2.imwrite(str(sample.path), np.zeros((64, 300), np.uint8))
    with pytest.raises(UserError, match=r"was 64x400 when the data was checked, and is not now"):
        sample.image()


@pytest.mark.parametrize(("cores", "devices", "workers"), [(2, 1, 2), (64, 1, 8), (64, 16, 4), (2, 4, 1)])
def test_workers_follow_the_cores(strips, monkeypatch, cores, devices, workers):
    monkeypatch.setattr("steel_defects.data.datamodule.available_cores", lambda: cores)
    data = ready(strips, num_workers=None)
    data.trainer = SimpleNamespace(
        world_size=1, global_rank=0, num_devices=devices, strategy=SimpleNamespace(root_device=torch.device("cpu"))
    )
    assert data.val_dataloader().num_workers == workers


def test_broken_images_stop_or_are_skipped(own):
    path = images(own)[0]
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataFaults, match=f"{path.name}: is cut short") as caught:
        ready(own)
    assert "data.on_bad=skip" in str(caught.value)
    data = ready(own, on_bad="skip")
    assert [fault.image for fault in data.catalog.skipped] == [path.name]
    assert path.name not in parts_of(data)
    assert len(parts_of(data)) == 39


def test_images_of_another_size(strips):
    assert len(parts_of(ready(strips, image_size=[64, 400]))) == 40
    with pytest.raises(DataFaults) as caught:
        ready(strips, image_size=[256, 1600], on_bad="skip")
    (fault,) = caught.value.faults
    assert "all 40 images are 64x400, the data set says 256x1600 (data.image_size)" in str(fault)
    assert "data.image_size=[64,400]" in str(fault)
    assert "on_bad" not in str(caught.value), "nothing would be left"


def test_one_image_of_another_size(own):
    (own / "train_images" / "odd.png").write_bytes(cv2.imencode(".png", np.zeros((64, 300), np.uint8))[1].tobytes())
    with pytest.raises(DataFaults, match=r"odd\.png: is 64x300, the data set says 64x400 .*\n.*data\.on_bad=skip"):
        ready(own, image_size=[64, 400])


@pytest.mark.parametrize("batch_size", [0, 1, 33])
def test_a_batch_size_that_cannot_be(strips, batch_size):
    with pytest.raises(
        UserError, match=f"recipe.batch_size={batch_size} with 32 training images for a process: it must be"
    ):
        ready(strips, batch_size=batch_size)


def test_a_batch_may_hold_all_training_images(strips):
    assert len(ready(strips, batch_size=32).train_dataloader()) == 1


def test_a_set_too_small(tmp_path):
    settings = {"num_images": 2, "seed": 0, "size": (64, 64)}
    with pytest.raises(UserError, match=r"The split leaves no image for .*: 2 images by data\.split\.fractions="):
        ready(tmp_path / "small", synthetic=settings, batch_size=2)


def test_an_empty_part(strips):
    with pytest.raises(UserError, match=r"leaves no image for test: 40 images by data.split.fractions=\[0.9,0.1,0.0\]"):
        ready(strips, split={"fractions": [0.9, 0.1, 0]})


@pytest.mark.parametrize(
    "size", [(250, 256), (256, 100), (0, 16), (8, 8), (-16, 16), (256,), (256, 256, 1), (16.5, 16), 256]
)
def test_a_size_that_the_net_cannot_take(size):
    with pytest.raises(UserError, match=r"^size=.*: \[height, width\] in pixels, multiples of 16"):
        module(Path("none"), size=size)


@pytest.mark.parametrize("classes", [[], ["a", "a"], ["a", ""], ["a", "b/c"], [1, 2], "ab"])
def test_names_that_classes_cannot_have(classes):
    with pytest.raises(UserError, match=r"^classes=.*: a list with one name for each class"):
        module(Path("none"), classes=classes)


def test_a_synthetic_set_is_drawn_where_one_is_asked_for(tmp_path, strips):
    data = ready(tmp_path / "drawn", synthetic={"num_images": 12, "seed": 4, "size": (64, 64)}, batch_size=2)
    assert len(parts_of(data)) == 12
    untouched = module(tmp_path / "none")
    untouched.prepare_data()
    assert not (tmp_path / "none").exists()


def test_setup_for_a_second_stage_changes_nothing(strips):
    data = ready(strips)
    catalog = data.catalog
    data.setup("test")
    assert data.catalog is catalog


def test_workers_do_not_change_the_batches(strips):
    alone = batches(ready(strips))
    assert [len(epoch) for epoch in alone] == [8, 8]
    assert [b["index"].tolist() for b in alone[0]] != [b["index"].tolist() for b in alone[1]]
    for workers in (1, 2):
        assert_equal(batches(ready(strips, num_workers=workers)), alone)
    assert_equal(batches(ready(strips), (1,)), alone[1:])  # after a resume


def test_processes_share_the_images(strips):
    seen = {}
    for part in ("train", "val"):
        for rank in range(2):
            data = ready(strips)
            data.trainer = SimpleNamespace(
                world_size=2, global_rank=rank, strategy=SimpleNamespace(root_device=torch.device("cpu"))
            )
            loader = data.train_dataloader() if part == "train" else data.val_dataloader()
            seen[part, rank] = [int(i) for batch in loader for i in batch["index"]]
    assert len(seen["train", 0]) == len(seen["train", 1]) == 16
    assert sorted(seen["train", 0] + seen["train", 1]) == list(range(32))
    assert sorted(seen["val", 0] + seen["val", 1]) == list(range(4))


class Recorder(pl.LightningModule):
    """Keeps the training batches, in place of learning from them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches: list[list[dict]] = []

    def on_train_epoch_start(self) -> None:
        self.batches.append([])

    def training_step(self, batch, _index):
        self.batches[-1].append(batch)
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore")
def test_the_trainer_sets_the_epoch(strips, tmp_path):
    recorder = Recorder()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(recorder, datamodule=module(strips))
    assert_equal(recorder.batches, batches(ready(strips)))
