"""Which nets are measured: the paper's four, read from their own configurations, and any other encoder's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.paper import PAPER
from steel_defects.models.module import SegmentationModule


@dataclass(frozen=True)
class System:
    """A net and how it is trained.

    Args:
        name: in the tables.
        net: arguments of `build_net`, without `num_classes`.
        classes: names.
        recipe: as conf/recipe/*.yaml.
        channels_last: whether it is trained in that order of memory.
    """

    name: str
    net: dict
    classes: tuple[str, ...]
    recipe: dict
    channels_last: bool

    def module(self, size: tuple[int, int]) -> SegmentationModule:
        """The module with random weights, the same each time, ready to be trained or used.

        The statistics of its BatchNorms are taken from noise. With those it is built with, numbers would vanish or
        explode on their way through a hundred layers, and CPUs compute more slowly with numbers next to zero.
        """
        torch.manual_seed(0)
        module = SegmentationModule(self.net, self.classes, size, self.recipe)
        norms = [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in norms]
        for layer in norms:
            layer.momentum = 1.0  # the statistics become those of this one batch
        with torch.no_grad():
            module.train()(torch.randint(0, 256, (4, 1, 128, 128), dtype=torch.uint8))
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        return module.eval()


def known_systems() -> dict[str, list[str]]:
    """Overrides of conf/train.yaml by the name of the system: the paper's, then those of conf/encoder by theirs."""
    encoders = {path.stem: [f"encoder={path.stem}"] for path in sorted(Path(CONF_DIR, "encoder").glob("*.yaml"))}
    del encoders["any"]  # it has no name of its own
    papers = {path.stem: path for path in Path(CONF_DIR, "experiment", "paper").glob("*.yaml")}
    ordered = sorted(papers, key=lambda name: (list(PAPER).index(name) if name in PAPER else len(PAPER), name))
    return {name: [f"experiment=paper/{name}"] for name in ordered} | {
        name: overrides for name, overrides in encoders.items() if name not in papers
    }


def read_system(name: str) -> System:
    """Read one of `known_systems` by composing conf/train.yaml, as a training of it would."""
    command = GlobalHydra.instance().hydra  # of the command that runs: Hydra composes for one at a time
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("train", known_systems()[name])
    if command is not None:
        GlobalHydra.instance().initialize(command)
    encoder = cfg.encoder
    net = OmegaConf.to_container(cfg.model, resolve=True)
    net |= {"encoder_name": encoder.name, "mean": list(encoder.mean), "std": list(encoder.std)}
    recipe = OmegaConf.to_container(cfg.recipe, resolve=True)
    return System(name, net, tuple(cfg.data.classes), recipe, cfg.trainer.channels_last)
