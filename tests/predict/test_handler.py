"""Masks come back as they went in; overlays are the image, and the defects on it."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from steel_defects.page.overlay import overlay
from steel_defects.predict.handler import mask_png, overlay_jpeg


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (37, 3), (64, 200)])
@pytest.mark.parametrize("classes", [0, 1, 4, 255])
def test_mask(shape, classes):
    mask = np.random.default_rng(0).integers(0, classes + 1, shape).astype(np.uint8)
    picture = Image.open(io.BytesIO(mask_png(mask)))
    assert picture.mode == "L"
    np.testing.assert_array_equal(np.asarray(picture), mask)


def strip(shape=(64, 200)) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


@pytest.mark.parametrize(
    "at", [(slice(0, 64), slice(0, 200)), (slice(10, 30), slice(50, 90)), (slice(63, 64), slice(0, 1))]
)
def test_overlay(at):
    image, mask = strip(), np.zeros((64, 200), np.uint8)
    mask[at] = 2
    mask[20:40, 60:80] = 1
    picture = np.asarray(Image.open(io.BytesIO(overlay_jpeg(image, mask, 95))).convert("RGB")).astype(int)
    expected = overlay(image, mask)
    assert picture.shape == (64, 200, 3)
    assert np.abs(picture - expected).mean() < 3
    rest = mask == 0
    assert not rest.any() or np.abs(picture - image[..., None])[rest].mean() < 6  # is the image


def test_clean_overlay_is_the_image():
    image = strip()
    picture = Image.open(io.BytesIO(overlay_jpeg(image, np.zeros_like(image), 95)))
    assert picture.mode == "L"
    assert np.abs(np.asarray(picture).astype(int) - image).mean() < 2


def test_quality():
    image = strip()
    sizes = [len(overlay_jpeg(image, np.zeros_like(image), quality)) for quality in (1, 50, 100)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("defect", [False, True])
def test_longer_than_jpeg_allows(defect):
    image, mask = np.full((2, 70_000), 100, np.uint8), np.zeros((2, 70_000), np.uint8)
    mask[:, 30_000:60_000] = defect
    assert max(Image.open(io.BytesIO(overlay_jpeg(image, mask, 90))).size) <= 65_500
