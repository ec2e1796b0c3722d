"""KFP adapter of the split step."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def split(
    images: Input[Dataset],
    train: Output[Dataset],
    validation: Output[Dataset],
    test: Output[Dataset],
    seed: int = 0,
    validation_share: float = 0.1,
    test_share: float = 0.2,
    duplicate_pairs: str = "",
    fixed_test: str = "",
    folds: int = 0,
    fold: int = 0,
    duplicates: Input[Dataset] = None,  # pyright: ignore[reportArgumentType]  (a cluster cannot make Optional)
):
    """Split the images into train, validation and test tables, by lesion and stratified by class.

    No lesion, no pair of duplicates and no identical image content is ever on two sides: the step
    checks this afterwards and fails otherwise.

    Args:
        images: the images that ingest wrote.
        train: ids and labels to train on.
        validation: ids and labels to choose the best epoch and thresholds on.
        test: ids and labels to judge on.
        seed: another seed gives another split.
        validation_share: share of each class's images for validation.
        test_share: share of each class's images for the test set.
        duplicate_pairs: optional CSV (local, gs:// or s3://) of two image ids a line that show the same thing.
        fixed_test: optional list (local, gs:// or s3://) of the test images; their lesions' other images are left out.
        folds: of a cross-validation, 2 or more: the test set is one of so many equal parts of all lesions; 0 for none.
        fold: which of these parts is the test set, from 0.
        duplicates: pairs of images that the duplicates step found; they are kept together likewise.
    """
    from lesionflow.components.split.split import split_images
    from lesionflow.runtime.files import finite
    from lesionflow.runtime.step import run_step

    facts = run_step(
        "split",
        split_images,
        images.path,
        {"train": train.path, "validation": validation.path, "test": test.path},
        seed=seed,
        validation_share=validation_share,
        test_share=test_share,
        duplicate_pairs=duplicate_pairs,
        fixed_test=fixed_test,
        folds=folds,
        fold=fold,
        found_pairs=duplicates.path if duplicates else "",
    )
    shared = {name: facts[name] for name in ("left_out", "joined_lesions", "leak_check")}
    train.metadata.update(finite({**facts["train"], **shared}))
    validation.metadata.update(finite({**facts["validation"], **shared}))
    test.metadata.update(finite({**facts["test"], **shared}))
