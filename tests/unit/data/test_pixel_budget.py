"""Only so many pixels at a time, in threads and in forked processes."""

import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise

import pytest

from lesionflow.data import pixel_budget
from lesionflow.data.image_decode import LARGEST_PIXELS
from lesionflow.data.pixel_budget import PixelBudget

HALF = LARGEST_PIXELS // 2


def test_threads_wait_for_room_and_all_come_through():
    budget, lock = PixelBudget(LARGEST_PIXELS), threading.Lock()
    held, most = 0, 0

    def one(pixels: int) -> None:
        nonlocal held, most
        with budget.hold(pixels):
            with lock:
                held += pixels
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= pixels

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, [HALF, 1000, LARGEST_PIXELS, HALF + 1, 5] * 20))
    assert held == 0
    assert HALF < most <= LARGEST_PIXELS


def test_room_is_given_back_when_an_image_fails():
    budget = PixelBudget(LARGEST_PIXELS)
    for _ in range(3):
        with pytest.raises(KeyError), budget.hold(LARGEST_PIXELS):
            raise KeyError


_shared: PixelBudget


def _start(budget: PixelBudget) -> None:
    global _shared
    _shared = budget


def _hold(_: int) -> tuple[float, float]:
    with _shared.hold(HALF + 1):
        begun = time.monotonic()
        time.sleep(0.02)
        return begun, time.monotonic()


def test_forked_processes_share_one():
    forked = multiprocessing.get_context("fork")
    budget = PixelBudget(LARGEST_PIXELS, forked)
    with ProcessPoolExecutor(4, mp_context=forked, initializer=_start, initargs=(budget,)) as pool:
        held = sorted(pool.map(_hold, range(12)))
    assert all(end <= begun for (_, end), (begun, _) in pairwise(held))


def test_it_is_a_share_of_the_memory_and_one_image_always_has_room(monkeypatch: pytest.MonkeyPatch):
    for memory, pixels in ((10**6, LARGEST_PIXELS), (52 * 10**9, 10**9)):
        monkeypatch.setattr(pixel_budget, "available_memory", lambda memory=memory: memory)
        assert PixelBudget()._most == pixels
