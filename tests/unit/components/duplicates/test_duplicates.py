"""Near-duplicates by content: copies are found however they were changed, and nothing else is."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from lesionflow.artifacts.images import SCHEMA, shard_name
from lesionflow.components.duplicates.component import duplicates
from lesionflow.components.duplicates.duplicates import COLUMNS, find_duplicates
from lesionflow.data.near_duplicates.alignment import CORRELATION, Overlay, compare, confirm
from lesionflow.data.near_duplicates.features import Features, detect
from lesionflow.data.pixel_store import VARIABLE
from lesionflow.data.splitting.lists import read_found_pairs
from lesionflow.errors import UserError

Pixels = NDArray[np.uint8]


def lesion(seed: int) -> Pixels:
    """Skin-like: a dark blob with irregular texture on a mottled ground, 200x150 RGB."""
    random = np.random.default_rng(seed)
    mottled = sum(
        cv2.GaussianBlur(random.normal(0, 1, (150, 200)), (0, 0), sigma) * sigma * weight
        for sigma, weight in ((1.5, 14), (4, 14), (9, 9))
    )
    y, x = np.mgrid[:150, :200]
    radius = np.hypot((x - random.uniform(80, 120)) / random.uniform(30, 50), (y - random.uniform(60, 90)) / 30)
    gray = 170 + mottled - 70 / (1 + np.exp(8 * (radius - 1)))
    return np.clip(gray[..., None] + np.array([20, -10, -15]), 0, 255).astype(np.uint8)


def turned(pixels: Pixels, angle: float, zoom: float = 1.0) -> Pixels:
    matrix = cv2.getRotationMatrix2D((100, 75), angle, zoom)
    return np.asarray(cv2.warpAffine(pixels, matrix, (200, 150), borderMode=cv2.BORDER_REFLECT), np.uint8)


def encoded(pixels: Pixels, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_images(
    folder: Path,
    images: Mapping[str, bytes],
    same_lesion: Mapping[str, str] | None = None,
    same_content: Mapping[str, str] | None = None,
) -> Path:
    """An images artifact of two shards, in the order given.

    An image has a lesion and a digest of its own unless told otherwise.
    """
    folder.mkdir()
    rows: list[dict[str, Any]] = [
        {
            "image": {"bytes": content, "path": f"{name}.jpg"},
            "image_id": name,
            "lesion_id": (same_lesion or {}).get(name, f"L{name}"),
            "dx": "mel" if name.endswith("m") else "nv",
            "width": 200,
            "height": 150,
            "sha256": (same_content or {}).get(name, name),
        }
        for name, content in images.items()
    ]
    half = len(rows) // 2
    for index, part in enumerate((rows[:half], rows[half:])):
        pq.write_table(pa.Table.from_pylist(part, schema=SCHEMA), folder / shard_name(index, 2))
    return folder


def search(folder: Path, images: Path) -> tuple[dict[str, Any], pd.DataFrame, str]:
    metrics = find_duplicates(images, folder / "pairs.csv", folder / "sheet.html")
    return metrics, pd.read_csv(folder / "pairs.csv"), (folder / "sheet.html").read_text()


def pairs_of(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["image_id_1"], table["image_id_2"], strict=True))


STRANGERS = {f"s{number:02d}": encoded(lesion(100 + number)) for number in range(20)}
COPIES = {
    "rotated": lambda pixels: encoded(turned(pixels, 70)),
    "upside down and smaller": lambda pixels: encoded(turned(pixels, 180, 0.7)),
    "zoomed": lambda pixels: encoded(turned(pixels, -20, 1.5)),
    "mirrored": lambda pixels: encoded(np.ascontiguousarray(pixels[:, ::-1])),
    "mirrored and turned": lambda pixels: encoded(turned(np.ascontiguousarray(pixels[::-1]), 33)),
    "re-encoded": lambda pixels: encoded(pixels, 40),
    "enlarged": lambda pixels: encoded(np.asarray(cv2.resize(pixels, (600, 450)), np.uint8)),
    "lit otherwise": lambda pixels: encoded((pixels * 0.6 + 30).astype(np.uint8)),
    "cropped": lambda pixels: encoded(np.ascontiguousarray(pixels[20:140, 30:190])),
    "identical": lambda pixels: encoded(pixels),
}


@pytest.fixture(scope="module")
def all_copies(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], pd.DataFrame, str]:
    """A search among twenty strangers, and ten pictures with a changed copy of each."""
    folder = tmp_path_factory.mktemp("copies")
    images = dict(STRANGERS)
    for number, change in enumerate(COPIES.values()):
        images[f"a{number}"] = encoded(lesion(number))
        images[f"b{number}"] = change(lesion(number))
    return search(folder, write_images(folder / "images", images))


@pytest.mark.parametrize("number", range(len(COPIES)), ids=list(COPIES))
def test_a_changed_copy_is_found(all_copies: tuple[dict[str, Any], pd.DataFrame, str], number: int):
    _, table, _ = all_copies
    row = table[table["image_id_1"] == f"a{number}"].iloc[0]
    assert row["image_id_2"] == f"b{number}"
    assert row["mirrored"] == ("mirrored" in list(COPIES)[number])
    assert row["correlation"] > 0.6
    assert (row["lesion_id_1"], row["lesion_id_2"]) == (f"La{number}", f"Lb{number}")


def test_unrelated_images_are_not_found(all_copies: tuple[dict[str, Any], pd.DataFrame, str]):
    metrics, table, _ = all_copies
    assert pairs_of(table) == {(f"a{number}", f"b{number}") for number in range(len(COPIES))}
    assert metrics["pairs"] == len(COPIES)
    assert metrics["mirrored"] == 2
    assert metrics["same_lesion_pairs"] == 0


def test_the_surest_pair_comes_first_and_the_table_is_as_documented(
    all_copies: tuple[dict[str, Any], pd.DataFrame, str],
):
    _, table, _ = all_copies
    assert tuple(table.columns) == COLUMNS
    assert table["score"].is_monotonic_decreasing


def test_the_sheet_shows_every_pair_without_network(all_copies: tuple[dict[str, Any], pd.DataFrame, str]):
    _, table, page = all_copies
    assert page.count('<img src="data:image/jpeg;base64,') == 3 * len(table)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    for name in (*table["image_id_1"], *table["image_id_2"], *table["lesion_id_1"], *table["lesion_id_2"]):
        assert name in page


def test_features_that_agree_do_not_suffice_where_pixels_do_not():
    one, other = (np.asarray(cv2.cvtColor(lesion(seed), cv2.COLOR_RGB2GRAY), np.uint8) for seed in (1, 2))
    whole = np.eye(2, 3)
    assert confirm(Overlay(9, whole), one, other) is None
    found = confirm(Overlay(9, whole), one, one)
    assert found is not None
    assert (found.inliers, found.correlation, found.overlap) == (9, pytest.approx(1), pytest.approx(1, abs=0.01))
    corner = np.array([[1.0, 0, 110], [0, 1, 85]])  # all that they share is a fifth less a little
    shifted = other.copy()
    shifted[85:, 110:] = one[:65, :90]
    assert compare(one, shifted, corner)[0] > CORRELATION
    assert confirm(Overlay(9, corner), one, shifted) is None


def test_dark_corners_a_ruler_and_hairs_make_no_pair(tmp_path: Path):
    corners = np.hypot(*(np.mgrid[:150, :200] - np.array([75, 100])[:, None, None])) > 95
    images: dict[str, bytes] = {}
    for number in range(8):
        pixels = lesion(200 + number)
        pixels[corners] = 5
        pixels[120:124, ::8] = pixels[112:124, ::40] = 20
        random = np.random.default_rng(number)
        for _ in range(12):
            start, end = random.integers(0, (200, 150), (2, 2)).tolist()
            cv2.line(pixels, start, end, (40, 25, 20), 1, cv2.LINE_AA)
        images[f"i{number}"] = encoded(pixels)
    metrics, _, page = search(tmp_path, write_images(tmp_path / "images", images))
    assert metrics["pairs"] == 0
    assert "No pair found" in page


@pytest.mark.slow
def test_order_number_of_threads_and_memory_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """The last search has files instead of memory, and room for few features and distances at a time."""
    images = {
        **STRANGERS,
        "a": encoded(lesion(1)),
        "b": encoded(turned(lesion(1), 50)),
        "c": encoded(lesion(2)[:, ::-1]),
    }
    images["d"] = encoded(turned(lesion(2), 10, 1.2))
    monkeypatch.setattr("lesionflow.data.near_duplicates.shortlist._PER_CELL", 300)
    contents: list[tuple[bytes, bytes]] = []
    for turn, threads in enumerate((1, 4, 2)):
        for module in ("features", "shortlist"):
            monkeypatch.setattr(f"lesionflow.data.near_duplicates.{module}.cpu_count", lambda threads=threads: threads)
        if turn == 2:
            assert "in a file" not in capfd.readouterr().out
            monkeypatch.setenv(VARIABLE, "1000")
            monkeypatch.setattr("lesionflow.data.near_duplicates.shortlist._IN_MEMORY", 1500)
            monkeypatch.setattr("lesionflow.data.near_duplicates.shortlist._COMPARED", 2**13)
            monkeypatch.setattr("lesionflow.data.near_duplicates.store._AT_ONCE", 100)
            monkeypatch.setattr("lesionflow.data.near_duplicates.votes._UNSORTED", 50)
        folder = tmp_path / str(turn)
        folder.mkdir()
        names = sorted(images, reverse=bool(turn))
        search(folder, write_images(folder / "images", {name: images[name] for name in names}))
        contents.append(((folder / "pairs.csv").read_bytes(), (folder / "sheet.html").read_bytes()))
    out = capfd.readouterr().out
    assert "Features of 24 images" in out
    assert "gray images" in out
    assert b"a,b," in contents[0][0]
    assert b"c,d," in contents[0][0]
    assert contents[0] == contents[1] == contents[2]


def test_without_room_for_the_features_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "1000")
    monkeypatch.setattr("lesionflow.data.pixel_store._MOST_OF_DISK", 0)
    artifact = write_images(tmp_path / "images", STRANGERS)
    with pytest.raises(UserError, match=r"^The features of 20 images need 1\.3 MB, .* a larger disk\.$"):
        search(tmp_path, artifact)


def test_of_exact_copies_one_is_looked_at_and_no_pair_is_listed(tmp_path: Path):
    images = {
        **STRANGERS,
        "b": encoded(turned(lesion(1), 50)),
        **{f"a{number}": encoded(lesion(1)) for number in range(4)},
    }
    contents = {f"a{number}": "a" for number in range(4)}
    metrics, table, page = search(tmp_path, write_images(tmp_path / "images", images, same_content=contents))
    assert pairs_of(table) == {("a0", "b")}
    assert (metrics["images"], metrics["copies"]) == (25, 3)
    assert "3 of the 25 images are exact copies" in page


def test_pairs_of_one_lesion_are_counted_and_not_listed(tmp_path: Path):
    images = {**STRANGERS, "a": encoded(lesion(1)), "b": encoded(turned(lesion(1), 50)), "c": encoded(lesion(2))}
    artifact = write_images(tmp_path / "images", images, {"a": "L", "b": "L", "c": "L"})
    metrics, table, page = search(tmp_path, artifact)
    assert len(table) == 0
    assert (metrics["same_lesion_pairs"], metrics["same_lesion_pairs_found"]) == (3, 1)
    assert "33%" in page
    assert read_found_pairs(tmp_path / "pairs.csv", set(images)) == []


def test_labels_that_disagree_are_marked(tmp_path: Path):
    images = {**STRANGERS, "a": encoded(lesion(1)), "b-m": encoded(turned(lesion(1), 50))}
    metrics, table, page = search(tmp_path, write_images(tmp_path / "images", images))
    assert metrics["labels_disagree"] == 1
    assert "Labels disagree" in page
    assert set(table[["dx_1", "dx_2"]].iloc[0]) == {"nv", "mel"}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_images_without_any_feature_do_no_harm(tmp_path: Path, count: int):
    images = {f"i{number}": encoded(np.full((150, 200, 3), 90 + number, np.uint8)) for number in range(count)}
    metrics, table, _ = search(tmp_path, write_images(tmp_path / "images", images))
    assert len(table) == 0
    assert metrics["images_without_features"] == count


def test_an_image_without_any_feature_beside_others_does_no_harm(tmp_path: Path):
    images = {**STRANGERS, "a": encoded(lesion(1)), "b": encoded(turned(lesion(1), 50))}
    images["z"] = encoded(np.zeros((150, 200, 3), np.uint8))
    metrics, table, _ = search(tmp_path, write_images(tmp_path / "images", images))
    assert pairs_of(table) == {("a", "b")}
    assert metrics["images_without_features"] == 1


@pytest.mark.parametrize("content", [b"no image", b"", STRANGERS["s00"][:100]])
def test_a_damaged_image_is_one_sentence(tmp_path: Path, content: bytes):
    artifact = write_images(tmp_path / "images", {"a": STRANGERS["s00"], "bad": content})
    sentence = r"The image bad cannot be decoded \((not an image|damaged image): .*\); run the ingest step again"
    with pytest.raises(UserError, match=sentence):
        search(tmp_path, artifact)


def test_a_damaged_shard_is_one_sentence_and_leaves_nothing_behind(tmp_path: Path):
    artifact = write_images(tmp_path / "images", STRANGERS)
    shard = artifact / shard_name(1, 2)
    content = shard.read_bytes()
    for damaged in (content[: len(content) // 2], b"", content[:200] + bytes(2000) + content[2200:]):
        shard.write_bytes(damaged)
        with pytest.raises(UserError) as caught:
            search(tmp_path, artifact)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "pairs.csv").exists()
    assert not (tmp_path / "sheet.html").exists()


def test_mirrored_features_are_those_of_the_mirror_image():
    pixels = np.asarray(cv2.cvtColor(lesion(3), cv2.COLOR_RGB2GRAY), np.uint8)
    computed, found = detect(pixels).mirrored(), detect(np.ascontiguousarray(pixels[:, ::-1]))
    matched = [_distance(computed, row, found) for row in range(50)]
    assert np.median(matched) < 60  # of descriptors whose length is 512


def _distance(computed: Features, row: int, found: Features) -> float:
    """Between a feature's descriptor and that of the one at the same place, with the same direction."""
    near = np.hypot(*(found.points[:, :2] - computed.points[row, :2]).T)
    direction = np.abs((found.points[:, 3] - computed.points[row, 3] + 180) % 360 - 180)
    best = np.argmin(near + direction)
    return float(np.linalg.norm(computed.descriptors[row].astype(float) - found.descriptors[best].astype(float)))


def test_the_adapter_writes_both_artifacts_and_their_metrics(tmp_path: Path):
    class Artifact:
        """Stands in for kfp's, of which only these are used."""

        def __init__(self, name: str) -> None:
            self.path = str(tmp_path / name)
            self.metadata: dict[str, Any] = {}

    images, pairs, sheet = Artifact("images"), Artifact("pairs"), Artifact("sheet")
    write_images(tmp_path / "images", {**STRANGERS, "a": encoded(lesion(1)), "b": encoded(turned(lesion(1), 50))})
    duplicates.python_func(images=images, pairs=pairs, sheet=sheet)
    assert pairs.metadata["pairs"] == sheet.metadata["pairs"] == 1
    assert read_found_pairs(pairs.path, {"a", "b"}) == [("a", "b")]
    with pytest.raises(UserError, match="not among the 1 images"):
        read_found_pairs(pairs.path, {"a"})
