"""The images artifact: a folder of Parquet shards, one row per image, bytes beside metadata.

The `image` column is a struct `{bytes, path}`, the Hugging Face convention, so that
`datasets.load_dataset` opens the folder as it is. Beside the shards lie `taxonomy.json`, the classes in their order,
and `data_card.json`, and `README.md` with the same for people and data hubs.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq

from lesionflow.artifacts.tables import Labelled
from lesionflow.errors import UserError
from lesionflow.runtime.files import read_json, write_json
from lesionflow.taxonomy import Taxonomy, check_taxonomy

SCHEMA = pa.schema(
    [
        pa.field("image", pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("lesion_id", pa.string(), nullable=False),
        pa.field("dx", pa.string(), nullable=False),
        pa.field("dx_type", pa.string()),
        pa.field("age", pa.float32()),  # years
        pa.field("sex", pa.string()),
        pa.field("localization", pa.string()),
        pa.field("dataset", pa.string()),  # acquisition source, in newer copies of the metadata only
        pa.field("width", pa.int32(), nullable=False),  # of the stored image, pixels
        pa.field("height", pa.int32(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),  # of the original's decoded RGB pixels and shape
    ]
)


class ImageRows(Labelled):
    """Everything but the image itself."""

    dx_type: str = pandera.Field(nullable=True, description="how the diagnosis was confirmed")
    age: np.float32 = pandera.Field(nullable=True, ge=0, description="the patient's age, years")
    sex: str = pandera.Field(nullable=True, description="the patient's sex")
    localization: str = pandera.Field(nullable=True, description="where on the body the lesion is")
    dataset: str = pandera.Field(nullable=True, description="where the image was acquired, in newer copies only")
    width: np.int32 = pandera.Field(ge=1, description="the width of the stored image, pixels; likewise height")
    height: np.int32 = pandera.Field(ge=1, description="the height of the stored image, pixels")
    sha256: str = pandera.Field(description="the digest of the original's decoded RGB pixels and shape")


DATA_CARD = "data_card.json"
TAXONOMY = "taxonomy.json"
_FOLDER = "the images artifact that the ingest step wrote"
README = "README.md"


def shard_name(index: int, count: int) -> str:
    """File name of shard `index` of `count`, as in images-00000-of-00008.parquet."""
    return f"images-{index:05d}-of-{count:05d}.parquet"


def shards(folder: str | Path) -> list[Path]:
    """The shards of an images artifact, in order.

    Raises:
        UserError: the folder holds no shards.
    """
    found = sorted(Path(folder).glob("images-*-of-*.parquet"))
    if not found:
        raise UserError(
            f"{folder} holds no image shards (images-00000-of-...parquet); "
            "expected the images artifact that the ingest step wrote."
        )
    return found


def read_metadata(folder: str | Path) -> pd.DataFrame:
    """Read `ImageRows`, one row per image, in shard order.

    Raises:
        UserError: the folder holds no shards, or something does not hold of their rows.
    """
    columns = ImageRows.columns()
    rows = pd.concat([pd.read_parquet(shard, columns=columns) for shard in shards(folder)], ignore_index=True)
    return ImageRows.checked(rows, f"The images artifact {folder}")


def read_images(folder: str | Path, image_ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (image_id, encoded bytes) of the wanted images in shard order, a row group in memory at a time."""
    wanted = set(image_ids)
    for shard in shards(folder):
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(batch_size=256, columns=["image_id", "image"]):
                ids = batch.column("image_id").to_pylist()
                encoded = batch.column("image").field("bytes")
                for row, image_id in enumerate(ids):
                    if image_id in wanted:
                        yield image_id, encoded[row].as_py()


def read_data_card(folder: str | Path) -> dict[str, Any]:
    """The data card that ingest wrote beside the shards.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return read_json(Path(folder) / DATA_CARD, _FOLDER)


def write_taxonomy(folder: Path, taxonomy: Taxonomy) -> None:
    """Write the classes beside the shards."""
    write_json(folder / TAXONOMY, taxonomy.model_dump(mode="json"))


def read_taxonomy(folder: str | Path) -> Taxonomy:
    """Read the classes of the images, in their order.

    Raises:
        UserError: the folder does not say, or its file is none.
    """
    path = Path(folder) / TAXONOMY
    return check_taxonomy(read_json(path, _FOLDER), str(path))
