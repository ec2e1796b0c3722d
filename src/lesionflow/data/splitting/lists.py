"""The lists that steer a split: pairs of duplicate images, a person's or found, and a fixed test set."""

import csv
import re
from collections.abc import Set
from pathlib import Path

from lesionflow.errors import UserError
from lesionflow.storage import read_bytes

_PAIR_COLUMNS = ["image_id_1", "image_id_2"]


def read_pairs(uri: str, known: Set[str]) -> list[tuple[str, str]]:
    """Read pairs of images that show the same thing.

    Args:
        uri: a CSV, local, gs:// or s3://, with columns image_id_1 and image_id_2, or with the ids in its
            first two columns, with or without a header.
        known: ids of all images.

    Raises:
        UserError: the file cannot be read, is empty or names an image that is not known.
    """
    rows = _read_rows(uri)
    _, header = rows[0]
    first, second = 0, 1
    if set(_PAIR_COLUMNS) <= set(header):
        first, second = (header.index(name) for name in _PAIR_COLUMNS)
        rows = rows[1:]
    elif not any(_looks_like_an_id(cell, known) for cell in header[:2]):
        rows = rows[1:]
    pairs: list[tuple[str, str]] = []
    for line, row in rows:
        if len(row) <= max(first, second):
            raise UserError(f"Line {line} of {uri} is {','.join(row)!r}; expected two image ids.")
        pairs.append((_known(row[first], known, uri, line), _known(row[second], known, uri, line)))
    if not pairs:
        raise UserError(f"{uri} holds no pairs; expected two image ids a line, or leave duplicate_pairs empty.")
    return pairs


def read_found_pairs(path: str | Path, known: Set[str]) -> list[tuple[str, str]]:
    """Read the pairs that the duplicates step found; unlike a person's list, this one may hold none.

    Args:
        path: its CSV.
        known: ids of all images.

    Raises:
        UserError: the file cannot be read, has other columns, or names an image that is not known.
    """
    uri = str(path)
    rows = _read_rows(uri)
    if not set(_PAIR_COLUMNS) <= set(rows[0][1]):
        raise UserError(
            f"{uri} has columns {', '.join(rows[0][1])}; expected image_id_1 and image_id_2, as the duplicates step "
            "writes them."
        )
    return read_pairs(uri, known) if rows[1:] else []


def read_ids(uri: str, known: Set[str]) -> set[str]:
    """Read a list of images.

    Args:
        uri: a local, gs:// or s3:// file: a CSV with a column image_id, or one id a line.
        known: ids of all images.

    Raises:
        UserError: the file cannot be read, is empty or names an image that is not known.
    """
    rows = _read_rows(uri)
    _, header = rows[0]
    column = 0
    if "image_id" in header:
        column = header.index("image_id")
        rows = rows[1:]
    elif len(header) > 1:
        raise UserError(f"{uri} has columns {', '.join(header)}; expected a column image_id, or one image id a line.")
    ids: set[str] = set()
    for line, row in rows:
        if len(row) <= column:
            raise UserError(f"Line {line} of {uri} is {','.join(row)!r}; expected an image id in column image_id.")
        ids.add(_known(row[column], known, uri, line))
    if not ids:
        raise UserError(f"{uri} lists no images; expected one image id a line, or leave fixed_test empty.")
    return ids


def _read_rows(uri: str) -> list[tuple[int, list[str]]]:
    """Line numbers, from 1, and stripped cells of all lines that are not blank; at least one."""
    try:
        # utf-8-sig: spreadsheets begin a CSV with a byte order mark.
        text = read_bytes(uri).decode("utf-8-sig")
        reader = csv.reader(text.splitlines(), strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{uri} is not a CSV in UTF-8 ({error}); expected image ids as text.") from None
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        raise UserError(f"{uri} is empty; expected image ids, or leave the option empty.")
    return rows


def _looks_like_an_id(cell: str, known: Set[str]) -> bool:
    """Whether `cell` is an image id or could be a mistyped one: a header must not hide a typing error."""
    return cell in known or _shape(cell) in {_shape(name) for name in known}


def _shape(name: str) -> str:
    return re.sub(r"\d", "0", name)


def _known(image_id: str, known: Set[str], uri: str, line: int) -> str:
    if image_id not in known:
        raise UserError(
            f"Line {line} of {uri} names the image {image_id!r}, which is not among the {len(known):,} images; "
            "correct the id or remove the line."
        )
    return image_id
