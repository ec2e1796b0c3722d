"""Writing the images artifact's Parquet shards."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lesionflow.artifacts.images import SCHEMA, shard_name
from lesionflow.components.ingest.convert import Converted

_MOST_SHARDS = 8
_LEAST_ROWS = 32  # per shard
_ROW_GROUP = 128  # rows: what a reader holds in memory at a time
_DICTIONARY: Any = ["lesion_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]  # its stubs say bool


def shard_count(rows: int) -> int:
    """Number of shards for so many images; of nothing else, so that equal input gives equal files."""
    return max(1, min(_MOST_SHARDS, rows // _LEAST_ROWS))


def write_shards(folder: Path, rows: pd.DataFrame, converted: Iterator[Converted]) -> None:
    """Write every undamaged image.

    Args:
        folder: receives images-00000-of-0000N.parquet and so on.
        rows: the image table's metadata columns but for width, height and sha256; sorted by image_id.
        converted: one image per row, in the same order; consumed as they come.
    """
    schema = SCHEMA.with_metadata({"huggingface": json.dumps({"info": {"features": _features()}})})
    records = iter(rows.astype(object).where(rows.notna(), None).to_dict("records"))
    images = zip(records, converted, strict=True)
    count = shard_count(len(rows))
    for index in range(count):
        left = len(rows) * (index + 1) // count - len(rows) * index // count
        path = folder / shard_name(index, count)
        # JPEG does not compress any further.
        with pq.ParquetWriter(path, schema, compression="none", use_dictionary=_DICTIONARY) as writer:
            while group := list(islice(images, min(left, _ROW_GROUP))):
                left -= len(group)
                kept = [_record(row, image) for row, image in group if not image.problem]
                if kept:
                    writer.write_table(pa.Table.from_pylist(kept, schema=schema))


def _record(row: dict[Any, Any], image: Converted) -> dict[str, Any]:
    return {
        **row,
        "image": {"bytes": image.encoded, "path": row["image_id"] + image.suffix},
        "width": image.width,
        "height": image.height,
        "sha256": image.sha256,
    }


def _features() -> dict[str, Any]:
    """What Hugging Face's `datasets` reads from a Parquet file's schema, so that it decodes the images."""
    return {
        field.name: {"_type": "Image"}
        if field.name == "image"
        else {"_type": "Value", "dtype": {"float": "float32"}.get(str(field.type), str(field.type))}
        for field in SCHEMA
    }
