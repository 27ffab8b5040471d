"""The train command from end to end: what a run leaves behind, how it fails, how it goes on."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch
from omegaconf import OmegaConf

from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.data.dataset import StripDataset
from steel_defects.data.images import read_grey, resize
from steel_defects.data.rle import decode
from steel_defects.models.module import SegmentationModule
from steel_defects.train.settings import TrainSettings, read_settings
from steel_defects.train.trainer import FirstCheckpoint
from steel_defects.train.training import train

pytestmark = pytest.mark.slow


def test_run_folder_is_complete(trained_run):
    run, summary = trained_run, trained_run.read_summary()
    assert len(run.read_history()) == summary["epochs"] == 12
    split = pd.read_csv(run.split, keep_default_na=False)
    assert split["part"].value_counts().to_dict() == summary["data"]["images"]
    rows = pd.read_csv(run.per_image)
    assert set(rows["ImageId"]) == set(split.loc[split["part"] == "test", "ImageId"])
    assert {path.name for path in run.figures.iterdir()} >= {"curves.png", "iou_histogram.png", "best.png", "worst.png"}
    assert summary["status"] == "finished"
    assert summary["device"]
    assert summary["precision"] == "fp32"


def test_best_checkpoint_is_the_best_epoch(trained_run):
    run, summary = trained_run, trained_run.read_summary()
    history = run.read_history()
    checkpoint = torch.load(run.best, weights_only=True)
    assert checkpoint["epoch"] == history["val/miou"].idxmax() == summary["best_epoch"] - 1
    assert summary["val"]["miou"] == pytest.approx(history["val/miou"].max())


def test_checkpoint_holds_plain_values_only(trained_run):
    def kinds(value):
        if isinstance(value, dict):
            return set().union(*(kinds(item) for item in value.values()), set())
        if isinstance(value, list | tuple):
            return set().union(*(kinds(item) for item in value), set())
        return {type(value)}

    hparams = torch.load(trained_run.last, weights_only=True)["hyper_parameters"]
    assert kinds(hparams) <= {str, int, float, bool, type(None)}
    assert hparams["classes"] == ["pits", "streaks", "scratches", "patches"]


@pytest.mark.parametrize("native", [False, True])
def test_scores_are_those_of_the_best_checkpoint(trained_run, tiny_root, native):
    """Reloads the net and scores it with a plain loop and SMP's metrics."""
    run, summary = trained_run, trained_run.read_summary()
    module = SegmentationModule.load_from_checkpoint(run.best, weights_only=True, map_location="cpu").eval()
    labels = pd.read_csv(tiny_root / "train.csv")
    ious = []
    for image_id in pd.read_csv(run.per_image)["ImageId"]:
        image = read_grey(tiny_root / "train_images" / image_id)
        mask = np.zeros_like(image)
        for row in labels[labels["ImageId"] == image_id].itertuples():
            mask[decode(row.EncodedPixels, *image.shape) > 0] = row.ClassId
        small, small_mask = resize(image, mask, (64, 64))
        with torch.no_grad():
            logits = module(torch.from_numpy(small)[None, None])
        if native:
            logits = torch.nn.functional.interpolate(logits, size=image.shape, mode="bilinear")
        truth = torch.from_numpy(mask if native else small_mask)[None].long()
        if not truth.any():
            continue
        stats = smp.metrics.get_stats(logits.argmax(1), truth, mode="multiclass", num_classes=5)
        iou = smp.metrics.iou_score(*stats, zero_division=float("nan"))[0, 1:]
        ious.append(iou[~iou.isnan()].mean().item())
    assert summary["test"]["native_miou" if native else "miou"] == pytest.approx(np.mean(ious), abs=1e-6)


def test_predictions_are_kept(trained_run, tiny_root):
    """Drawn from predictions.csv, both sizes give the pixels that per_image.csv counts."""
    run = trained_run
    rows = pd.read_csv(run.per_image).set_index("ImageId")
    predicted = pd.read_csv(run.predictions, keep_default_na=False)
    assert set(predicted["ImageId"]) <= set(rows.index)
    masks = {}
    for row in predicted.itertuples():
        name = ["pits", "streaks", "scratches", "patches"][row.ClassId - 1]
        height, width = read_grey(tiny_root / "train_images" / row.ImageId).shape
        native, small = decode(row.EncodedPixels, height, width), decode(row.ResizedPixels, 64, 64)
        assert native.sum() == rows.loc[row.ImageId, f"native_predicted_{name}"]
        assert small.sum() == rows.loc[row.ImageId, f"predicted_{name}"]
        masks[row.ImageId, name] = native
    counted = rows[[column for column in rows if column.startswith("native_predicted_")]]
    assert (counted > 0).sum().sum() == sum(mask.any() for mask in masks.values()) > 0


