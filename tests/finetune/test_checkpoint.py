"""Checkpoints on disk."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.common.errors import UserError
from components.finetune.checkpoint import Checkpoint, DamagedCheckpoint, key, load, locked, save


def checkpoint() -> Checkpoint:
    random = np.random.default_rng(0)
    # More than ten arrays: their order must be by number, not by text.
    arrays = [random.normal(size=(index + 1, 2)).astype(np.float32) for index in range(12)]
    return Checkpoint(arrays, [np.int64(5) * np.ones((), np.int64), *arrays], arrays[:3], [{"epoch": 1, "loss": 0.25}])


def test_a_checkpoint_reads_back_as_it_was_written(tmp_path: Path):
    save(tmp_path, checkpoint())
    back = load(tmp_path)
    assert back is not None
    for group in ("weights", "optimizer", "best"):
        for expected, found in zip(getattr(checkpoint(), group), getattr(back, group), strict=True):
            np.testing.assert_array_equal(expected, found)
            assert expected.dtype == found.dtype
    assert back.history == checkpoint().history


def test_no_checkpoint_is_not_an_error(tmp_path: Path):
    assert load(tmp_path) is None


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_checkpoint_is_noticed(tmp_path: Path, damage: str):
    save(tmp_path, checkpoint())
    state = tmp_path / "state"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes({"cut": data[: len(data) // 2], "bit": data, "empty": b""}[damage])
    with pytest.raises(DamagedCheckpoint, match="SHA-256"):
        load(tmp_path)


def test_a_second_process_is_refused_while_the_first_trains(tmp_path: Path):
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom components.finetune.checkpoint import locked\n"
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
