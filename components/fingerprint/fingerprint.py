"""A digest of everything that comes from outside: the same digest means the same data.

KFP caches by parameter values, so "same folder, new images" would be served stale for ever. This
step is never cached; what follows takes its digest as a parameter and is reused exactly when it may be.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from lesionflow import storage
from lesionflow.data.entry import Entry
from lesionflow.data.image_kind import ENDINGS_TEXT
from lesionflow.data.metadata import NoMetadata, find_metadata
from lesionflow.data.source import Source, entry_digest, open_source
from lesionflow.errors import UserError
from lesionflow.runtime.progress import report
from lesionflow.taxonomy import HAM10000, Taxonomy, load_taxonomy

_THREADS = 8  # waiting for the disk, mostly; CRC-32 releases the interpreter's lock


def fingerprint(
    source: str,
    weights: str = "imagenet",
    duplicate_pairs: str = "",
    fixed_test: str = "",
    taxonomy: str = "ham10000",
) -> str:
    """Digest the source and the other external inputs, without decoding an image.

    Counted are the metadata's content and every image's relative name, size and checksum (from the
    zip's directory or the object store where they have it), not times: a copy is the same data.

    Args:
        source: folder, or gs:// or s3:// prefix, with images and metadata.
        weights: `imagenet`, `none`, or the path, gs:// or s3:// URI of a weights file.
        duplicate_pairs: optional CSV, path, gs:// or s3:// URI.
        fixed_test: optional CSV, path, gs:// or s3:// URI.
        taxonomy: of the classes, as `load_taxonomy` understands it.

    Returns:
        SHA-256, hexadecimal.

    Raises:
        UserError: something is not there or cannot be used.
    """
    inputs = {
        "weights": weights if weights in ("imagenet", "none") else _file(weights, "starting weights"),
        "duplicate_pairs": _file(duplicate_pairs, "list of duplicate pairs") if duplicate_pairs else "",
        "fixed_test": _file(fixed_test, "fixed test list") if fixed_test else "",
    }
    classes = load_taxonomy(taxonomy)
    if classes != HAM10000:
        inputs["taxonomy"] = classes.text()
    found = open_source(source)
    if not found.images and not found.zips:
        raise UserError(f"{source} holds no images; expected files ending in {ENDINGS_TEXT}, or zips of them.")
    with ThreadPoolExecutor(_THREADS) as pool:
        listing = [
            (entry.name, entry.size, digest)
            for entry, digest in zip(
                _listed(found), pool.map(partial(entry_digest, found), _listed(found)), strict=True
            )
        ]
    content = {"inputs": inputs, "metadata": _metadata(found, classes), "images": listing, "synthetic": found.synthetic}
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    report("headline", text=f"{len(found.images) or len(found.zips):,} files, {digest[:12]}")
    return digest


def _listed(source: Source) -> tuple[Entry, ...]:
    """Images and, in a bucket, the zips as a whole: looking into them there would mean fetching them."""
    return (*source.images, *source.zips) if source.root.is_remote else source.images


def _metadata(source: Source, taxonomy: Taxonomy) -> list[str]:
    """Digests of the metadata files' contents.

    Raises:
        UserError: there is no metadata, or it lacks columns.
    """
    try:
        metadata = find_metadata(source, taxonomy)
    except NoMetadata:
        if source.root.is_remote and source.zips:
            return []  # it may lie in a zip, whose checksum counts already
        raise
    tables = [metadata.table, *([metadata.companion] if metadata.companion else [])]
    return [hashlib.sha256(table.data).hexdigest() for table in tables]


def _file(uri: str, what: str) -> str:
    """Digest of the content of one input file.

    Raises:
        UserError: there is none.
    """
    try:
        return hashlib.sha256(storage.read_bytes(uri)).hexdigest()
    except UserError as error:
        raise UserError(f"The {what} cannot be read: {error}") from None
