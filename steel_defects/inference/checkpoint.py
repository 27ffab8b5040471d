"""The engine of checkpoints: PyTorch, on a GPU or the CPU; several may be averaged, mirror images, too."""

from __future__ import annotations

import json
import logging
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from steel_defects.core.errors import UserError
from steel_defects.core.files import content_hash
from steel_defects.core.machine import device_name
from steel_defects.core.runs import RunFolder
from steel_defects.data.images import resize_grey
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, Maps, decision_path, read_decision
from steel_defects.inference.engine import Engine
from steel_defects.inference.graph import confidences
from steel_defects.inference.settings import Device, EnginePrecision, EngineSettings
from steel_defects.models.module import SegmentationModule
from steel_defects.models.nets import scale_logits

log = logging.getLogger(__name__)

# Strips have no right way round; a picture turned by 90 degrees would have another size.
_MIRRORS = ((), (-1,), (-2,), (-1, -2))
_PRECISIONS: dict[EnginePrecision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_module(path: Path) -> SegmentationModule:
    """Load a checkpoint of this project for use, on the CPU.

    Raises:
        UserError: where the file is broken, or something else.
    """
    try:
        module = SegmentationModule.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # the readers raise a dozen types for a file that is not theirs
        if not zipfile.is_zipfile(path):  # which torch's files are; what its reader says of others helps nobody
            raise UserError(f"{path} is not a checkpoint of steel_defects, or is cut short") from error
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a checkpoint of steel_defects, or is a broken one: {reason}") from error
    return module.eval()


def card_of(path: Path, module: SegmentationModule) -> ModelCard:
    """The card of a checkpoint: its own settings, the scores of its run folder, argmax as decision."""
    hparams = module.hparams
    summary = {}
    run = RunFolder(path.parent.parent)
    # last.ckpt is another net than the one the run was scored with.
    if path.name == run.best.name and run.summary.is_file():
        summary = run.read_summary()
    return ModelCard(
        classes=tuple(module.classes),
        size=tuple(hparams["size"]),
        decision=Decision.argmax(len(module.classes)),
        system=summary.get("system") or f"{hparams['net']['architecture']}-{hparams['net']['encoder_name']}",
        architecture=hparams["net"]["architecture"],
        encoder=hparams["net"]["encoder_name"],
        data={key: (summary.get("data") or {}).get(key) for key in ("name", "data_hash", "split_hash")},
        scores={"test": summary.get("test")},
        versions=summary.get("versions") or {},
    )


def decision_of(paths: Sequence[Path], classes: Sequence[str], size: tuple[int, int], tta: bool) -> Decision:
    """The decision beside the first checkpoint, if it was tuned for just these, at this size; else argmax."""
    path = decision_path(paths[0], tta, len(paths))
    if not path.is_file():
        return Decision.argmax(len(classes))
    decision = read_decision(path, classes)  # first: it has words for a broken file
    tuned = json.loads(path.read_text())
    if _hashes(tuned) != [content_hash(p) for p in paths]:
        reason = "other checkpoints"
    elif list(size) != tuned.get("size"):
        reason = f"size {tuned.get('size')}"
    else:
        return decision
    log.warning("%s does not apply: it was tuned for %s", path.name, reason)
    return Decision.argmax(len(classes))


def _hashes(tuned: dict) -> list:
    checkpoints = tuned.get("checkpoints")
    return [c.get("sha256") if isinstance(c, dict) else c for c in checkpoints] if isinstance(checkpoints, list) else []


class CheckpointEngine(Engine):
    """Runs checkpoints eagerly; the probabilities of several, and of mirror images, are averaged.

    Attributes:
        nets: one a checkpoint, on the device.

    Args:
        paths: checkpoints of the same classes and size.
        options: options to open them with; where they name no precision, fp32.

    Raises:
        UserError: where they do not go together, or the machine lacks what is asked for.
    """

    def __init__(self, paths: Sequence[Path], options: EngineSettings) -> None:
        precision = options.precision or "fp32"
        self.device = _device(options.device)
        if precision == "fp16" and self.device.type == "cpu":
            raise UserError("precision=fp16 needs a GPU; on a CPU take bf16 or fp32")
        self.dtype = _PRECISIONS[precision]
        modules = [load_module(path) for path in paths]
        cards = [card_of(path, module) for path, module in zip(paths, modules, strict=True)]
        for name in ("classes", "size"):
            different = {getattr(card, name) for card in cards}
            if len(different) > 1:
                raise UserError(
                    f"The checkpoints cannot be averaged, their {name} differ: {' / '.join(map(str, different))}"
                )
        size = options.size or cards[0].size
        self.card = replace(
            cards[0],
            precision=precision,
            size=size,
            system=" + ".join(card.system for card in cards),
            decision=decision_of(paths, cards[0].classes, size, options.tta),
        )
        # One convolution already takes all cores, and eager calls side by side would fight over them.
        self.parallel = 1
        self._lock = threading.Lock()
        self._tta = options.tta
        if self.device.type == "cpu":
            torch.set_num_threads(options.cores)
        self.nets = [module.net.to(self.device).to(memory_format=torch.channels_last) for module in modules]
        for net in self.nets:
            _narrow(net, self.dtype)
        self.about = {
            "engine": "PyTorch",
            "device": device_name(self.device),
            "precision": precision,
            "threads": options.cores if self.device.type == "cpu" else None,
            "tta": options.tta,
            "versions": {"torch": version("torch")},
        }

    @torch.inference_mode()
    def _logits(self, image: np.ndarray) -> list[torch.Tensor]:
        """Logits [1, C + 1, h, w] at the net's size, of each net and mirror image, turned back."""
        small = np.ascontiguousarray(resize_grey(image, self.card.size))  # which a view that has this size is not
        batch = torch.from_numpy(small)[None, None].to(self.device)
        logits = []
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            for net in self.nets:
                for axes in _MIRRORS if self._tta else _MIRRORS[:1]:
                    logits.append(net(batch.flip(axes) if axes else batch).flip(axes).float())
        return logits

    @torch.inference_mode()
    def _maps(self, logits: list[torch.Tensor], size: tuple[int, int]) -> Maps:
        full = _scaled(logits, size)
        # The logarithm of the mean probabilities serves as well as logits.
        mean = full[0] if len(full) == 1 else _mean_probabilities(full).clamp(min=1e-30).log()
        classes, confidence = confidences(mean)
        return Maps(classes[0].cpu().numpy(), confidence[0].cpu().numpy())

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Of a grey image, uint8 [H, W], at its own size: float32 [C + 1, H, W], the background first."""
        with self._lock, torch.inference_mode():
            return _mean_probabilities(_scaled(self._logits(image), image.shape))[0].cpu().numpy()

    def __call__(self, image: np.ndarray) -> Maps:
        """Grey uint8 [H, W] to what the net says of it at the image's own size."""
        with self._lock:
            return self._maps(self._logits(image), image.shape)

    def resized(self, image: np.ndarray) -> Maps:
        """Grey uint8 [H, W] to what the net says of it at the size it works at."""
        with self._lock:
            return self._maps(self._logits(image), self.card.size)

    def both(self, image: np.ndarray) -> tuple[Maps, Maps]:
        """What `resized` and a call give, from one pass through the nets."""
        with self._lock:
            logits = self._logits(image)
            return self._maps(logits, self.card.size), self._maps(logits, image.shape)


def _scaled(logits: Sequence[torch.Tensor], size: tuple[int, int]) -> list[torch.Tensor]:
    return [z if z.shape[-2:] == size else scale_logits(z, size) for z in logits]


def _mean_probabilities(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([z.softmax(dim=1) for z in logits]).mean(dim=0)


def _narrow(net: nn.Module, dtype: torch.dtype) -> None:
    """Bring to `dtype` the weights that autocast would bring to it for each image anew; the logits are the same."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)


def _device(name: Device) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: PyTorch sees no GPU here; take device=cpu, or check driver and PyTorch build")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
