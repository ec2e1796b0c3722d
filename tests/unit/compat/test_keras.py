"""What `compat` relies on in the pinned Keras and TensorFlow and nobody promises: each says what to look at."""

import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest

from lesionflow.compat.keras_backend import prepare

SEE = f"Keras {version('keras')} has changed what lesionflow.compat relies on: see"


def test_adams_moments_have_the_names_that_our_adam_reads():
    prepare()
    import keras

    variables = [keras.Variable(np.zeros(3, np.float32)), keras.Variable(np.zeros(2, np.float32))]
    optimizer: Any = keras.optimizers.Adam()
    optimizer.build(variables)
    for name in ("_get_variable_index", "_momentums", "_velocities"):
        assert hasattr(optimizer, name), f"{SEE} `{name}` in compat/keras_adam.py."
    assert [optimizer._get_variable_index(variable) for variable in variables] == [0, 1], f"{SEE} compat/keras_adam.py."
    assert [value.shape for value in optimizer._momentums] == [(3,), (2,)], f"{SEE} compat/keras_adam.py."


def test_one_operation_steps_as_keras_own_dozen_do():
    prepare()
    import keras

    from lesionflow.compat.keras_adam import Adam

    random = np.random.default_rng(0)
    start = random.normal(size=50).astype(np.float32)
    ours, theirs = keras.Variable(start), keras.Variable(start)
    one, dozen = Adam(0.01), keras.optimizers.Adam(0.01)
    for _ in range(5):
        gradient = keras.ops.convert_to_tensor(random.normal(size=50).astype(np.float32))
        one.apply([gradient], [ours])
        dozen.apply([gradient], [theirs])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ours),
        keras.ops.convert_to_numpy(theirs),
        rtol=1e-5,
        err_msg=f"{SEE} compat/keras_adam.py and `adam_in_one_operation`.",
    )


def test_tensorflow_has_the_operation_and_the_freezing_that_it_does_not_document():
    import tensorflow as tf

    arguments = set(inspect.signature(tf.raw_ops.ResourceApplyAdam).parameters)
    wanted = {"var", "m", "v", "beta1_power", "beta2_power", "lr", "beta1", "beta2", "epsilon", "grad"}
    changed = f"TensorFlow {tf.__version__} has changed what lesionflow.compat relies on: see"
    assert wanted <= arguments, f"{changed} `adam_in_one_operation` in compat/tensorflow_graph.py."
    import_name = "tensorflow.python.framework.convert_to_constants"
    found = importlib.util.find_spec(import_name) and importlib.import_module(import_name)
    assert hasattr(found, "convert_variables_to_constants_v2"), f"{changed} `frozen` in compat/tensorflow_graph.py."


def test_keras_own_pipeline_still_tunes_itself():
    from keras.src.trainers.data_adapters import py_dataset_adapter

    source = inspect.getsource(py_dataset_adapter.PyDatasetAdapter.get_tf_dataset)
    assert "else:\n            ds = ds.prefetch(tf.data.AUTOTUNE)" in source, (
        f"{SEE} `untuned` in compat/tensorflow_graph.py: what it replaces is no longer there, so perhaps it can go."
    )


def test_seeding_still_imports_tensorflow_under_another_backend():
    program = "import sys, keras\nkeras.utils.set_random_seed(0)\nprint('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"KERAS_BACKEND": "jax", "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True"], (
        f"{SEE} compat/keras_randomness.py: seeding no longer imports TensorFlow, so the detour can go."
    )


def test_keras_still_warns_in_the_words_that_we_know_when_layers_keep_their_weights(tmp_path: Any):
    prepare()
    import keras

    def network(units: int) -> Any:
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, name="a")])

    trained = network(2)
    trained.compile(optimizer="adam", loss="mse")
    trained.fit(np.zeros((1, 3)), np.zeros((1, 2)), verbose=0)
    trained.save_weights(tmp_path / "trained.weights.h5")
    fresh = network(2)
    fresh.compile(optimizer="adam", loss="mse")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fresh.load_weights(tmp_path / "trained.weights.h5")
    words = " ".join(str(each.message) for each in said if issubclass(each.category, UserWarning))
    assert any(known in words for known in ("Skipping", "could not be loaded", "not found")), (
        f"{SEE} compat/keras_loading.py: instead Keras said {words!r}."
    )


IMPORTING = """
import os, sys
from lesionflow.compat.keras_backend import prepare
prepare()
new = []
def hear(event, given):
    if event == "os.putenv" and os.fsdecode(given[0]) not in os.environ:
        new.append(os.fsdecode(given[0]))
sys.addaudithook(hear)
import keras
print(new)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_importing_keras_beside_threads_that_decode_adds_nothing_to_the_environment(backend: str):
    """Images are decoded beside the import, and a variable that is new then can end the process by SIGSEGV."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "TPU_", "TF2_"))}
    for name in ("ENABLE_RUNTIME_UPTIME_TELEMETRY", "HDF5_PLUGIN_PATH", "LD_LIBRARY_PATH", "KMP_DUPLICATE_LIB_OK"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING],
        env={**environment, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    added = done.stdout.splitlines()[-1]
    assert added == "[]", f"{SEE} `_SET_BY_IMPORTS` in compat/keras_backend.py: {added} are new."
