"""Values of settings: all that are none are named at once, and those at the edges are taken."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch as smp
import torch
from pytorch_lightning import seed_everything

from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.models.architectures import ARCHITECTURES
from steel_defects.train.settings import TrainSettings
from steel_defects.train.training import train

WRONG = {
    "seed=5000000000": "a whole number from 0 to 4294967295",
    "recipe.epochs=0": "a whole number, 1 or more",
    "recipe.batch_size=1": "a whole number, 2 or more",
    "recipe.optimizer=lion": "sgd or adamw",
    "recipe.lr=-1": "a number, 0 or more",
    "recipe.weight_decay=abc": "a number, 0 or more",
    "recipe.momentum=1": "a number from 0 to below 1",
    "recipe.schedule=step": "polynomial, one_cycle or constant",
    "recipe.power=0": "a number, above 0",
    "recipe.warmup=1": "a number from 0 to below 1",
    "encoder.mean=[0.5]": "three numbers, one a channel",
    "encoder.std=[0.2,0.2,0]": "three numbers, one a channel, each above 0",
    "data.image_size=256": "[height, width] in pixels, or null for any",
    "data.num_workers=-1": "a whole number, 0 or more, or null",
    "data.on_bad=ignore": "stop or skip",
    "data.exclude=[a.csv]": "a path, or null",
    "trainer.strategy=ddp_notebook": "auto, or ddp for several devices; not one that spawns or forks its processes",
    "trainer.early_stopping=-1": "a whole number, 1 or more, or null",
    "trainer.gradient_clip_val=0": "a number, above 0, or null",
}


def test_all_wrong_values_are_told_at_once(composed):
    with pytest.raises(UserError) as caught:
        read(TrainSettings, composed(*WRONG))
    told = dict(line.split(": ", 1) for line in str(caught.value).splitlines())
    assert {key.replace(" ", ""): words for key, words in told.items()} == WRONG


@pytest.mark.parametrize("odd", ["true", ".nan", "[1]", "null"])
def test_what_is_no_number_is_none(settings, odd):
    with pytest.raises(UserError, match=r"recipe\.lr=.*: a number, 0 or more"):
        settings(f"recipe.lr={odd}")


def test_edges_are_taken_and_torch_takes_them_too(settings):
    values = settings(
        *("seed=4294967295", "recipe.lr=0", "recipe.weight_decay=0", "recipe.momentum=0", "recipe.warmup=0"),
        *("data.num_workers=null", "trainer.early_stopping=1", "trainer.strategy=ddp_find_unused_parameters_true"),
    )
    recipe, weight = values.recipe, [torch.nn.Parameter(torch.zeros(1))]
    torch.optim.SGD(weight, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    seed_everything(values.seed)


def test_what_a_logger_needs_is_checked(settings):
    with pytest.raises(UserError, match=r"logger\.num_images=-1: a whole number, 0 or more"):
        settings("logger=wandb", "logger.num_images=-1")


def test_only_squares_are_turned_by_90_degrees(settings):
    with pytest.raises(UserError, match=r"recipe\.augment\.also\.turn=0\.5: only square.*data\.size is \[64,128\]"):
        settings("recipe.augment.also.turn=0.5", "data.size=[64,128]")
    assert settings("recipe.augment.also.turn=0.5").recipe.augment.also.turn == 0.5
    assert not settings("recipe.augment.also.turn=0", "data.size=[64,128]").recipe.augment.also.turn


def test_a_changed_copy_is_checked_and_knows_what_was_set(settings):
    before = settings("logger=wandb")
    after = before.changed({"data.split.file": "split.csv", "trainer.devices": [3]})
    assert (after.data.split.file, after.trainer.devices) == ("split.csv", [3])
    assert before.data.split.file is None
    assert after.logger == before.logger
    with pytest.raises(UserError, match=r"seed=-1: a whole number"):
        before.changed({"seed": -1})


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ({"accelerator": "gpu", "precision": "16-mixed"}, {"device": "cuda", "precision": "fp16"}),
        ({"accelerator": "auto", "precision": "32-true"}, {"device": "auto", "precision": "fp32"}),
        ({"device": "gpu", "precision": "bf16-mixed"}, {"device": "cuda", "precision": "bf16"}),
        ({"accelerator": "cpu", "device": "auto", "precision": 16}, {"device": "cpu", "precision": "fp16"}),
    ],
)
def test_words_of_earlier_versions_are_taken_for_todays(composed, former, present):
    """Also beside conf/'s own, as in a file of --config-dir."""
    values = composed()
    del values["trainer"]["device"]
    trainer = read(TrainSettings, values | {"trainer": values["trainer"] | former}).trainer
    assert {key: getattr(trainer, key) for key in present} == present


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("fpn", r"data\.size=\[80,80\] with model\.architecture=hers: .*divisible by 32"),
        ("head", r"the net gives logits \[1, 5, 40, 40\], expected are \[1, 5, 80, 80\]"),
    ],
)
def test_a_net_that_does_not_fit_the_images_is_refused(settings, tmp_path, monkeypatch, body, message):
    def build(encoder_name, outputs, output_stride, atrous_rates):
        net = smp.FPN(encoder_name, encoder_weights=None, classes=outputs)
        if body == "head":
            net.forward = torch.nn.Sequential(torch.nn.Conv2d(3, outputs, 1), torch.nn.MaxPool2d(2)).forward
        return net

    monkeypatch.setitem(ARCHITECTURES, "hers", build)
    with pytest.raises(UserError, match=message):
        train(settings("model.architecture=hers", "data.size=[80,80]"), RunFolder(tmp_path))
