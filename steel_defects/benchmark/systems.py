"""Which nets are measured: the paper's four, read from their own configurations, and any other encoder's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from steel_defects import CONF_DIR
from steel_defects.benchmark.settings import known_systems
from steel_defects.core.settings import read
from steel_defects.models.module import SegmentationModule
from steel_defects.models.settings import net_arguments
from steel_defects.train.settings import TrainSettings


@dataclass(frozen=True)
class System:
    """A net and how it is trained.

    Args:
        name: what the tables call it.
        settings: settings of a training of it.
    """

    name: str
    settings: TrainSettings

    def module(self, size: tuple[int, int]) -> SegmentationModule:
        """The module with random weights, the same each time, ready to be trained or used.

        The statistics of its BatchNorms are taken from noise. With those it is built with, numbers would vanish or
        explode on their way through a hundred layers, and CPUs compute more slowly with numbers next to zero.
        """
        torch.manual_seed(0)
        train = self.settings
        net = net_arguments(train.model, train.encoder)
        module = SegmentationModule(net, train.data.classes, size, train.recipe.plain())
        norms = [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        momenta = [layer.momentum for layer in norms]
        for layer in norms:
            layer.momentum = 1.0  # the statistics become those of this one batch
        with torch.no_grad():
            module.train()(torch.randint(0, 256, (4, 1, 128, 128), dtype=torch.uint8))
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        return module.eval()


def read_system(name: str) -> System:
    """Read one of `known_systems` by composing conf/train.yaml, as a training of it would."""
    command = GlobalHydra.instance().hydra  # of the command that runs: Hydra composes for one at a time
    GlobalHydra.instance().clear()
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        cfg = compose("train", known_systems()[name])
    if command is not None:
        GlobalHydra.instance().initialize(command)
    return System(name, read(TrainSettings, cfg))
