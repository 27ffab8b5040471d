"""Losses against numpy, at their edges, and by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from steel_defects.core.errors import UserError
from steel_defects.models.losses import LOSSES, cross_entropy, cross_entropy_dice, get_loss, soft_dice


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def dice_by_hand(logits: np.ndarray, target: np.ndarray) -> float:
    """1 - Dice of every image and every defect class it holds, one at a time."""
    probability = np.exp(log_softmax(logits))
    losses = []
    for image, truth in zip(probability, target, strict=True):
        for c in range(1, logits.shape[1]):
            if (truth == c).any():
                losses.append(1 - 2 * image[c][truth == c].sum() / (image[c].sum() + (truth == c).sum()))
    return float(np.mean(losses)) if losses else 0.0


def example(seed: int, images: int = 3, classes: int = 4, size: tuple[int, int] = (9, 13)):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (images, classes + 1, *size))
    target = rng.integers(0, classes + 1, (images, *size))
    target[0][target[0] == 2] = 0  # one image lacks a class, another has a single one
    target[-1] = np.where(target[-1] == 3, 3, 0)
    return logits, target


def confident(target: torch.Tensor, classes: int = 4) -> torch.Tensor:
    return 40.0 * torch.nn.functional.one_hot(target.long(), classes + 1).permute(0, 3, 1, 2).float()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_losses_equal_numpy(seed, dtype):
    logits, target = example(seed, images=1 + seed, classes=1 + seed)
    entropy = -np.take_along_axis(log_softmax(logits), target[:, None], axis=1).mean()
    dice = dice_by_hand(logits, target)
    x, y = torch.tensor(logits), torch.tensor(target, dtype=dtype)
    assert cross_entropy(x, y).item() == pytest.approx(entropy, rel=1e-6)
    assert soft_dice(x, y).item() == pytest.approx(dice, rel=1e-5)
    assert cross_entropy_dice(x, y).item() == pytest.approx(entropy + dice, rel=1e-5)


def test_dice_weighs_small_and_large_defects_alike():
    target = torch.zeros(2, 8, 8, dtype=torch.uint8)
    target[0] = 1
    target[1, 3, 3] = 1
    missed = confident(target)
    missed[1] = confident(torch.zeros_like(target))[1]  # the small one is not seen at all
    assert soft_dice(missed, target).item() == pytest.approx(0.5, abs=1e-4)


def test_dice_of_an_absent_class_does_not_count():
    target = torch.zeros(1, 8, 8, dtype=torch.uint8)
    target[0, :4] = 1
    logits = confident(target)
    logits[0, 3, 4:] = 80.0  # false alarms of class 3, which the truth lacks
    logits.requires_grad_()
    loss = soft_dice(logits, target)
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert cross_entropy(logits, target).item() > 10, "false alarms are the cross entropy's to punish"


@pytest.mark.parametrize("name", LOSSES)
def test_batch_without_defects_has_finite_gradients(name):
    target = torch.zeros(2, 8, 8, dtype=torch.uint8)
    logits = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    soft_dice(logits, target).backward()
    assert soft_dice(logits, target).item() == 0
    assert not logits.grad.any(), "Dice alone learns nothing from them"
    get_loss(name)(logits, target).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.any(), "background pixels are learnt from, too"


@pytest.mark.parametrize("name", LOSSES)
def test_perfect_prediction_is_near_zero_and_wrong_one_is_not(name):
    _, target = example(0)
    target = torch.tensor(target)
    assert get_loss(name)(confident(target), target).item() == pytest.approx(0, abs=1e-4)
    assert get_loss(name)(confident((target + 1) % 5), target).item() > 0.9


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_down_the_gradient_lowers_the_loss(name):
    logits, target = (torch.tensor(a) for a in example(1))
    logits.requires_grad_()
    loss = get_loss(name)(logits, target)
    loss.backward()
    assert get_loss(name)(logits - 0.1 * logits.grad, target) < loss


def test_extreme_logits_stay_finite():
    target = torch.tensor(example(2)[1])
    logits = (1e4 * confident((target + 1) % 5)).requires_grad_()
    loss = cross_entropy_dice(logits, target)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["focal", ""])
def test_unknown_loss_names_the_known_ones(name):
    with pytest.raises(UserError, match=r"my_losses\.focal for focal in my_losses\.py") as caught:
        get_loss(name)
    assert repr(name) in str(caught.value)
    assert all(known in str(caught.value) for known in LOSSES)


def test_a_slip_of_the_pen_is_met_with_the_name():
    with pytest.raises(UserError, match=r"not 'cross_entropi'. Did you mean cross_entropy\?"):
        get_loss("cross_entropi")
