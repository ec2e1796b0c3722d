"""Training steps a second: the product's network in Keras on JAX, timm's in PyTorch; same batches, sizes, precision.

usage: python benchmarks/gpu/speed.py torch|keras [SIZE,BATCH ...]

Normalization is frozen in both, as the product trains; all layers learn; Adam; bfloat16. The first step compiles.
"""

import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SHAPES = [tuple(map(int, text.split(","))) for text in sys.argv[2:]] or [(224, 128), (224, 32), (192, 128)]
SECONDS = 4

Step = tuple[Callable[[], object], Callable[[], object]]
"""One training step, and waiting until the GPU has done all that it was asked for."""


def torch_step(size: int, batch: int, compiled: bool) -> Step:
    """timm's network, channels last."""
    # Neither is a dependency of the project.
    torch: Any = importlib.import_module("torch")
    timm: Any = importlib.import_module("timm")
    torch.backends.cudnn.benchmark = True
    network = timm.create_model("tf_efficientnetv2_b0", num_classes=7).cuda().to(memory_format=torch.channels_last)
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    images = torch.rand(batch, 3, size, size, device="cuda").to(memory_format=torch.channels_last)
    labels = torch.randint(0, 7, (batch,), device="cuda")
    called = torch.compile(network) if compiled else network

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(called(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, torch.cuda.synchronize


def keras_step(size: int, batch: int) -> Step:
    """Keras' network on JAX, without its `fit`, so that the steps follow each other as the GPU takes them."""
    os.environ["KERAS_BACKEND"] = "jax"
    jax: Any = importlib.import_module("jax")
    keras: Any = importlib.import_module("keras")
    keras.config.set_dtype_policy("mixed_bfloat16")
    shape = (size, size, 3)
    network = keras.applications.EfficientNetV2B0(include_top=False, weights=None, input_shape=shape, pooling="avg")
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    model = keras.Sequential([network, keras.layers.Dense(7, activation="softmax", dtype="float32")])
    model.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", jit_compile=True)
    images = jax.numpy.asarray(np.random.randint(0, 256, (batch, *shape)).astype("uint8"))
    labels = jax.numpy.asarray(np.random.randint(0, 7, batch))
    model.train_on_batch(images, labels)
    model.make_train_function()
    state: Any = model._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
        purge_model_variables=False,
    )
    kept: list[Any] = [jax.tree_util.tree_map(jax.numpy.array, state)]

    def step() -> None:
        _, kept[0] = model.train_function(kept[0], iter([(images, labels)]))

    return step, lambda: jax.block_until_ready(kept[0])


def measure(name: str, make: Callable[[], Step], batch: int) -> None:
    """Print the first step's seconds at once, then images/s."""
    began = time.perf_counter()
    step, wait = make()
    step()
    wait()
    print(f"{name}: built, compiled and stepped once in {time.perf_counter() - began:.0f} s", flush=True)
    for _ in range(5):
        step()
    wait()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        for _ in range(10):
            step()
        wait()
        count += 10
    print(f"{name}: {count * batch / (time.perf_counter() - began):,.0f} images/s", flush=True)


def main() -> None:
    """Measure each shape."""
    for size, batch in SHAPES:
        shape = f"{size} px batch {batch}"
        if sys.argv[1] == "keras":
            measure(f"keras on jax, {shape}", lambda size=size, batch=batch: keras_step(size, batch), batch)
            continue
        for kind in ("eager", "compiled"):
            compiled = kind == "compiled"
            measure(
                f"torch {kind}, {shape}",
                lambda size=size, batch=batch, compiled=compiled: torch_step(size, batch, compiled),
                batch,
            )


if __name__ == "__main__":
    main()