def test_same_seed_same_run(trained_run, tmp_path, load_state):
    again = RunFolder(tmp_path)
    values = read(TrainSettings, OmegaConf.to_container(OmegaConf.load(trained_run.config), resolve=True))
    summary = train(values.changed({"figures": False}), again)
    old, new = load_state(trained_run.last), load_state(again.last)
    assert all(torch.equal(old[key], new[key]) for key in old)
    saved = again.read_summary()
    assert saved["test"] == {key: value if value == value else None for key, value in summary["test"].items()}
    assert saved["test"] == trained_run.read_summary()["test"]


def test_another_seed_another_run_on_the_same_split(trained_run, settings, tmp_path, load_state):
    run, other = trained_run, RunFolder(tmp_path)
    options = ["recipe=strong", "data.split.fractions=[0.6,0.2,0.2]", "recipe.epochs=1", "seed=2", "figures=false"]
    result = train(settings(*options), other)
    assert result["data"]["split_hash"] == run.read_summary()["data"]["split_hash"]
    key = "net.body.segmentation_head.0.weight"
    assert not torch.equal(load_state(run.last)[key], load_state(other.last)[key])


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=barebone"],
        ["trainer.precision=bf16", "trainer.gradient_clip_val=1.0", "trainer.accumulate_grad_batches=2"],
        ["recipe.schedule=constant", "trainer.early_stopping=1", "trainer.channels_last=false", "recipe.lr=0.0"],
    ],
    ids=["barebone", "bf16 clipped accumulated", "early stopping"],
)
def test_options_train(settings, tmp_path, overrides):
    run = RunFolder(tmp_path)
    summary = train(settings("figures=false", "recipe.epochs=4", *overrides), run)
    losses = run.read_history()["train/loss"]
    if "recipe.lr=0.0" in overrides:
        # Nothing is learnt. Batch norm's statistics still move, so the score may rise once or twice before it stands.
        assert len(losses) < 4
    else:
        assert losses.iloc[-1] < losses.iloc[0]
    assert summary["status"] == "finished"


def test_loss_that_is_not_a_number_names_the_images(settings, tmp_path, tiny_root):
    with pytest.raises(UserError, match=r"loss is (nan|inf|-inf) in epoch 0, batch \d, which holds") as caught:
        train(settings("recipe.lr=1e30"), RunFolder(tmp_path))
    names = {path.name for path in (tiny_root / "train_images").iterdir()}
    assert sum(name in str(caught.value) for name in names) == 8  # the batch


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.precision=fp16"], "needs a GPU"),
        (["trainer.precision=16-mixed"], "trainer.precision=fp16 needs a GPU"),
        (["trainer.precision=16"], "needs a GPU"),
        (["trainer.device=tpu"], "trainer.device=tpu: auto, cpu or cuda"),
        (["trainer.devices=-1"], "trainer: "),
        (["trainer.devices=2", "trainer.strategy=ddp_spawn"], "trainer.strategy=ddp_spawn: auto, or ddp"),
        (["recipe.loss=focal"], "recipe.loss is one of cross_entropy, cross_entropy_dice"),
        (["data.size=[60,64]"], "multiples of 16"),
        (["trainer.device=cuda"], "PyTorch sees no GPU here. trainer=auto"),
    ],
)
def test_mistakes_have_one_clear_error(settings, tmp_path, overrides, message):
    if overrides == ["trainer.device=cuda"] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=message):
        train(settings(*overrides), RunFolder(tmp_path))


def test_a_run_without_a_checkpoint_cannot_be_gone_on_with(settings, tmp_path, monkeypatch, caplog):
    def fail(self, trainer, module):
        raise RuntimeError("before the first checkpoint")

    monkeypatch.setattr(FirstCheckpoint, "on_train_start", fail)
    with pytest.raises(RuntimeError, match="before the first checkpoint"):
        train(settings(), RunFolder(tmp_path))
    assert "To go on" not in caplog.text


def test_a_file_that_is_away_for_a_while_is_named_and_the_run_can_go_on(settings, tmp_path, monkeypatch, caplog):
    """As on a network disk: it fails in the second epoch, and is there again at the next start."""
    real, away = StripDataset.__getitem__, []

    def fetch(self, key):
        epoch, index = key
        if epoch == 1 and self.augment is not None and not away:
            away.append(self.samples[index].path)
            raise UserError(f"{away[0]} cannot be read (Stale file handle)")
        return real(self, key)

    monkeypatch.setattr(StripDataset, "__getitem__", fetch)
    run = RunFolder(tmp_path)
    with pytest.raises(UserError, match="Stale file handle") as caught:
        train(settings("figures=false"), run)
    assert str(away[0]) in str(caught.value)
    assert f"resume={run.path}" in caplog.text
    assert train(settings("figures=false"), run)["status"] == "finished"
    assert len(run.read_history()) == 2


