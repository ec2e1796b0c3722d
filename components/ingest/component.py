"""KFP adapter of the ingest step."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from lesionflow.runtime.container_image import LEAN_IMAGE


@dsl.component(base_image=LEAN_IMAGE, install_kfp_package=False)
def ingest(
    source: str,
    fingerprint: str,
    images: Output[Dataset],
    quarantine: Output[Dataset],
    data_card: Output[HTML],
    stored_size: int = 256,
    max_quarantine: float = 0.01,
    taxonomy: str = "ham10000",
):
    """Decode, check and downscale every image once, into Parquet shards.

    Args:
        source: folder, or gs:// or s3:// prefix, with images and metadata, in any layout in which they are found.
        fingerprint: of the source, from the fingerprint step.
        images: Parquet shards, image bytes beside metadata, taxonomy.json, data_card.json and README.md.
        quarantine: table of what was left out, with the reason.
        data_card: counts, missing values, provenance and licence, as a page.
        stored_size: shorter side of the stored images, pixels; smaller originals are kept as they came.
        max_quarantine: largest share of rows and images that may be left out.
        taxonomy: of the classes: ham10000, isic2019, a YAML or JSON file, or its content.
    """
    from lesionflow.components.ingest.ingest import ingest as run
    from lesionflow.runtime.files import finite
    from lesionflow.runtime.step import run_step

    facts = run_step(
        "ingest",
        run,
        source=source,
        fingerprint=fingerprint,
        images=images.path,
        quarantine=quarantine.path,
        data_card=data_card.path,
        stored_size=stored_size,
        max_quarantine=max_quarantine,
        taxonomy=taxonomy,
    )
    images.metadata.update(finite(facts))
    quarantine.metadata["rows"] = facts["quarantined"]
