"""Which devices a training uses and in which precision: a pure function of what the machine has."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from lesionflow.compat import keras_backend
from lesionflow.compat.keras_backend import Device
from lesionflow.compat.keras_devices import computing

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


@dataclass(frozen=True)
class Plan:
    """What `plan_devices` chose."""

    devices: tuple[Device, ...]
    """The GPUs to train on, each taking its share of every batch; empty for the CPU."""
    precision: Precision

    @property
    def text(self) -> str:
        """The sentence for the log and the model's papers."""
        places = f"{len(self.devices)} GPUs" if len(self.devices) > 1 else "the GPU" if self.devices else "the CPU"
        return f"trained on {places} in {self.precision}"


def plan_devices(gpus: Sequence[Device], batch_size: int) -> Plan:
    """Choose devices and precision.

    The recipe's batch size is that of the whole step however many GPUs share it, so the same recipe takes
    the same number of steps at the same learning rate on every machine. GPUs of which the batch
    cannot be divided into equal shares stay idle.

    Args:
        gpus: of this machine, in the backend's order.
        batch_size: images in a batch, >= 1.
    """
    if not gpus:
        return Plan((), "float32")
    # The slowest would set the pace, and another precision other results: one kind only.
    alike = [gpu for gpu in gpus if gpu.capability == gpus[0].capability]
    count = max(count for count in range(1, len(alike) + 1) if batch_size % count == 0)
    return Plan(tuple(alike[:count]), _precision(gpus[0].capability))


@contextmanager
def training_devices(batch_size: int) -> Generator[Plan]:
    """Build and train models inside this: on all suited GPUs, in the precision that suits them; else on the CPU.

    Args:
        batch_size: images in a batch of the whole step.
    """
    chosen = plan_devices(keras_backend.gpus(), batch_size)
    with computing(chosen.precision, [device.name for device in chosen.devices]):
        yield chosen


def _precision(capability: tuple[int, int] | None) -> Precision:
    """Half precision where there are matrix units for it; bfloat16 needs no scaling of the loss."""
    if capability is None or capability < (7, 0):
        return "float32"
    return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16"