def test_a_gpu_that_is_too_small_is_told_with_the_ways_out(settings, tmp_path, monkeypatch, caplog):
    def full(self, batch, index):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(SegmentationModule, "training_step", full)
    with pytest.raises(UserError, match=r"batch of 8 .* recipe.batch_size=4 trainer.accumulate_grad_batches=2;"):
        train(settings(), RunFolder(tmp_path))
    assert "To go on" not in caplog.text, "it would be met again"


def test_synchronised_batch_norm_is_the_same_net():
    """What several GPUs train: torch's own conversion would drop the activations inside timm's layers."""
    from timm.layers import convert_sync_batchnorm

    from steel_defects.models.nets import build_net

    net = build_net("deeplabv3plus", "tu-tf_efficientnet_lite0", 4).eval()
    image = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = net(image)
        torch.testing.assert_close(convert_sync_batchnorm(net)(image), expected)


@pytest.mark.parametrize("warmup", ["0.1", "0"])
def test_one_cycle_at_its_edges(settings, tmp_path, warmup):
    """Of 10 steps: a warm-up of one, where torch's schedule divides by zero; and none."""
    options = ["recipe=strong", "recipe.epochs=2", f"recipe.warmup={warmup}", "figures=false"]
    summary = train(settings(*options), RunFolder(tmp_path))
    assert summary["data"]["images"]["train"] // 8 * 2 == 10


def test_best_score_survives_a_move(tmp_path):
    from steel_defects.train.trainer import MovableCheckpoint

    old = MovableCheckpoint(dirpath=tmp_path / "old", filename="best", monitor="val/miou", mode="max")
    old.best_model_score, old.best_model_path = torch.tensor(0.6), str(tmp_path / "old" / "best.ckpt")
    old.best_k_models, old.kth_best_model_path = {old.best_model_path: torch.tensor(0.6)}, old.best_model_path
    new = MovableCheckpoint(dirpath=tmp_path / "new", filename="best", monitor="val/miou", mode="max")
    new.load_state_dict(old.state_dict())
    assert new.best_model_path == str(tmp_path / "new" / "best.ckpt")
    assert list(new.best_k_models) == [new.best_model_path]
    assert new.best_model_score == pytest.approx(0.6)


