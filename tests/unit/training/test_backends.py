"""TensorFlow and JAX do the same with the same recipe, on one device and on two.

The second device, and the GPU that XLA and half precision are for, are faked: it is one CPU that the
backend is told to see as two, and `plan_devices`' choice is put in place of a real machine's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_data import Data

from lesionflow.artifacts.table import write_table
from lesionflow.compat.keras_backend import Device
from lesionflow.data.pixels import load_pixels
from lesionflow.models.loaded_model import load_model
from lesionflow.training.device_plan import Plan, plan_devices

Outcomes = dict[str, dict[str, Any]]

STILL = {"rotation": 0, "horizontal_flip": False, "zoom": 0}
CHANGES = {
    # One batch in an epoch, so that the history holds each step's loss; nothing random.
    "batch_size": 84,
    "schedule": "constant",
    "dropout": 0,
    "ema": 0.5,  # on JAX the average once shared its memory with the weights that `predict` frees
    "augmentation": STILL,
    "decode_scale": 1.5,
    "test_time_augmentation": 8,
    "partial": {"epochs": 5, "learning_rate": 0.01, "trainable": 0.75},
}


@pytest.fixture(scope="module")
def outcomes(data: Data, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """One process for each backend, both starting from a model that TensorFlow saved."""
    folder = tmp_path_factory.mktemp("backends")
    odd = folder / "validation.parquet"  # 27 images: two devices cannot share them evenly
    write_table(pd.read_parquet(data.validation).iloc[1:], odd)
    start = folder / "head"
    data.finetune(start, weights=str(tiny_weights))
    run = {"phase": "partial", "start": str(start), "changes": CHANGES}
    runs = {
        "tensorflow": {
            # First, for once deterministic kernels are chosen, they stay, and XLA lacks one.
            "two": {**run, "devices": ["cpu:0", "cpu:1"], "xla": True},
            "one": run,
            "half": {**run, "devices": ["cpu:0"], "precision": "mixed_bfloat16"},
        },
        "jax": {"one": run, "two": {**run, "devices": ["cpu:0", "cpu:1"]}},
    }
    return {backend: _train(backend, data, odd, folder / backend, runs[backend]) for backend in runs}


def _train(backend: str, data: Data, validation: Path, folder: Path, runs: dict[str, Any]) -> dict[str, Any]:
    settings = {
        "images": str(data.images),
        "train": str(data.train),
        "validation": str(validation),
        "folder": str(folder),
        "runs": runs,
    }
    support = Path(__file__).parents[2] / "support"
    done = subprocess.run(
        [sys.executable, str(support / "one_training.py"), json.dumps(settings)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(support)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {**json.loads(done.stdout.splitlines()[-1]), "folder": folder}


def test_both_backends_compute_the_same_losses(outcomes: Outcomes):
    ours, theirs = outcomes["tensorflow"]["one"], outcomes["jax"]["one"]
    assert ours["shapes"] == theirs["shapes"]
    # The same weights and images: sums of float32 in another order.
    assert ours["loss"][0] == pytest.approx(theirs["loss"][0], rel=1e-6)
    # Adam divides a gradient by its size, so where that is nearly zero, rounding is magnified, step by step.
    assert ours["loss"][1:] == pytest.approx(theirs["loss"][1:], rel=1e-4)
    # How fast it falls differs between CPUs (0.702 and 0.698 were seen), for the same reason.
    assert ours["loss"][4] < 0.8 * ours["loss"][0]
    np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], atol=1e-3)


def test_a_model_saved_by_one_backend_predicts_the_same_in_the_other(outcomes: Outcomes, data: Data):
    trained = outcomes["jax"]
    pixels = np.asarray(load_pixels(data.images, [f"{index:03}" for index in range(84, 112)], 48))
    here = load_model(trained["folder"] / "one").predict(pixels)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(here, trained["one"]["probabilities"], atol=1e-5)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_share_each_batch_and_end_as_one_does(outcomes: Outcomes, backend: str):
    one, two = (outcomes[backend][name] for name in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-4)
    np.testing.assert_allclose(one["probabilities"], two["probabilities"], atol=1e-3)


def test_training_in_half_precision_learns_and_leaves_a_model_in_single(outcomes: Outcomes):
    one, half = (outcomes["tensorflow"][name] for name in ("one", "half"))
    assert half["loss"] != one["loss"]
    assert half["loss"] == pytest.approx(one["loss"], rel=0.1)  # bfloat16 has three significant digits
    assert half["precisions"] == ["float32"]


def test_a_jax_process_never_loads_tensorflow(outcomes: Outcomes):
    assert outcomes["jax"]["tensorflow"] is False
    assert outcomes["tensorflow"]["tensorflow"] is True


T4, A100 = (7, 5), (8, 0)


@pytest.mark.parametrize(
    ("capabilities", "batch_size", "devices", "precision"),
    [
        ([], 32, 0, "float32"),
        ([(6, 1)], 32, 1, "float32"),
        ([None], 32, 1, "float32"),
        ([T4], 32, 1, "mixed_float16"),
        ([A100], 32, 1, "mixed_bfloat16"),
        ([A100] * 4, 32, 4, "mixed_bfloat16"),
        ([A100] * 3, 32, 2, "mixed_bfloat16"),
        ([A100] * 8, 1, 1, "mixed_bfloat16"),
        ([A100, T4, A100], 32, 2, "mixed_bfloat16"),
    ],
)
def test_devices_and_precision_follow_from_the_gpus(
    capabilities: list[tuple[int, int] | None], batch_size: int, devices: int, precision: str
):
    gpus = [Device(f"gpu:{index}", capability) for index, capability in enumerate(capabilities)]
    chosen = plan_devices(gpus, batch_size)
    assert (len(chosen.devices), chosen.precision) == (devices, precision)
    assert all(device.capability == capabilities[0] for device in chosen.devices)


def test_without_a_gpu_nothing_changes():
    assert plan_devices([], 7) == Plan((), "float32")
