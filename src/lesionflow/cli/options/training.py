"""Options of a training: those that mean the same everywhere, and those that name places, here and on a cluster."""

from typing import Annotated

import typer

MinF1 = Annotated[float | None, typer.Option(help="Least value of the gate's metric that passes.", show_default="0.7")]
Metric = Annotated[str | None, typer.Option(help="What the gate judges.", show_default="macro_f1")]
PolicyFile = Annotated[
    str | None, typer.Option(help="YAML or JSON file of all that the gate asks for, instead.", show_default="none")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the split, the batch order and the augmentation.")]
LeakGuard = Annotated[bool, typer.Option(help="Look for near-duplicates, and keep them on one side of the split.")]
MaxQuarantine = Annotated[float, typer.Option(min=0, max=1, help="Largest share of damaged items tolerated.")]
TaxonomyFile = Annotated[
    str, typer.Option("--taxonomy", help="Classes of the data: ham10000, isic2019, or a YAML or JSON file of your own.")
]
Folds = Annotated[
    int | None, typer.Option(help="Cross-validate with so many folds; promotes nothing.", show_default="none")
]

# On this machine.
Data = Annotated[str | None, typer.Option(help="Folder, zip, gs:// or s3:// prefix.", show_default="synthetic data")]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="best, quick, published, demo, or a YAML or JSON file.", show_default="quick; demo on synthetic data"
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(help="imagenet, none, or a weights file.", show_default="imagenet; none on synthetic data"),
]
Registry = Annotated[str | None, typer.Option(help="Folder, gs:// or s3:// prefix.", show_default="OUTPUT/registry")]
DuplicatePairs = Annotated[str, typer.Option(help="CSV of image pairs that must stay on one side.")]
FixedTest = Annotated[str, typer.Option(help="List of the test images.")]

# On a cluster, whose pods see no file of this machine.
BucketData = Annotated[str, typer.Option("--data", help="gs:// or s3:// prefix with images and metadata.")]
BucketRegistry = Annotated[
    str | None,
    typer.Option(
        "--registry", help="gs:// or s3:// prefix for promoted models.", show_default="needed without --folds"
    ),
]
BucketCheckpoints = Annotated[
    str,
    typer.Option("--checkpoints", help="gs:// or s3:// prefix for checkpoints: a preempted step goes on where it was."),
]
ClusterRecipe = Annotated[str, typer.Option("--recipe", help="best, quick, published, or a YAML or JSON file.")]
ClusterWeights = Annotated[
    str, typer.Option("--weights", help="imagenet, none, a gs:// or s3:// file, or one in the image.")
]
BucketPairs = Annotated[
    str, typer.Option("--duplicate-pairs", help="gs:// or s3:// CSV of pairs that stay on one side.")
]
BucketFixedTest = Annotated[str, typer.Option("--fixed-test", help="gs:// or s3:// list of the test images.")]
