"""A training that is told to end, or ended, between epochs or within one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from seaweedfs import SeaweedFS
from small_data import RECIPE, Data

from lesionflow.errors import Preempted
from lesionflow.models.classifier import CORE
from lesionflow.models.loaded_model import load_model
from lesionflow.training.callbacks import BatchProgress

pytestmark = pytest.mark.slow  # trains

LONG = {
    "partial": {**RECIPE["partial"], "epochs": 10},
    **{"ema": 0.9, "mix": "cutmix"},  # all that has a state
}

TASK = """
import json, sys
from lesionflow.runtime.step import run_step
from lesionflow.components.finetune.finetune import finetune
run_step("finetune-partial", finetune, **json.loads(sys.argv[1]))
"""


def weights(model: Path) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in load_model(model).model.get_layer(CORE).weights]


def assert_same(expected: Path, found: Path) -> None:
    for left, right in zip(weights(expected), weights(found), strict=True):
        np.testing.assert_array_equal(left, right)
    columns = ["phase", "epoch", "loss", "accuracy", "val_loss", "val_macro_f1", "learning_rate"]
    pd.testing.assert_frame_equal(
        pd.read_csv(expected / "history.csv")[columns], pd.read_csv(found / "history.csv")[columns], check_exact=True
    )


@pytest.fixture(scope="module")
def unbroken(data: Data, head: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of ten epochs without a break."""
    model = tmp_path_factory.mktemp("unbroken") / "model"
    data.finetune(model, "partial", start=str(head), changes=LONG)
    return model


def test_sigterm_in_any_batch_stops_there_and_the_retry_goes_on_with_the_same_bits(
    data: Data, head: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = {"start": str(head), "checkpoint_folder": str(tmp_path / "c"), "changes": LONG}

    def train() -> dict[str, Any]:
        return data.finetune(tmp_path / "model", "partial", **options)

    count = BatchProgress.on_train_batch_end
    done: list[int] = []

    def terminated_at_times(progress: BatchProgress, batch: int, logs: Any = None) -> None:
        count(progress, batch, logs)
        done.append(progress.done)
        if progress.done in (4, 12, 17, 60):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(BatchProgress, "on_train_batch_end", terminated_at_times)
    handler = signal.getsignal(signal.SIGTERM)
    for place in ("in epoch 1 after batch 4 of 6", "after epoch 2 of 10", "in epoch 3 after batch 5 of 6"):
        with pytest.raises(Preempted, match=place):
            train()
        assert not (tmp_path / "model").exists()
        assert signal.getsignal(signal.SIGTERM) == handler
    assert train()["resumed_at_epoch"] == 2  # SIGTERM in the last batch of all lets the step finish
    assert done == [*range(1, 61)]  # no batch was trained twice
    assert_same(unbroken, tmp_path / "model")


def test_a_task_killed_and_then_terminated_goes_on_from_a_bucket_like_one_that_was_not(
    data: Data, head: Path, unbroken: Path, tmp_path: Path, seaweedfs: SeaweedFS
):
    options = {"start": str(head), "checkpoint_folder": "s3://bucket/team/checkpoints"}
    task = {
        **{"images": str(data.images), "train": str(data.train), "validation": str(data.validation)},
        **{"model": str(tmp_path / "model"), "phase": "partial", "weights": "none", "seed": 3, **options},
        "recipe": yaml.safe_dump({**RECIPE, **LONG}),
    }
    for number, epoch, code in ((signal.SIGKILL, 3, -signal.SIGKILL), (signal.SIGTERM, 6, 128 + signal.SIGTERM)):
        command = [sys.executable, "-c", TASK, json.dumps(task)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                if line.startswith(f"partial epoch {epoch}/10"):
                    process.send_signal(number)
            said = process.stderr.read()
        assert process.returncode == code, said
        assert ("finetune-partial: Stopped by SIGTERM" in said) == (number == signal.SIGTERM)
        assert "Traceback" not in said
        assert not (tmp_path / "model").exists()
    metrics = data.finetune(tmp_path / "model", "partial", changes=LONG, **options)
    assert metrics["resumed_at_epoch"] >= 6
    assert_same(unbroken, tmp_path / "model")
