"""Synthetic data to try everything with."""

from pathlib import Path

from lesionflow.data.synthetic.dataset import write_synthetic


def synth(
    folder: str | Path,
    *,
    images: int = 700,
    size: tuple[int, int] = (200, 150),
    seed: int = 0,
    shuffle_labels: bool = False,
) -> Path:
    """Write a learnable synthetic data set in HAM10000's own layout: seven looks, one per diagnosis.

    What is measured on it says nothing about skin. The same arguments give the same bytes.

    Args:
        folder: where to; must be absent or empty.
        images: how many, at least 70.
        size: width and height of each image in pixels.
        seed: another seed gives other images.
        shuffle_labels: permute the labels over lesions, so that nothing can be learned.

    Returns:
        The folder, for `ingest`.

    Raises:
        UserError: the folder is not empty, or cannot be written, or a number is too small.
    """
    write_synthetic(Path(folder), images, size, seed, shuffle_labels)
    return Path(folder)
