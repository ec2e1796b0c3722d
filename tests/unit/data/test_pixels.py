"""Decoded images, in memory and in a file: the same rows, within the budget, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import SIZE, write_images

from lesionflow.data.pixel_store import VARIABLE, MappedPixels, allocate, pixels_digest
from lesionflow.data.pixels import decode_images, load_pixels
from lesionflow.errors import UserError

IMAGES = 112
IDS = [f"{index:03}" for index in range(IMAGES)]
BYTES = IMAGES * SIZE * SIZE * 3


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "images"
    write_images(folder, IMAGES)
    return folder


@pytest.fixture(scope="module")
def both(images: Path) -> tuple[np.ndarray, MappedPixels]:
    """The same images in memory and in a file; none of it may stay in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        in_memory = load_pixels(images, IDS, SIZE)
        patch.setenv(VARIABLE, str(BYTES - 1))
        in_file = load_pixels(images, IDS, SIZE)
    assert isinstance(in_memory, np.ndarray)
    assert isinstance(in_file, MappedPixels)
    return in_memory, in_file


@given(first=st.integers(0, IMAGES - 1), data=st.data())
@settings(max_examples=60, deadline=None)
def test_rows_are_the_same_in_memory_and_in_a_file(
    both: tuple[np.ndarray, MappedPixels], first: int, data: st.DataObject
):
    in_memory, in_file = (pixels[first:] for pixels in both)
    stop = data.draw(st.integers(0, len(in_memory)))
    in_memory, in_file = in_memory[:stop], in_file[:stop]
    rows = np.array(data.draw(st.lists(st.integers(0, stop - 1), max_size=40) if stop else st.just([])), np.int64)
    assert (len(in_file), in_file.shape) == (len(in_memory), in_memory.shape)
    np.testing.assert_array_equal(in_file[rows], in_memory[rows])
    assert in_file[rows].dtype == np.uint8
    assert pixels_digest(in_file) == pixels_digest(in_memory)
    assert pixels_digest(in_memory) == pixels_digest(in_memory.copy())


def test_another_pixel_or_order_gives_another_digest(both: tuple[np.ndarray, MappedPixels]):
    pixels = both[0].copy()
    before = pixels_digest(pixels)
    assert pixels_digest(pixels[::-1].copy()) != before
    assert pixels_digest(pixels.reshape(-1, SIZE * 2, SIZE // 2, 3)) != before
    pixels[-1, -1, -1, -1] ^= 1
    assert pixels_digest(pixels) != before


def test_chunks_cover_every_image_once_whatever_their_order(images: Path, both: tuple[np.ndarray, MappedPixels]):
    ids = IDS[::-1]
    seen: list[int] = []
    for rows, pixels in decode_images(images, ids, SIZE):
        np.testing.assert_array_equal(pixels, both[0][::-1][rows])
        seen += rows.tolist()
    assert sorted(seen) == list(range(IMAGES))
    with pytest.raises(UserError, match="1 image ids come twice"):
        load_pixels(images, [*IDS, IDS[3]], SIZE)


def test_a_copied_batch_survives_later_ones(both: tuple[np.ndarray, MappedPixels]):
    in_memory, in_file = both
    batch = in_file[np.arange(8)]
    for start in range(0, IMAGES, 8):
        in_file[np.arange(start, start + 8)]
    np.testing.assert_array_equal(batch, in_memory[:8])


Usage = namedtuple("Usage", "total used free")


def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))


def disk_fills_up_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)


@pytest.mark.parametrize("disk", [no_room, disk_fills_up_meanwhile])
def test_too_small_a_disk_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, disk: Callable[[pytest.MonkeyPatch], None]
):
    disk(monkeypatch)
    monkeypatch.setenv(VARIABLE, "300000")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(
        UserError, match=r"112 decoded images of 32 pixels need 0\.3 MB, but .* 0\.3 MB of memory"
    ) as error:
        allocate(IMAGES, SIZE)
    assert str(tmp_path) in str(error.value)
    assert "TMPDIR" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("budget", ["-1", "4Gi", "1e9", "٣"])
def test_a_budget_that_is_no_number_gets_one_sentence(monkeypatch: pytest.MonkeyPatch, budget: str):
    monkeypatch.setenv(VARIABLE, budget)
    with pytest.raises(UserError, match=f"{VARIABLE} is '{budget}'; expected a whole number of bytes"):
        allocate(1, SIZE)


CHILD = """
import os, signal, sys
import numpy as np
from lesionflow.data.pixel_store import allocate, pixels_digest

def resident():  # the most so far, kilobytes; of this program alone, unlike getrusage's
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])

before = resident()
pixels = allocate(4000, 96)  # 111 MB
chunk = np.random.default_rng(0).integers(0, 256, (50, 96, 96, 3), np.uint8)
for start in range(0, 4000, 50):
    pixels[np.arange(start, start + 50)] = chunk
for epoch in range(2):
    order = np.random.default_rng(epoch).permutation(4000)
    for start in range(0, 4000, 32):
        rows = order[start : start + 32]
        assert (pixels[rows] == chunk[rows % 50]).all()
pixels_digest(pixels)
print(type(pixels).__name__, resident() - before, flush=True)
if "killed" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def child(budget: int, folder: Path, *arguments: str) -> tuple[str, int, int]:
    """Kind of the pixels, megabytes that they took, and exit code of a process that goes through 111 MB of them."""
    environment = {**os.environ, VARIABLE: str(budget), "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], env=environment, capture_output=True, text=True)
    kind, kilobytes = done.stdout.splitlines()[-1].split()
    return kind, int(kilobytes) // 1024, done.returncode


def test_resident_memory_stays_within_the_budget(tmp_path: Path):
    kind, small, code = child(4_000_000, tmp_path)
    assert (kind, code) == ("MappedPixels", 0)
    assert small < 4 + 16  # batches of rows, NumPy, OpenSSL
    kind, large, code = child(200_000_000, tmp_path)
    assert (kind, code) == ("ndarray", 0)
    assert large > 105  # what the small budget has to stay below


def test_a_killed_process_leaves_no_file(tmp_path: Path):
    assert child(4_000_000, tmp_path, "killed")[::2] == ("MappedPixels", -signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []
