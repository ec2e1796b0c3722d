"""KFP adapter of the balance step."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Output

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def balance(
    train: Input[Dataset],
    balanced: Output[Dataset],
    picture: Output[HTML],
    recipe: str = "published",
    strategy: str = "",
):
    """Decide how often each training image is drawn, or how much its loss weighs; never both.

    Args:
        train: the training table that split wrote.
        balanced: the same rows with their weight and sampling weight.
        picture: images per class before and after.
        recipe: a preset, a YAML or JSON file, or the YAML or JSON itself; its balance is the strategy.
        strategy: name of a balance strategy; empty for the recipe's.
    """
    from dataclasses import asdict

    from lesionflow.components.balance.balance import balance_table
    from lesionflow.runtime.files import finite
    from lesionflow.runtime.step import run_step

    result = run_step(
        "balance",
        balance_table,
        train.path,
        balanced.path,
        picture.path,
        recipe=recipe,
        strategy=strategy,
    )
    balanced.metadata.update(finite(asdict(result)))
