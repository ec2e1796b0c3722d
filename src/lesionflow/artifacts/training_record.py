"""`training.json`: how the model in a folder was trained."""

from typing import ClassVar, Literal

from lesionflow.recipe import PhaseName, Recipe
from lesionflow.runtime.document import Document, Part


class Rows(Part):
    """Images that a step was given."""

    train: int
    validation: int


class TrainingRecord(Document):
    """How a model was trained, as of its last fine-tune step."""

    what: ClassVar[str] = "a record of a training"
    written_by: ClassVar[str] = "finetune"

    format: Literal[1] = 1
    phase: PhaseName
    recipe: Recipe
    seed: int
    weights: str
    """Where the head step started: `imagenet`, `none`, or an address, as it was given."""
    weights_sha256: str
    """Of the file of starting weights; empty without one."""
    pretrained: bool
    fingerprint: str
    """Of all data from outside; empty if it was not given."""
    versions: dict[str, str]
    """Of the libraries that trained it."""
    devices: str
    """What it was trained on, for people."""
    best_epoch: int
    """Of the step, from 1; 0: its start was better than any epoch, and kept."""
    rows: Rows


class SharedTraining(Part):
    """What was the same in the training of several models; None where they differ."""

    recipe: Recipe | None = None
    seed: int | None = None
    weights: str | None = None
    weights_sha256: str | None = None
    pretrained: bool | None = None
    fingerprint: str | None = None
    versions: dict[str, str] | None = None
    devices: str | None = None
