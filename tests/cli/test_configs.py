"""Every shipped configuration composes, and the paper's protocol is the paper's."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from steel_defects import CONF_DIR
from steel_defects.core.settings import read
from steel_defects.models.losses import get_loss
from steel_defects.train.settings import TrainSettings

FILES = sorted(path.relative_to(CONF_DIR).with_suffix("").as_posix() for path in Path(CONF_DIR).glob("*/**/*.yaml"))
CHOICES = [path for path in FILES if not path.startswith("hydra/")]  # these are Hydra's own


def composed(*overrides: str):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(choice):
    group, name = choice.split("/", 1)
    cfg = composed(f"{group}={name}", *(["encoder.name=resnet18"] if choice == "encoder/any" else []))
    assert cfg.system
    get_loss(read(TrainSettings, cfg).recipe.loss)


@pytest.mark.parametrize("system", ["baseline", "densenet201", "resnet101", "efficientnet-b1"])
def test_the_papers_protocol(system):
    """Sections 3.3, 5 and 6.1; output stride and what follows are DESIGN's."""
    cfg = composed(f"experiment=paper/{system}")
    assert cfg.system == system
    assert cfg.model.architecture == ("barebone" if system == "baseline" else "deeplabv3plus")
    assert cfg.encoder.name == ("resnet101" if system == "baseline" else system)
    assert cfg.encoder.weights == "imagenet"
    assert list(cfg.data.size) == [256, 256]
    assert list(cfg.data.split.fractions) == [0.8, 0.1, 0.1]
    recipe = cfg.recipe
    assert (recipe.lr, recipe.batch_size, recipe.weight_decay, recipe.epochs) == (0.01, 16, 1e-4, 30)
    assert recipe.augment.gate == "class_weighted"
    assert set(recipe.augment.weights) == {"crop", "vertical_flip", "rotation"}
    if system != "baseline":
        assert list(cfg.model.atrous_rates) == [12, 24, 36]
    assert cfg.model.output_stride == 16


def test_defaults():
    cfg = composed()
    assert cfg.data.name == "severstal"
    assert cfg.data.root == "data/severstal"
    assert cfg.recipe.name == "paper"
    assert list(cfg.model.atrous_rates) == [6, 12, 18]
    assert not any(cfg.logger[name] for name in ("wandb", "tensorboard", "mlflow"))
