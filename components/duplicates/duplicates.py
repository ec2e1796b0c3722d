"""Near-duplicate images under different lesion ids, found by their content."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from joblib import cpu_count

from components.common.errors import UserError
from components.common.files import whole_file, write_text
from components.common.image_table import read_images, read_metadata
from components.common.progress import report
from components.duplicates.alignment import Alignment, align
from components.duplicates.features import Features, Gray, detect_all, one_thread_each
from components.duplicates.sheet import render_sheet
from components.duplicates.shortlist import shortlist

COLUMNS = (
    "image_id_1", "image_id_2", "lesion_id_1", "lesion_id_2", "dx_1", "dx_2",
    "inliers", "correlation", "overlap", "mirrored", "score",
)  # fmt: skip
"""Of the table of pairs, a CSV that `components.split.lists.read_found_pairs` reads."""

_CHUNK = 256  # pairs aligned between two progress reports


@dataclass(frozen=True)
class Found:
    """Two images that show the same thing."""

    one: int
    """Row in the metadata, sorted by image id; likewise `other`."""
    other: int
    mirrored: bool
    alignment: Alignment

    @property
    def score(self) -> float:
        """0 to 1, for sorting: the correlation, discounted where it rests on few features."""
        return self.alignment.correlation * self.alignment.inliers / (self.alignment.inliers + 5)


def find_duplicates(images: str | Path, pairs: str | Path, sheet: str | Path, search: bool = True) -> dict[str, Any]:
    """Find images under different lesion ids that show the same thing, and lay them before a person.

    The answer depends neither on the order of the images nor on the number of cores.

    Args:
        images: the images artifact.
        pairs: CSV to write, see `COLUMNS`; the surest first.
        sheet: HTML page to write: every pair side by side, and one laid onto the other.
        search: False writes a table without pairs and a page that says that nobody looked.

    Returns:
        Figures: `searched`; `images`; `pairs` found under different lesion ids, of these `labels_disagree` and
        `mirrored`; `images_without_features`; and, as a check of the search on this very data,
        `same_lesion_pairs` and how many of them were found, `same_lesion_pairs_found`.

    Raises:
        UserError: the images cannot be read.
    """
    metadata = _read(images)
    found: list[Found] = []
    features: list[Features] = []
    if search:
        with one_thread_each():
            grays, features = _detect(images, metadata["image_id"].tolist())
            found = _verify(grays, features)
    lesions = metadata["lesion_id"].to_numpy()
    across = [each for each in found if lesions[each.one] != lesions[each.other]]
    across.sort(key=lambda each: (-round(each.score, 4), each.one, each.other))
    table = _tabulate(metadata, across)
    sizes = metadata["lesion_id"].value_counts()
    figures = {
        "searched": search,
        "images": len(metadata),
        "pairs": len(table),
        "labels_disagree": int((table["dx_1"] != table["dx_2"]).sum()),
        "mirrored": int(table["mirrored"].sum()),
        "images_without_features": sum(len(each.points) == 0 for each in features),
        "same_lesion_pairs": int((sizes * (sizes - 1) // 2).sum()),
        "same_lesion_pairs_found": len(found) - len(across),
    }
    with whole_file(pairs) as temporary:
        table.to_csv(temporary, index=False)
    write_text(sheet, render_sheet(table, [each.alignment.transform for each in across], images, figures))
    pairs_found = f"{len(table):,} near-duplicate pairs under different lesion ids"
    report("figure", text=pairs_found if search else "not searched for near-duplicates")
    return figures


def _read(images: str | Path) -> pd.DataFrame:
    try:
        metadata = read_metadata(images)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(images, error) from None
    return metadata.sort_values("image_id", ignore_index=True)


def _unreadable(images: str | Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()).rstrip(".")
    return UserError(f"A shard of {images} cannot be read ({reason}); run the ingest step again.")


def _encoded(images: str | Path, image_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    try:
        yield from read_images(images, image_ids)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(images, error) from None


def _detect(images: str | Path, image_ids: Sequence[str]) -> tuple[list[Gray], list[Features]]:
    """Gray images and their features, in the order of `image_ids`, whatever that of the shards."""
    found: dict[str, tuple[Gray, Features]] = {}
    reported = 0.0
    for image_id, gray, features in detect_all(_encoded(images, image_ids)):
        found[image_id] = gray, features
        if time.monotonic() - reported > 0.2 or len(found) == len(image_ids):
            reported = time.monotonic()
            report("progress", done=len(found), total=len(image_ids))
    return [found[name][0] for name in image_ids], [found[name][1] for name in image_ids]


def _verify(grays: Sequence[Gray], features: Sequence[Features]) -> list[Found]:
    """The pairs that show the same thing, each once, by whichever of its two senses fits better."""
    candidates = shortlist(features).tolist()

    def one(candidate: tuple[int, int, int]) -> Found | None:
        first, second, mirrored = candidate
        alignment = align(features[first], features[second], grays[first], grays[second], bool(mirrored))
        return alignment and Found(first, second, bool(mirrored), alignment)

    best: dict[tuple[int, int], Found] = {}
    waiting, done = iter(candidates), 0
    with ThreadPoolExecutor(cpu_count()) as pool:
        while chunk := list(islice(waiting, _CHUNK)):
            for found in filter(None, pool.map(one, chunk)):
                pair = found.one, found.other
                if pair not in best or found.score > best[pair].score:
                    best[pair] = found
            done += len(chunk)
            report("progress", done=done, total=len(candidates))
    return list(best.values())


def _tabulate(metadata: pd.DataFrame, found: Sequence[Found]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for each in found:
        one, other = metadata.iloc[each.one], metadata.iloc[each.other]
        rows.append(
            {
                **{f"{name}_1": one[name] for name in ("image_id", "lesion_id", "dx")},
                **{f"{name}_2": other[name] for name in ("image_id", "lesion_id", "dx")},
                "inliers": each.alignment.inliers,
                "correlation": round(each.alignment.correlation, 4),
                "overlap": round(each.alignment.overlap, 4),
                "mirrored": each.mirrored,
                "score": round(each.score, 4),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))
