"""Decoders in a helper process: whatever happens there is a reason here, and the next image is decoded."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hostile_images import encoded, picture

from lesionflow.data import image_helper
from lesionflow.data.image_problem import ImageProblem, Reason
from lesionflow.data.image_reader import read_image

BMP = encoded(picture(), "BMP")
TIFF = encoded(picture(), "TIFF", compression="tiff_lzw")

# What a helper of these tests does when it is to decode a BMP.
FAILING = """
import sys; sys.path[:] = {path!r}
import os, resource, signal, time
from lesionflow.data import image_decode
from lesionflow.data import image_helper
from lesionflow.data.image_kind import Kind

def decoder(file):
    %s

image_decode._DECODERS[Kind.BMP] = decoder
image_helper.MOST_SECONDS = 1
image_helper.serve()
"""


@pytest.fixture(autouse=True)
def fresh_helpers() -> Generator[None]:
    image_helper._end_idle()
    yield
    image_helper._end_idle()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "reason", "text"),
    [
        ("while True: pass", Reason.TOO_COSTLY, "takes more than"),
        ("bytes(2**31)", Reason.TOO_COSTLY, "not enough memory"),
        ("os.kill(os.getpid(), signal.SIGKILL)", Reason.TOO_COSTLY, "killed for memory"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.DAMAGED, "its decoder failed on it"),
        ("raise ZeroDivisionError", Reason.DAMAGED, "its decoder failed on it"),
        ("os._exit(0)", Reason.DAMAGED, "its decoder failed on it"),
        ("with open('written', 'wb', 0) as file: file.write(b'x')", Reason.DAMAGED, "File too large"),
    ],
)
def test_whatever_a_decoder_does_is_a_reason_and_the_next_image_is_decoded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, does: str, reason: Reason, text: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(image_helper, "_PROGRAM", FAILING % does)
    for _ in range(2):
        with pytest.raises(ImageProblem, match=text) as caught, read_image(BMP):
            pass
        assert caught.value.reason is reason
        with read_image(TIFF) as read:
            np.testing.assert_array_equal(np.asarray(read.image), np.asarray(picture()))
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())


def test_a_decoder_that_sleeps_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_helper, "_PROGRAM", FAILING % "time.sleep(300)")
    monkeypatch.setattr(image_helper, "_MOST_WAITING", 2)
    with pytest.raises(ImageProblem) as caught, read_image(BMP):
        pass
    assert caught.value.reason is Reason.TOO_COSTLY


def test_helpers_are_used_again_and_threads_do_not_share_them():
    def one(number: int) -> bool:
        shown = picture(20 + number, 30)
        with read_image(encoded(shown, "BMP")) as read:
            return np.array_equal(np.asarray(read.image), np.asarray(shown))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(60)))
    assert 1 <= len(image_helper._idle) <= 4


def test_an_image_that_is_left_in_the_middle_does_not_disturb_the_next():
    from lesionflow.data.image_kind import Kind

    with image_helper.HelperImage(BMP, Kind.BMP) as helped:
        assert helped.size == (60, 45)  # and its pixels are never asked for
    with read_image(TIFF) as read:
        np.testing.assert_array_equal(np.asarray(read.image), np.asarray(picture()))


def test_a_helper_that_ended_while_it_was_idle_is_replaced():
    for _ in range(2):
        with read_image(TIFF) as read:
            assert read.size == (60, 45)
        (idle,) = image_helper._idle
        idle._process.kill()
        idle._process.wait()


@pytest.mark.slow
def test_helpers_end_with_the_process_that_started_them(tmp_path: Path):
    (tmp_path / "x.tif").write_bytes(TIFF)
    program = (
        "import os, signal, sys\n"
        "from lesionflow.data import image_helper\n"
        "from lesionflow.data.image_reader import read_image\n"
        "with read_image(open(sys.argv[1], 'rb').read()): pass\n"
        "print(image_helper._idle[0]._process.pid, flush=True)\n"
        "os.kill(os.getpid(), int(sys.argv[2])) if sys.argv[2] != '0' else None\n"
    )
    for ending in (0, signal.SIGTERM, signal.SIGKILL):
        command = [sys.executable, "-c", program, str(tmp_path / "x.tif"), str(int(ending))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == -ending, done.stderr
        helper = Path("/proc") / done.stdout.strip()
        deadline = time.monotonic() + 10
        while helper.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not helper.exists()


def test_a_forked_process_starts_helpers_of_its_own():
    with read_image(TIFF):
        pass
    child = os.fork()
    if not child:
        code = 1
        try:
            assert not image_helper._idle
            with read_image(BMP) as read:
                code = 0 if np.array_equal(np.asarray(read.image), np.asarray(picture())) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with read_image(TIFF) as read:
        np.testing.assert_array_equal(np.asarray(read.image), np.asarray(picture()))
