"""Near-duplicate images under different lesion ids, found by their content."""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from lesionflow.artifacts.images import read_images, read_metadata
from lesionflow.components.duplicates.sheet import render_sheet
from lesionflow.data.near_duplicates.alignment import Alignment, Overlay, confirm, lay
from lesionflow.data.near_duplicates.features import (
    Features,
    Gray,
    decode_to_match,
    detect,
    map_on_all_cores,
    one_thread_each,
)
from lesionflow.data.near_duplicates.shortlist import shortlist
from lesionflow.data.near_duplicates.store import FeatureStore, GrayStore, Ints
from lesionflow.errors import UserError
from lesionflow.runtime.files import whole_file, write_text
from lesionflow.runtime.progress import report

COLUMNS = (
    "image_id_1", "image_id_2", "lesion_id_1", "lesion_id_2", "dx_1", "dx_2",
    "inliers", "correlation", "overlap", "mirrored", "score",
)  # fmt: skip
"""Of the table of pairs, a CSV that `lesionflow.data.splitting.lists.read_found_pairs` reads."""

T = TypeVar("T")
Pair = tuple[int, int, bool]
"""Two images, by their rows in the metadata, sorted by image id; and whether the first is to be mirrored."""


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

    Of images with the same content (`sha256`) only the first is looked at, and no pair is listed for the others:
    the split keeps them together as it is. Features and decoded images stay within the budget of
    `lesionflow.data.pixel_store`; what else is held grows by 10 to 30 kB per image.

    The answer depends neither on the order of the images nor on the number of cores.

    Args:
        images: the images artifact.
        pairs: CSV to write, see `COLUMNS`; the surest first.
        sheet: HTML page to write: every pair side by side, and one laid onto the other.
        search: False writes a table without pairs and a page that says that nobody looked.

    Returns:
        Metrics: `searched`; `images`, of these `copies` that were not looked at; `pairs` found under different
        lesion ids, of these `labels_disagree` and `mirrored`; `images_without_features`; and, as a check of the
        search on this very data, `same_lesion_pairs` of the images looked at and how many of them were found,
        `same_lesion_pairs_found`.

    Raises:
        UserError: the images cannot be read, or neither memory nor disk has room for what the search holds.
    """
    everything = _read(images)
    metadata = everything.drop_duplicates("sha256", ignore_index=True)
    found: list[Found] = []
    featureless = 0
    if search:
        originals = pd.Index(metadata["sha256"]).get_indexer(pd.Index(everything["sha256"]))
        found, featureless = _search(images, metadata["image_id"].tolist(), originals.astype(np.int64))
    lesions = metadata["lesion_id"].to_numpy()
    across = [each for each in found if lesions[each.one] != lesions[each.other]]
    across.sort(key=lambda each: (-round(each.score, 4), each.one, each.other))
    table = _tabulate(metadata, across)
    sizes = metadata["lesion_id"].value_counts()
    facts = {
        "searched": search,
        "images": len(everything),
        "copies": len(everything) - len(metadata),
        "pairs": len(table),
        "labels_disagree": int((table["dx_1"] != table["dx_2"]).sum()),
        "mirrored": int(table["mirrored"].sum()),
        "images_without_features": featureless,
        "same_lesion_pairs": int((sizes * (sizes - 1) // 2).sum()),
        "same_lesion_pairs_found": len(found) - len(across),
    }
    with whole_file(pairs) as temporary:
        table.to_csv(temporary, index=False)
    write_text(sheet, render_sheet(table, [each.alignment.transform for each in across], images, facts))
    pairs_found = f"{len(table):,} near-duplicate pair{'s' if len(table) != 1 else ''} under different lesion ids"
    report("headline", text=pairs_found if search else "not searched for near-duplicates")
    return facts


def _read(images: str | Path) -> pd.DataFrame:
    try:
        metadata = read_metadata(images)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(images, error) from None
    return metadata.sort_values("image_id", ignore_index=True)


def _unreadable(images: str | Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()).rstrip(".")
    return UserError(f"A shard of {images} cannot be read ({reason}); run the ingest step again.")


def _encoded(images: str | Path, image_ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
    try:
        yield from read_images(images, image_ids)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(images, error) from None


def _search(images: str | Path, image_ids: Sequence[str], originals: Ints) -> tuple[list[Found], int]:
    """The pairs that show the same thing, and the number of images without features."""
    with one_thread_each():
        features = _detect(images, image_ids)
        overlays = _lay(features, shortlist(features, originals))
        shapes, featureless = features.shapes, int((features.counts == 0).sum())
        del features  # gives its room to the gray images
        return _confirm(images, image_ids, shapes, overlays), featureless


def _detect(images: str | Path, image_ids: Sequence[str]) -> FeatureStore:
    """The features of all images, numbered in the order of `image_ids`, whatever that of the shards."""
    numbers = {image_id: number for number, image_id in enumerate(image_ids)}
    store = FeatureStore(len(numbers))

    def one(item: tuple[str, bytes]) -> tuple[int, Gray, Features]:
        gray = decode_to_match(item[1], item[0])
        return numbers[item[0]], gray, detect(gray)

    found = map_on_all_cores(one, _encoded(images, image_ids))
    for number, gray, features in _reported(found, len(numbers)):
        store.put(number, gray, features)
    return store


def _reported(items: Iterable[T], total: int) -> Iterator[T]:
    """Report progress as items come by."""
    reported = 0.0
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - reported > 0.2 or done == total:
            reported = time.monotonic()
            report("progress", done=done, total=total)


def _lay(features: FeatureStore, candidates: Ints) -> list[tuple[Pair, Overlay]]:
    """The candidates whose features fit on each other, in their order."""

    def one(candidate: Ints) -> tuple[Pair, Overlay] | None:
        first, second, mirrored = candidate.tolist()
        overlay = lay(features[first], features[second], bool(mirrored))
        return overlay and ((first, second, bool(mirrored)), overlay)

    return list(filter(None, _reported(map_on_all_cores(one, candidates), len(candidates))))


def _confirm(
    images: str | Path, image_ids: Sequence[str], shapes: Ints, overlays: Sequence[tuple[Pair, Overlay]]
) -> list[Found]:
    """The pairs whose pixels agree, too, each once, by whichever of its two senses fits better."""
    wanted = sorted({image for (first, second, _), _ in overlays for image in (first, second)})
    numbers = {image_ids[image]: image for image in wanted}

    def gray(item: tuple[str, bytes]) -> tuple[int, Gray]:
        return numbers[item[0]], decode_to_match(item[1], item[0])

    grays = GrayStore(wanted, shapes, map_on_all_cores(gray, _encoded(images, numbers)))

    def one(laid: tuple[Pair, Overlay]) -> Found | None:
        (first, second, mirrored), overlay = laid
        alignment = confirm(overlay, grays[first], grays[second])
        return alignment and Found(first, second, mirrored, alignment)

    best: dict[tuple[int, int], Found] = {}
    for found in filter(None, map_on_all_cores(one, overlays)):
        pair = found.one, found.other
        if pair not in best or found.score > best[pair].score:
            best[pair] = found
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
