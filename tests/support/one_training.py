"""A program for test_backends.py: one fine-tuning in a process of its own, as the backend is chosen once in each.

python one_training.py SETTINGS       JSON: see `main`; prints one line of JSON at its end
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from small_data import Data

from lesionflow.compat import keras_backend
from lesionflow.compat.keras_backend import Device
from lesionflow.training import device_plan
from lesionflow.training.device_plan import Plan


def virtual_cpus(count: int) -> None:
    """Make the backend see this CPU as several devices."""
    if os.environ.get("KERAS_BACKEND") == "jax":
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
        return
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def main() -> None:
    """Train in one or more ways; report what came out."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    virtual_cpus(2)
    data = Data(*(Path(settings[name]) for name in ("images", "train", "validation")))
    found: dict[str, Any] = {}
    for name, run in settings["runs"].items():
        chosen = Plan(tuple(map(Device, run.pop("devices", []))), run.pop("precision", "float32"))
        gpus = [Device("gpu:0")] if run.pop("xla", False) else []
        device_plan.plan_devices = lambda *_, chosen=chosen: chosen
        keras_backend.gpus = lambda gpus=gpus: gpus
        model = Path(settings["folder"], name)
        data.finetune(model, **run)
        found[name] = _outcome(model, data)
    found["tensorflow"] = "tensorflow" in sys.modules
    print(json.dumps(found))


def _outcome(model: Path, data: Data) -> dict[str, Any]:
    import pandas as pd

    from lesionflow.data.pixels import load_pixels
    from lesionflow.models.loaded_model import load_model

    loaded = load_model(model)
    pixels = np.asarray(load_pixels(data.images, [f"{index:03}" for index in range(84, 112)], loaded.decode_size))
    layers = loaded.model.get_layer("classifier").layers
    return {
        **pd.read_csv(model / "history.csv").query("phase == 'partial'")[["loss", "val_loss"]].to_dict("list"),
        "probabilities": loaded.predict(pixels).tolist(),
        "shapes": [list(weight.shape) for weight in loaded.model.weights],
        "precisions": sorted({layer.compute_dtype for layer in layers}),
    }


if __name__ == "__main__":
    main()
