"""`lesionflow synth`."""

from typing import Annotated

import typer
from rich.console import Console

from lesionflow.storage import Address


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
    from lesionflow.data.synthetic.bucket import write_synthetic_to_bucket
    from lesionflow.data.synthetic.dataset import write_synthetic

    place = Address.parse(out)
    if place.is_remote:
        counts = write_synthetic_to_bucket(place, images, size, seed, shuffle_labels)
    else:
        counts = write_synthetic(place.local, images, size, seed, shuffle_labels)
    Console().print(f"Wrote {images} synthetic images to {place}: {counts}", highlight=False, markup=False)
