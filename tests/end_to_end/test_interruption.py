"""A run that is killed half-way goes on where it broke, and ends like one that was not."""

import io
import json
import re
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command import RECIPE, Site, alive_tasks, progress, summary_of, wait_for_epoch

from lesionflow.data.synthetic.dataset import write_synthetic

EPOCHS_OF_SECONDS: dict[str, Any] = {
    **RECIPE,
    "batch_size": 1,
    "head": {**RECIPE["head"], "epochs": 1},
    "partial": {**RECIPE["partial"], "epochs": 3},
}


ARGUMENTS = ("--min-f1", "0.05", "--no-leak-guard")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_killed_in_its_second_finetune_step_resumes_to_the_same_metrics(site, unbroken, tmp_path, number):
    output = tmp_path / "out"
    process = site.start(output, "--min-f1", "0.05")
    wait_for_epoch(output, "finetune-partial", 2)

    process.send_signal(number)  # to the parent alone

    code = process.wait(timeout=90)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 5
    while alive_tasks(output) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive_tasks(output) == []
    if number != signal.SIGKILL:
        assert summary_of(output)["status"] == "interrupted"

    again = site.run(output, "--min-f1", "0.05")

    assert again.returncode == 0, again.stdout + again.stderr
    resumed, reference = summary_of(output), summary_of(unbroken)
    assert resumed["steps"]["finetune-head"]["status"] == "reused"
    assert "Going on after epoch" in (output / "latest" / "logs" / "finetune-partial.log").read_text()
    assert resumed["metrics"] == reference["metrics"]


@pytest.fixture
def slow_site(site: Site, tmp_path: Path) -> Site:
    """Data with epochs of some 600 batches: on a fast machine, too, a signal arrives in the one that it was sent in."""
    data, recipe = tmp_path / "data", tmp_path / "slow.json"
    write_synthetic(data, images=840, size=(100, 75), seed=1)
    recipe.write_text(json.dumps(EPOCHS_OF_SECONDS))
    return Site(site.folder, data, recipe)


def _arrays(model: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """All weights in a model's file."""
    with zipfile.ZipFile(model / "model.keras") as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        found: list[tuple[str, np.ndarray[Any, Any]]] = []
        file.visititems(lambda name, item: found.append((name, item[()])) if isinstance(item, h5py.Dataset) else None)
    yield from found


def _wait_within_an_epoch(output: Path, steps: int, epoch: int) -> None:
    """Until the newest run's partial step is in that epoch, with at least half of it, a second or more, to come."""
    deadline = time.monotonic() + 280
    while time.monotonic() < deadline:
        done = max((event["done"] for event in progress(output, "finetune-partial")), default=0)
        if 0.1 * steps < done - (epoch - 1) * steps < 0.5 * steps:
            return
        time.sleep(0.02)
    raise AssertionError(f"finetune-partial was never seen in epoch {epoch}")


@pytest.mark.timeout(900)
def test_an_interrupt_within_an_epoch_costs_no_batch_and_no_bit(slow_site: Site, tmp_path: Path):
    unbroken, output = tmp_path / "unbroken", tmp_path / "out"
    result = slow_site.run(unbroken, *ARGUMENTS)
    assert result.returncode == 0, result.stdout + result.stderr
    steps = max(event["total"] for event in progress(unbroken, "finetune-partial")) // 3

    batch = 0
    for number, epoch in ((signal.SIGINT, 1), (signal.SIGTERM, 2)):
        said = tmp_path / f"said-{epoch}"
        with said.open("wb") as terminal:
            process = slow_site.start(output, *ARGUMENTS, stdout=terminal)
            _wait_within_an_epoch(output, steps, epoch)
            process.send_signal(number)  # to the parent alone
            assert process.wait(timeout=90) == 128 + number
        assert alive_tasks(output) == []
        assert "Interrupted: finetune-partial may save where it stands" in said.read_text()
        step = summary_of(output)["steps"]["finetune-partial"]
        assert step["status"] == "stopped"
        stopped = re.fullmatch(rf"Stopped by SIGTERM in epoch {epoch} after batch (\d+) of {steps}\.", step["headline"])
        assert stopped, step
        if epoch == 2:
            assert f"Going on after epoch 0, batch {batch}, from" in _log(output)
        batch = int(stopped[1])

    again = slow_site.run(output, *ARGUMENTS)

    assert again.returncode == 0, again.stdout + again.stderr
    assert f"Going on after epoch 1, batch {batch}, from" in _log(output)
    for (name, expected), (_, found) in zip(_arrays(unbroken / "model"), _arrays(output / "model"), strict=True):
        np.testing.assert_array_equal(expected, found, name)
    assert summary_of(output)["metrics"] == summary_of(unbroken)["metrics"]


def _log(output: Path) -> str:
    return (output / "latest" / "logs" / "finetune-partial.log").read_text()