def test_sweep_table_shows_lists_and_finds_any_folder(tmp_path, capsys, monkeypatch):
    from steel_defects.train.sweep import print_jobs, read_jobs

    for number, status in ((0, "finished"), (1, "failed")):
        job = tmp_path / "by" / f"name={number}"
        (job / ".hydra").mkdir(parents=True)
        (job / ".hydra" / "overrides.yaml").write_text(f"- data.classes=[rust,dent]\n- seed={number}\n")
        (job / ".hydra" / "hydra.yaml").write_text(f"hydra: {{job: {{num: {number}}}}}\n")
        RunFolder(job).write_summary({"status": status, "error": "x[/data/y]", "test": {"miou": 0.5}})
    jobs = read_jobs(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert jobs["status"].tolist() == ["finished", "failed"]
    print_jobs(jobs, tmp_path)
    printed = capsys.readouterr().out
    assert printed.count("data.classes=[rust,dent]") == 1, "what all jobs share is said once"
    assert "seed=0" in printed
    assert "seed=1" in printed
    assert "x[/data/y]" in printed


def test_a_setting_without_value():
    from hydra import compose, initialize_config_dir

    from steel_defects import CONF_DIR

    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("train", ["encoder=any"])
    with pytest.raises(UserError, match=r"A setting has no value: .*encoder\.name"):
        read_settings(cfg, [], sweep=False)


def test_user_mistake_on_the_command_line(train_here, tmp_path):
    result = train_here(tmp_path, "data=severstal", f"data.root={tmp_path}/nowhere", tiny=False)
    assert result.returncode == 2
    assert "Traceback" not in result.output
    assert "python -m steel_defects.download" in result.output
    assert "data=synthetic" in result.output
    (summary,) = tmp_path.glob("outputs/*/*/summary.json")
    assert RunFolder(summary.parent).read_summary()["status"] == "failed"


def test_sweep_goes_on_after_a_failure(train_here, tmp_path):
    result = train_here(
        tmp_path, "--multirun", "encoder.name=vgg16,tu-test_efficientnet", "recipe.epochs=1", "hydra.sweep.dir=sweep"
    )
    assert result.returncode == 1
    jobs = pd.read_csv(tmp_path / "sweep" / "sweep.csv")
    assert jobs["status"].tolist() == ["failed", "finished"]
    assert "cannot be built at output stride 16" in jobs["error"][0]
    assert np.isfinite(jobs["miou_all"][1])
    assert "job 0 failed" in result.output
    assert result.output.count("Traceback") == 0
    assert len(list((tmp_path / "sweep").glob("deeplabv3plus-tu-test_efficientnet-seed1-*/checkpoints/best.ckpt"))) == 1


def wait_for(condition, process, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the run did not get there in time"
        time.sleep(0.01)


def test_an_interrupt_that_a_library_swallows_is_not_lost(settings, tmp_path, monkeypatch):
    def swallow(self, trainer, module):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(FirstCheckpoint, "on_train_start", swallow)
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell gives a command in the foreground
    run = RunFolder(tmp_path)
    try:
        with pytest.raises(SystemExit):
            train(settings(), run)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(run.read_history()) == 0


def test_interrupted_and_killed_run_ends_as_an_unbroken_one(command, train_here, settings, tmp_path, load_state):
    """Ctrl-C in the first epoch, `kill -9` in a later one; the same weights and history in the end."""
    options = ["recipe=strong", "recipe.epochs=4", "recipe.batch_size=2"]  # epochs long enough to be killed in
    unbroken = RunFolder(tmp_path / "unbroken")
    train(settings(*options, "figures=false"), unbroken)

    run = RunFolder(tmp_path / "run")
    process = command(tmp_path, *options, f"hydra.run.dir={run.path}", wait=False)
    wait_for(run.last.is_file, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in output
    assert f"resume={run.path}" in output
    assert len(run.read_history()) < 4

    process = command(tmp_path, f"resume={run.path}", tiny=False, wait=False)
    before = run.last.stat().st_mtime
    wait_for(lambda: run.last.stat().st_mtime > before, process)
    process.kill()
    process.communicate(timeout=60)
    assert len(run.read_history()) < 4

    result = command(tmp_path, f"resume={run.path}", tiny=False)
    assert result.returncode == 0, result.stdout
    expected, got = load_state(unbroken.last), load_state(run.last)
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    timing = ["train_seconds", "iterations_per_second"]
    pd.testing.assert_frame_equal(
        unbroken.read_history().drop(columns=timing), run.read_history().drop(columns=timing), check_exact=True
    )
    assert run.read_summary()["test"] == unbroken.read_summary()["test"]

    config = run.config.read_text()
    again = train_here(tmp_path, f"hydra.run.dir={run.path}")
    assert again.returncode == 2
    assert "holds a run already" in again.output
    assert run.read_summary()["status"] == "finished"
    assert run.config.read_text() == config
    refused = train_here(tmp_path, f"resume={run.path}", "encoder=resnet34", tiny=False)
    assert refused.returncode == 2
    assert "leave out: encoder" in refused.output
    nothing = train_here(tmp_path, f"resume={tmp_path}/nothing", tiny=False)
    assert nothing.returncode == 2
    assert "not a run that can go on" in nothing.output
    assert not Path(tmp_path, "nothing").exists()


def test_two_processes_score_like_one(command, tmp_path, settings):
    """DDP over gloo on an odd number of test images: each is scored once."""
    import pytorch_lightning as pl

    from steel_defects.data.datamodule import StripDataModule
    from steel_defects.models.scores import scores

    run = RunFolder(tmp_path / "run")
    result = command(
        tmp_path,
        "trainer.devices=2",
        "trainer.strategy=ddp",
        "recipe=strong",
        "recipe.epochs=4",
        "recipe.batch_size=4",
        f"hydra.run.dir={run.path}",
    )
    assert result.returncode == 0, result.stdout
    summary = run.read_summary()
    rows = pd.read_csv(run.per_image)
    assert summary["processes"] == 2
    assert len(rows) == summary["data"]["images"]["test"] == rows["ImageId"].nunique()
    assert len(rows) % 2, "an even number of images would prove nothing"

    data = StripDataModule(settings().data, batch_size=4)
    module = SegmentationModule.load_from_checkpoint(run.best, weights_only=True)
    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, inference_mode=True)
    trainer.test(module, datamodule=data, verbose=False)
    stored = pd.read_csv(run.predictions, keep_default_na=False)
    names = [sample.image_id for sample in data.samples("test")]
    assert len(stored) == sum(len({*one.native, *one.resized}) for one in module.predictions.values()) > 0
    for row in stored.itertuples():
        one = module.predictions[names.index(row.ImageId)]
        assert one.native.get(row.ClassId, "") == row.EncodedPixels
        assert one.resized.get(row.ClassId, "") == row.ResizedPixels
    for prefix, (_, confusions) in (("", module.test_rows), ("native_", module.native_rows)):
        for key, value in scores(confusions, data.classes).items():
            stored = summary["test"][prefix + key]
            assert stored == pytest.approx(value) or (stored is None and np.isnan(value)), key
