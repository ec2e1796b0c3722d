"""The lists of duplicate pairs and of fixed test images, as people write them."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lesionflow.data.splitting.lists import read_ids, read_pairs
from lesionflow.errors import UserError
from lesionflow.storage import write_bytes

KNOWN = {f"ISIC_{number:07d}" for number in range(10)}
A, B, C, D = sorted(KNOWN)[:4]


def given_file(folder: Path, text: str | bytes) -> str:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        f"image_id_1,image_id_2\n{A},{B}\n{C},{D}\n",
        f"distance,image_id_2,image_id_1\n0.1,{B},{A}\n0.2,{D},{C}\n",
        f"first,second,note\n{A},{B},same\n{C},{D},same\n",
        f"image_1,image_2\n{A},{B}\n{C},{D}\n",
        f"{A},{B}\n{C},{D}\n",
        f"\ufeff{A},{B}\r\n\r\n {C} , {D} \r\n",
        f'"{A}","{B}"\n"{C}","{D}"',
    ],
)
def test_pairs_are_understood_with_and_without_a_header(tmp_path: Path, text: str):
    assert read_pairs(given_file(tmp_path, text), KNOWN) == [(A, B), (C, D)]


@pytest.mark.parametrize(
    "text",
    [
        f"image_id\n{A}\n{B}\n",
        f"{A}\n{B}\n",
        f"n,image_id\n1,{B}\n2,{A}\n",
        f"\ufeff{A}\r\n\r\n{B}",
        f"{A}\n{B}\n{A}\n",
    ],
)
def test_test_images_are_understood_as_a_column_or_one_a_line(tmp_path: Path, text: str):
    assert read_ids(given_file(tmp_path, text), KNOWN) == {A, B}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("image_id_1,image_id_2\n", "holds no pairs"),
        (f"{A}\n", "expected two image ids"),
        (f"{A},{B}\n{C},ISIC_0099999\n", "Line 2 .*ISIC_0099999"),
        (f"ISIC_0099999,ISIC_0099998\n{A},{B}\n", "Line 1 .*ISIC_0099999"),
        (f"{A},\n", "Line 1 of"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "not a CSV in UTF-8"),
    ],
)
def test_pairs_that_make_no_sense_are_refused_with_their_line(tmp_path: Path, text: str | bytes, message: str):
    with pytest.raises(UserError, match=message):
        read_pairs(given_file(tmp_path, text), KNOWN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("image_id\n", "lists no images"),
        (f"image\n{A}\n", "Line 1 .*'image'"),
        (f"image,note\n{A},x\n", "expected a column image_id"),
        (f"n,image_id\n1,{A}\n2\n", "Line 3 of"),
        (f"{A}\nISIC_0099999\n", "Line 2 .*ISIC_0099999"),
    ],
)
def test_test_images_that_make_no_sense_are_refused_with_their_line(tmp_path: Path, text: str, message: str):
    with pytest.raises(UserError, match=message):
        read_ids(given_file(tmp_path, text), KNOWN)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))))
def test_no_file_whatever_ends_in_anything_but_known_ids_or_a_user_error(tmp_path: Path, content: bytes):
    uri = given_file(tmp_path, content)
    for read in (read_pairs, read_ids):
        with pytest.raises(UserError):
            read(uri, KNOWN)


def test_lists_are_read_from_a_bucket(gcs: str):
    write_bytes(f"gs://{gcs}/lists/pairs.csv", f"{A},{B}\n".encode())
    assert read_pairs(f"gs://{gcs}/lists/pairs.csv", KNOWN) == [(A, B)]
    with pytest.raises(UserError, match="does not exist"):
        read_ids(f"gs://{gcs}/lists/none.csv", KNOWN)
