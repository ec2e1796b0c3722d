"""Decoding in a helper process with limits of its own, for decoders that might hang, crash or take all memory.

A helper is started when it is first needed, decodes one image at a time, and goes with the process that started it.
It may use a gigabyte and so many seconds of CPU per image, and write no file. One that fails is replaced.
"""

import atexit
import json
import math
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from PIL import Image

from lesionflow.data.image_decode import Opening
from lesionflow.data.image_dicom import DicomOpening
from lesionflow.data.image_kind import Kind
from lesionflow.data.image_problem import ImageProblem, Reason

MOST_SECONDS = 15
"""Of CPU, per image."""
MOST_MEMORY = 2**30
"""Bytes of address space, the program itself included."""

_MOST_WAITING = 120  # seconds by the clock: a machine may be busy, but nothing waits for ever
_HEAD = struct.Struct(">BQ")  # number of the kind, bytes of the file
_GO = b"\1"
_LENGTH = struct.Struct(">I")
_KINDS = tuple(Kind)
_ROOT = str(Path(__file__).resolve().parents[2])
_PROGRAM = "import sys; sys.path[:] = {path!r}; from lesionflow.data.image_helper import serve; serve()"


class _Helper:
    """A running helper, as its parent sees it."""

    def __init__(self) -> None:
        # What this process imports, the helper imports; not what happens to lie in the working directory.
        path = [_ROOT, *(place for place in sys.path if place)]
        command = [sys.executable, "-I", "-c", _PROGRAM.format(path=path)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )

    def send(self, *parts: bytes) -> None:
        """Raises BrokenPipeError if the helper is gone."""
        assert self._process.stdin is not None
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[self._process.stdin.write(view) :]

    def receive(self, length: int, deadline: float) -> bytearray:
        """Raises EOFError if the helper is gone, TimeoutError if it is too slow."""
        assert self._process.stdout is not None
        received = bytearray(length)
        view = memoryview(received)
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        while view:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            count = os.readv(self._process.stdout.fileno(), [view])
            if not count:
                raise EOFError
            view = view[count:]
        return received

    def lives(self) -> bool:
        """Whether it is still there; an idle one may have been killed for memory."""
        return self._process.poll() is None

    def end(self) -> int:
        """Make sure that it is gone; return how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            return self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


_idle: list[_Helper] = []
_lock = threading.Lock()


def _forget() -> None:
    """After a fork: the helpers are the parent's, and a lock may have been held."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)


def _take_idle() -> _Helper | None:
    with _lock:
        while _idle:
            helper = _idle.pop()
            if helper.lives():
                return helper
            helper.end()
    return None


@atexit.register
def _end_idle() -> None:
    with _lock:
        while _idle:
            _idle.pop().end()


class HelperImage:
    """As `Opening`, in a helper; a context, which keeps the helper to itself."""

    size: tuple[int, int]
    """Width and height, upright, pixels."""

    def __init__(self, encoded: bytes, kind: Kind) -> None:
        """Keep what the helper will be sent."""
        self._encoded = encoded
        self._kind = kind
        self._waits = True  # the helper, for the next image; not so in the middle of one

    def __enter__(self) -> Self:
        """Have the header read.

        Raises:
            ImageProblem: as `Opening`; or the helper failed, or passed a limit.
        """
        self._helper = _take_idle() or _Helper()
        try:
            self.size = self._ask(_HEAD.pack(_KINDS.index(self._kind), len(self._encoded)), self._encoded)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._release()

    def load(self) -> Image.Image:
        """The pixels, 8-bit RGB.

        Raises:
            ImageProblem: as `Opening.load`; or the helper failed, or passed a limit.
        """
        width, height = self._ask(_GO)
        pixels = self._receive(width * height * 3)
        self._waits = True
        return Image.frombytes("RGB", (width, height), bytes(pixels))

    def _ask(self, *parts: bytes) -> tuple[int, int]:
        """Send something and receive a size; the helper is in the middle of an image then."""
        self._waits = False
        # If the helper ended meanwhile, there is no answer, which is told apart below.
        with suppress(BrokenPipeError):
            self._helper.send(*parts)
        (length,) = _LENGTH.unpack(self._receive(_LENGTH.size))
        answer: dict[str, Any] = json.loads(self._receive(length))
        if "reason" in answer:
            self._waits = True
            raise ImageProblem(Reason(answer["reason"]), answer["detail"])
        return answer["width"], answer["height"]

    def _receive(self, length: int) -> bytearray:
        try:
            return self._helper.receive(length, time.monotonic() + _MOST_WAITING)
        except (EOFError, TimeoutError) as error:
            code = self._helper.end()
            if isinstance(error, TimeoutError) or code == -signal.SIGXCPU:
                raise ImageProblem(
                    Reason.TOO_COSTLY, f"{self._kind}: decoding it takes more than {MOST_SECONDS} s"
                ) from None
            if code == -signal.SIGKILL:
                raise ImageProblem(Reason.TOO_COSTLY, f"{self._kind}: its decoder was killed for memory") from None
            raise ImageProblem(Reason.DAMAGED, f"{self._kind}: its decoder failed on it (code {code})") from None

    def _release(self) -> None:
        if not self._waits:
            self._helper.end()
            return
        with _lock:
            _idle.append(self._helper)


def serve() -> None:
    """What the helper does: one image after the other, until nobody sends any more."""
    _limit()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(_HEAD.size):
        number, length = _HEAD.unpack(head)
        _allow_seconds()
        try:
            opening = _open(source.read(length), _KINDS[number])
            _answer(target, width=opening.size[0], height=opening.size[1])
            if source.read(len(_GO)) != _GO:
                return
            image = opening.load()
            pixels = image.tobytes()
        except ImageProblem as problem:
            _answer(target, reason=problem.reason, detail=problem.detail)
        else:
            _answer(target, width=image.width, height=image.height)
            target.write(pixels)
            target.flush()


def _open(encoded: bytes, kind: Kind) -> Opening | DicomOpening:
    return DicomOpening(encoded) if kind is Kind.DICOM else Opening(encoded, kind)


def _answer(target: BinaryIO, **content: str | int) -> None:
    text = json.dumps(content).encode()
    target.write(_LENGTH.pack(len(text)) + text)
    target.flush()


def _limit() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides what follows
    limits = {resource.RLIMIT_AS: MOST_MEMORY, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    for limit, value in limits.items():
        with suppress(ValueError, OSError):  # a system that knows no such limit, or has set a lower one
            resource.setrlimit(limit, (value, value))


def _allow_seconds() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = math.ceil(used.ru_utime + used.ru_stime) + MOST_SECONDS
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
