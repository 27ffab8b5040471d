"""Reading image files as grey pictures, telling a sound file from a broken one, and looking at many of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from steel_defects.core.errors import UserError
from steel_defects.core.machine import available_cores
from steel_defects.data.image_header import Depth, depth_of, is_whole, kind_of

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
THUMBNAIL = 32  # pixels a side

_WAY_OUT = "save it as grey with 8 or 16 bits a pixel"

# What goes wrong is told by ImageError; OpenCV's own lines on stderr would tear the progress bar and name no file.
# Level 0 is silence; OpenCV 4 has the switch in one place and OpenCV 5 in another.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)


class ImageError(UserError):
    """An image that cannot be read, or made use of.

    Args:
        reason: what is wrong, as the rest of a sentence that begins with the image's name.
        name: the image; without it, the message is the reason alone, for those who know which image it is.
    """

    def __init__(self, reason: str, name: str | Path = "") -> None:
        super().__init__(f"{name} {reason}" if name else reason)
        self.reason = reason


def read_grey(path: Path, white: int | None = None) -> np.ndarray:
    """Read an image file as grey, whatever its ending says: see `decode_grey`.

    Args:
        path: JPEG, PNG, BMP or TIFF.
        white: the value that counts as white, 1 to 65535.

    Returns:
        uint8 [height, width].

    Raises:
        ImageError: where the file is missing or cannot be read, or `decode_grey` raises it. It does not name the file.
        ValueError: where `white` is out of range.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError("does not exist") from None
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or error})") from None
    return decode_grey(data, white)


def decode_grey(data: bytes, white: int | None = None) -> np.ndarray:
    """Make a grey image of what an image file holds, in the pixels as stored.

    Colour is weighed to grey. A turn noted in the EXIF data is not applied, because labels count the pixels as stored.
    Of a TIFF with several pages, the first is read.

    Args:
        data: content of a JPEG, PNG, BMP or TIFF.
        white: the value that counts as white where more than 8 bits a pixel are stored (1 to 65535): 4095 for a 12-bit
            camera, which fills only the lower part of 16 bits. None takes the largest that fits. 8-bit images are
            read as they are.

    Returns:
        uint8 [height, width].

    Raises:
        ImageError: where the data is empty, cut short, damaged, no image, or stores no grey values that could be
            brought to 8 bits.
        ValueError: where `white` is out of range.
    """
    if white is not None and not 1 <= white <= 65535:
        raise ValueError(f"white is {white}; it must be from 1 to 65535")
    if not data:
        raise ImageError("is empty (0 bytes)")

    kind = kind_of(data)
    if not is_whole(data, kind):
        raise ImageError(f"is cut short: the end of the {kind} is missing after {len(data):,} bytes; fetch it again")
    depth = depth_of(data, kind)
    if depth.trouble:
        raise ImageError(f"{depth.trouble}; {_WAY_OUT}")
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | (cv2.IMREAD_ANYDEPTH if depth.bits > 8 else 0))
    except cv2.error:  # more pixels than OpenCV takes, mostly because the header is damaged
        image = None
    if image is None:
        if kind is None:
            raise ImageError(f"is not an image{_beginning(data)}")
        raise ImageError(f"is a damaged {kind}, or cut short; fetch it again")
    if depth.bits <= 8:
        return image
    if image.dtype != np.uint16:  # brought to 8 bits by OpenCV, which knows of no white
        raise ImageError(f"stores {depth.bits} bits a pixel in an unusual way; {_WAY_OUT}")
    return _to_8_bits(depth, white)[image]


@lru_cache(maxsize=4)
def _to_8_bits(depth: Depth, white: int | None) -> np.ndarray:
    """Grey, uint8, of each value that OpenCV may return for an image of more than 8 bits: [65536]."""
    # Samples of 10, 12 or 14 bits packed without gaps are moved up to 16 bits by OpenCV.
    values = np.arange(65536) >> (16 - depth.bits)
    white = white or (1 << depth.bits) - 1
    grey = np.minimum((510 * values + white) // (2 * white), 255).astype(np.uint8)  # rounded, without floats
    return 255 - grey if depth.white_is_zero else grey


def resize_grey(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring a grey image, uint8 [H, W], to `size` (height, width): areas averaged where a side shrinks, else linear."""
    if image.shape == size:
        return image
    # Averaging areas keeps thin defects. OpenCV averages only where neither side grows, so sides are shrunk first and
    # then grown; in floats, rounded once, so that an exported graph can do the very same.
    exact: np.ndarray = image.astype(np.float32)
    shrunk = min(image.shape[0], size[0]), min(image.shape[1], size[1])
    if image.shape != shrunk:
        exact = cv2.resize(exact, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if shrunk != size:
        exact = cv2.resize(exact, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.rint(exact).astype(np.uint8)


def _beginning(data: bytes) -> str:
    """The first word of a text: an error page saved under an image's name is known by it."""
    words = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].split()
    word = words[0].decode("ascii", "replace") if words else ""
    return f" (begins with {word!r})" if word.isascii() and word.isprintable() and word else ""


def list_images(folder: Path) -> dict[str, Path]:
    """Image id -> file of the images in a folder, sorted; none where there is no such folder."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {
        path.name: path
        for path in files
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    }


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of an image once it was decoded.

    Args:
        size: (height, width) in pixels.
        thumbnail: uint8 [32, 32], the grey image made small by averaging.
        digest: hex digest of shape and grey pixels.
        measured: what else was computed from it; None where nothing was asked for.
    """

    size: tuple[int, int]
    thumbnail: np.ndarray
    digest: str
    measured: Any = None


def look_at_all(
    paths: Mapping[str, Path],
    workers: int | None = None,
    progress: bool = True,
    measure: Callable[[np.ndarray], object] | None = None,
) -> Iterator[tuple[str, Look | ImageError]]:
    """Decode every image once, in threads: OpenCV lets go of the interpreter meanwhile.

    Args:
        paths: id -> file.
        workers: threads; None takes one a core.
        progress: show a bar, if the output is a terminal.
        measure: computed from each image, uint8 [H, W], too; kept in `Look.measured`.

    Yields:
        each id in the order given, with what is kept of its image, or with what is wrong with its file.
    """
    threads = max(1, workers if workers is not None else min(16, available_cores()))
    pool = ThreadPoolExecutor(threads)
    try:
        looks = pool.map(partial(_look_at, measure=measure), paths.values())
        bar = tqdm(looks, "Checking images", len(paths), unit="image", leave=False, disable=None if progress else True)
        yield from zip(paths, bar, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C does not wait for all the rest


def _look_at(path: Path, measure: Callable[[np.ndarray], object] | None = None) -> Look | ImageError:
    try:
        image = read_grey(path)
    except ImageError as error:
        return error.with_traceback(None)  # a traceback would keep the file's bytes in memory
    digest = hashlib.blake2b(np.array(image.shape, "<i8").tobytes(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    thumbnail = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    measured = measure(image) if measure else None
    return Look((image.shape[0], image.shape[1]), thumbnail, digest.hexdigest(), measured)


def resize(image: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Bring image and mask, uint8 [H, W], to `size` (height, width); the mask keeps its class indices."""
    if mask.shape != size:
        mask = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    image = resize_grey(image, size)
    return image, mask
