"""KFP adapter of the fingerprint step."""

from kfp import dsl

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def fingerprint(
    source: str,
    weights: str = "imagenet",
    duplicate_pairs: str = "",
    fixed_test: str = "",
    taxonomy: str = "ham10000",
) -> str:
    """Digest everything that comes from outside, so that later steps are reused exactly when they may be.

    Args:
        source: folder, or gs:// or s3:// prefix, with images and metadata.
        weights: imagenet, none, or the path, gs:// or s3:// URI of a weights file.
        duplicate_pairs: optional CSV of image pairs that must stay on one side.
        fixed_test: optional list of the test images.
        taxonomy: of the classes: ham10000, isic2019, or a taxonomy as JSON.

    Returns:
        The digest, as hexadecimal.
    """
    from lesionflow.components.fingerprint.fingerprint import fingerprint as run
    from lesionflow.runtime.step import run_step

    return run_step(
        "fingerprint",
        run,
        source=source,
        weights=weights,
        duplicate_pairs=duplicate_pairs,
        fixed_test=fixed_test,
        taxonomy=taxonomy,
    )
