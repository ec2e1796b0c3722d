"""KFP adapter of the finetune step; used once for each of the three phases."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model, Output

from lesionflow.runtime.container_image import GPU_IMAGE


@dsl.component(base_image=GPU_IMAGE, install_kfp_package=False)
def finetune(
    images: Input[Dataset],
    train: Input[Dataset],
    validation: Input[Dataset],
    model: Output[Model],
    phase: str,
    recipe: str = "published",
    weights: str = "imagenet",
    fingerprint: str = "",
    seed: int = 0,
    checkpoints: str = "",
    start: Input[Model] = None,  # pyright: ignore[reportArgumentType]  (a cluster cannot make Optional)
):
    """Train the classifier for one phase (head, partial or full), from weights or from the phase before.

    Args:
        images: Image shards that the ingest step wrote.
        train: Balanced table to learn from.
        validation: Table of images by whose macro-F1 the best epoch is chosen.
        model: Model folder: model.keras, labels.json, history.csv, training.json, tensorboard/.
        phase: head, partial or full.
        recipe: Name of a preset, or a recipe as YAML or JSON.
        weights: Where the head phase starts: imagenet, none, or a .weights.h5 path, gs:// or s3:// address.
        fingerprint: Digest of all data from outside; makes KFP's cache right.
        seed: Of everything random.
        checkpoints: Folder, or gs:// or s3:// prefix, in which each epoch is saved and resumed from; empty for none.
        start: Model of the phase before; for partial and full.
    """
    from dataclasses import asdict

    from lesionflow.components.finetune.finetune import finetune as logic
    from lesionflow.runtime.files import finite
    from lesionflow.runtime.step import run_step

    reached = run_step(
        f"finetune-{phase}",
        logic,
        images.path,
        train.path,
        validation.path,
        model.path,
        phase,
        recipe,
        weights,
        fingerprint,
        seed,
        checkpoints,
        start.path if start else None,
    )
    model.metadata.update(finite(asdict(reached)))
