"""Reading images: every sound kind of file, and every broken one with a plain message."""

from __future__ import annotations

import struct
import sys
import zlib

import cv2
import numpy as np
import pytest

from steel_defects.data.images import ImageError, look_at_all, read_grey

CUTS = [0.02, 0.3, 0.6, 0.9, 0.99, -2, -1]
CUT_KINDS = {
    "jpeg": (".jpg", []),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "restarts": (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
    "png": (".png", []),
}


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (48, 90), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def encoded(image: np.ndarray, suffix: str = ".jpg", options=()) -> bytes:
    ok, data = cv2.imencode(suffix, image, list(options))
    assert ok
    return data.tobytes()


def message_for(path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_grey(path)
    assert path.name not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x"])
def test_lossless_kinds_under_any_name(tmp_path, picture, suffix, colour, name):
    stored = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if colour else picture
    (tmp_path / name).write_bytes(encoded(stored, suffix))
    image = read_grey(tmp_path / name)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, picture)


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "restarts"])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_jpeg(tmp_path, picture, kind, colour):
    stored = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if colour else picture
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(stored, *CUT_KINDS[kind]))
    image = read_grey(path)
    assert image.shape == picture.shape
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - picture).mean() < 2


def test_colours_are_weighed_to_grey(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(encoded(np.full((4, 4, 3), (0, 0, 255), np.uint8), ".png"))  # pure red, blue first
    assert abs(int(read_grey(path)[0, 0]) - 76) <= 1


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """Put a segment right behind the start marker."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def test_exif_turn_is_ignored(tmp_path, picture):
    """Orientation 6, a turn by 90 degrees: a reader that heeds it returns the picture upright."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = with_segment(encoded(picture), 0xE1, exif)
    turned = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert turned.shape == picture.shape[::-1], "the sample file's EXIF data does not work"
    (tmp_path / "x.jpg").write_bytes(data)
    assert read_grey(tmp_path / "x.jpg").shape == picture.shape


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("kind", CUT_KINDS)
def test_cut_short(tmp_path, picture, kind, cut, monkeypatch):
    """Whatever the decoder makes of it: some return half a picture."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: picture)
    data = encoded(picture, *CUT_KINDS[kind])
    assert "is cut short" in message_for(tmp_path / "x.jpg", data[: int(len(data) * cut) if cut > 0 else cut])
    (tmp_path / "x.jpg").write_bytes(data)
    assert read_grey(tmp_path / "x.jpg") is picture


@pytest.mark.parametrize("suffix", [".bmp", ".tif"])
def test_other_kinds_cut_in_half(tmp_path, picture, suffix):
    data = encoded(picture, suffix)
    assert "cut short" in message_for(tmp_path / f"x{suffix}", data[: len(data) // 2])


def test_end_of_a_preview_is_not_the_end(tmp_path, picture):
    data = with_segment(encoded(picture), 0xE2, encoded(picture[:8, :8]))
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    assert read_grey(path).shape == picture.shape
    assert "is cut short" in message_for(path, data[: len(data) * 2 // 3])


@pytest.mark.parametrize("padding", [b"\0" * 700, b"\n", b"\xff", b"trailer of a camera" * 50])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_padding_is_accepted(tmp_path, picture, suffix, padding):
    (tmp_path / "x.jpg").write_bytes(encoded(picture, suffix) + padding)
    assert read_grey(tmp_path / "x.jpg").shape == picture.shape


def test_damaged_inside(tmp_path, picture):
    data = bytearray(encoded(picture, ".png"))
    data[len(data) // 2] ^= 0xFF
    assert "damaged PNG" in message_for(tmp_path / "x.png", bytes(data))


def test_lying_header(tmp_path):
    """A PNG that claims more pixels than OpenCV takes makes it raise: that too is an ImageError."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 900_000, 900_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    assert "damaged PNG" in message_for(tmp_path / "x.png", data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is not an image (begins with '<!DOCTYPE')"),
        (b"\xef\xbb\xbf\r\n  <html>", "is not an image (begins with '<html>')"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not an image (begins with 'version')"),
        (b"\x00\x01\x02\x03" * 9, "is not an image"),
        (b"   ", "is not an image"),
        (b"PK\x03\x04\x14\0\0\0", "is not an image"),
    ],
)
def test_no_image(tmp_path, data, message):
    assert message_for(tmp_path / "x.jpg", data) == message


def test_missing_and_folder(tmp_path):
    with pytest.raises(ImageError, match=r"^does not exist$"):
        read_grey(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        read_grey(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="file descriptors are inherited another way")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_opencv_keeps_quiet(tmp_path, picture, suffix, capfd):
    data = encoded(picture, suffix)
    message_for(tmp_path / "x.jpg", data[: len(data) // 2])
    message_for(tmp_path / "x.jpg", b"<html>")
    assert capfd.readouterr() == ("", "")


def test_look_at_all_keeps_order_and_tells_pictures_apart(tmp_path, picture):
    files = {"b": encoded(picture, ".png"), "a": b"", "d": encoded(picture, ".bmp"), "c": encoded(picture.T, ".png")}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    looks = dict(look_at_all({name: tmp_path / name for name in files}, workers=2, progress=False))
    assert list(looks) == list(files)
    assert isinstance(looks["a"], ImageError)
    assert looks["b"].digest == looks["d"].digest != looks["c"].digest
    assert looks["b"].size == (48, 90)
    assert looks["c"].size == (90, 48)
    assert looks["b"].thumbnail.shape == (32, 32)
    assert abs(float(looks["b"].thumbnail.mean()) - float(picture.mean())) < 1


def test_same_pixels_in_another_shape_differ(tmp_path):
    for name, shape in (("a", (2, 8)), ("b", (4, 4))):
        (tmp_path / name).write_bytes(encoded(np.arange(16, dtype=np.uint8).reshape(shape), ".png"))
    looks = dict(look_at_all({name: tmp_path / name for name in "ab"}, progress=False))
    assert looks["a"].digest != looks["b"].digest
