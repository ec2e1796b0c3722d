"""KFP adapter of the duplicates step."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Output

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def duplicates(images: Input[Dataset], pairs: Output[Dataset], sheet: Output[HTML], search: bool = True):
    """Find images under different lesion ids that show the same thing, so that no split tears them apart.

    Local features (SIFT) of all images are matched; where enough agree, one image is laid onto the other,
    turned, zoomed or mirrored, and compared. Of exact copies one is looked at, as the split keeps them together
    anyway. What is held of the images is in memory up to LESIONFLOW_PIXEL_MEMORY bytes, beyond that in a file.

    Args:
        images: the images that ingest wrote.
        pairs: CSV of the pairs found, with both labels and lesion ids, the surest first.
        sheet: the pairs as pictures, for a person to confirm.
        search: false finds nothing and says so. The search takes some 20 ms of one core per image of 200x150 pixels.
    """
    from lesionflow.components.duplicates.duplicates import find_duplicates
    from lesionflow.runtime.files import finite
    from lesionflow.runtime.step import run_step

    facts = run_step("duplicates", find_duplicates, images.path, pairs.path, sheet.path, search)
    pairs.metadata.update(finite(facts))
    sheet.metadata["pairs"] = facts["pairs"]
