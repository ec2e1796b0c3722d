"""Checkpoints on disk and in buckets."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pandas import read_csv
from s3_server import S3Server
from seaweedfs import SeaweedFS
from small_data import RECIPE, Data

import lesionflow
from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.training.checkpoint import Checkpoint, DamagedCheckpoint, key, load, locked, save


def checkpoint() -> Checkpoint:
    random = np.random.default_rng(0)
    # More than ten arrays: their order must be by number, not by text.
    arrays = [random.normal(size=(index + 1, 2)).astype(np.float32) for index in range(12)]
    return Checkpoint(arrays, [np.int64(5) * np.ones((), np.int64), *arrays], arrays[:3], [{"epoch": 1, "loss": 0.25}])


def test_a_checkpoint_reads_back_as_it_was_written(anywhere: str):
    save(anywhere, checkpoint())
    back = load(anywhere)
    assert back is not None
    for group in ("weights", "optimizer", "best"):
        for expected, found in zip(getattr(checkpoint(), group), getattr(back, group), strict=True):
            np.testing.assert_array_equal(expected, found)
            assert expected.dtype == found.dtype
    assert back.history == checkpoint().history


def test_no_checkpoint_is_not_an_error(anywhere: str):
    assert load(anywhere) is None


def test_the_newest_checkpoint_is_the_only_one(anywhere: str):
    for epochs in (1, 2):
        save(anywhere, replace(checkpoint(), history=[{"epoch": epoch} for epoch in range(epochs)]))
    back = load(anywhere)
    assert back is not None
    assert len(back.history) == 2
    assert [file.name for file in storage.list_files(anywhere)] == ["state"]


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_checkpoint_is_noticed(anywhere: str, damage: str):
    save(anywhere, checkpoint())
    data = bytearray(storage.read_bytes(f"{anywhere}/state"))
    data[len(data) // 2] ^= 1
    broken = {"cut": data[: len(data) // 2], "bit": data, "empty": b""}[damage]
    storage.write_bytes(f"{anywhere}/state", bytes(broken))
    with pytest.raises(DamagedCheckpoint, match="SHA-256"):
        load(anywhere)


def test_a_store_that_fails_costs_a_sentence_and_not_the_training(
    s3_server: S3Server, capfd: pytest.CaptureFixture[str]
):
    save("s3://bucket/c", checkpoint())
    s3_server.refuses_with = "403 Forbidden", "AccessDenied"
    later = replace(checkpoint(), history=[{"epoch": 1}, {"epoch": 2}])
    save("s3://bucket/c", later)
    said = capfd.readouterr().err
    assert "The checkpoint after epoch 2 was not saved, training goes on: Access to s3://bucket/c/state" in said
    assert said.count("\n") == 1
    s3_server.refuses_with = None
    back = load("s3://bucket/c")
    assert back is not None
    assert len(back.history) == 1
    save("s3://bucket/c", later)
    back = load("s3://bucket/c")
    assert back is not None
    assert len(back.history) == 2


def test_a_store_that_cannot_be_read_ends_the_step_before_it_trains(s3_server: S3Server):
    s3_server.refuses_with = "403 Forbidden", "AccessDenied"
    with pytest.raises(UserError, match="was denied"):
        load("s3://bucket/c")


@pytest.mark.slow
def test_a_training_goes_on_in_another_pod_from_a_bucket(
    data: Data, head: Path, partial: Path, tmp_path: Path, seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
):
    def train() -> dict[str, Any]:
        return data.finetune(
            tmp_path / "model", "partial", start=str(head), checkpoint_folder="s3://bucket/team/checkpoints"
        )

    def evict(place: str, state: Checkpoint) -> None:
        save(place, state)
        if len(state.history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lesionflow.training.checkpoint.save", evict)
        with pytest.raises(KeyboardInterrupt):
            train()
    assert train()["resumed_at_epoch"] == 2
    for column in ("loss", "val_loss", "val_macro_f1"):
        assert read_csv(tmp_path / "model" / "history.csv")[column].tolist() == (
            read_csv(partial / "history.csv")[column].tolist()
        )


@pytest.mark.slow
def test_a_second_process_is_refused_while_the_first_trains(tmp_path: Path):
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom lesionflow.training.checkpoint import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="Another process"), locked(tmp_path):
            pass
        other.kill()
        other.wait()
        with locked(tmp_path):  # the lock went with the process
            pass


def test_the_key_tells_apart_whatever_the_training_depends_on():
    array = np.arange(6, dtype=np.float32)
    keys = {
        key({"seed": 0}, array),
        key({"seed": 1}, array),
        key({"seed": 0}, array + 1),
        key({"seed": 0}, array.reshape(2, 3)),
        key({"seed": 0}, array, array),
    }
    assert len(keys) == 5
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})


STEP = """
import json, sys
from lesionflow.components.finetune.finetune import finetune
print("resumed at epoch", finetune(**json.loads(sys.argv[1])).resumed_at_epoch)
"""


@pytest.mark.slow
def test_edited_code_does_not_go_on_from_the_old_codes_checkpoints_whoever_runs_it(data: Data, tmp_path: Path):
    """In a container or a pod no runner tells the step what its code is."""
    shutil.copytree(Path(lesionflow.__file__).parent, tmp_path / "code" / "lesionflow")
    task = {
        **{"images": str(data.images), "train": str(data.train), "validation": str(data.validation)},
        **{"model": str(tmp_path / "model"), "phase": "head", "recipe": yaml.safe_dump(RECIPE), "weights": "none"},
        "checkpoint_folder": str(tmp_path / "checkpoints"),
    }

    def run() -> str:
        command = [sys.executable, "-c", STEP, json.dumps(task)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LESIONFLOW")}
        environment |= {"PYTHONPATH": str(tmp_path / "code")}
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "resumed at epoch 0" in run()
    assert "resumed at epoch 1" in run()  # the same code does
    with (tmp_path / "code" / "lesionflow" / "training" / "sampling.py").open("a") as file:
        file.write("\n# edited\n")
    assert "resumed at epoch 0" in run()
