"""`lesionflow synth`."""

from typing import Annotated

import typer
from rich.console import Console


def synth(
    out: Annotated[str, typer.Argument(help="New folder, gs:// or s3:// prefix for the data.")],
    images: Annotated[int, typer.Option(help="How many.")] = 700,
    size: Annotated[tuple[int, int], typer.Option(help="Width and height, pixels.")] = (200, 150),
    seed: Annotated[int, typer.Option(help="Same seed, same data.")] = 0,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Nothing can be learned from it: shows that the gate is honest.")
    ] = False,
) -> None:
    """Write synthetic data in HAM10000's own layout: seven looks that can be learned."""
    from lesionflow import storage
    from lesionflow.data.synthetic.bucket import write_synthetic_to_bucket
    from lesionflow.data.synthetic.dataset import write_synthetic

    if storage.is_remote(out):
        counts = write_synthetic_to_bucket(out, images, size, seed, shuffle_labels)
    else:
        counts = write_synthetic(storage.local_path(out), images, size, seed, shuffle_labels)
    Console().print(f"Wrote {images} synthetic images to {out}: {counts}", highlight=False, markup=False)
