"""What ingest writes, from every layout in which the data set is found."""

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from lesionflow import storage
from lesionflow.artifacts.images import read_images
from lesionflow.components.ingest import convert

METADATA = "HAM10000_metadata.csv"


def zip_images(folder: Path, target: Path, prefix: str = "") -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.glob("*.jpg")):
            archive.write(path, prefix + path.name)


def dataverse(source: Path, target: Path) -> None:
    """Two zips beside a tab-separated table without an extension, its cells quoted."""
    half = sorted(source.glob("*.jpg"))[:20]
    with zipfile.ZipFile(target / "HAM10000_images_part_1.zip", "w") as archive:
        for path in half:
            archive.write(path, path.name)
    with zipfile.ZipFile(target / "HAM10000_images_part_2.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in set(source.glob("*.jpg")) - set(half):
            archive.write(path, path.name)
        archive.writestr("__MACOSX/._ISIC_0000001.jpg", b"resource fork")
    lines = (source / METADATA).read_text().splitlines()
    quoted = ["\t".join(f'"{cell}"' for cell in line.split(",")) for line in lines]
    (target / "HAM10000_metadata").write_text("\r\n".join(quoted))


def kaggle(source: Path, target: Path) -> None:
    """Folders and their lower-case duplicates, a table of pixels beside the metadata."""
    for name in ("HAM10000_images_part_1", "ham10000_images_part_1"):
        shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("*.csv"))
    shutil.copy(source / METADATA, target)
    (target / "hmnist_8_8_L.csv").write_text("pixel0000,pixel0001,label\n1,2,3\n")


def nested(source: Path, target: Path) -> None:
    """Any depth, extensions in other spellings, segmentation masks, metadata as .tab."""
    for index, path in enumerate(sorted(source.glob("*.jpg"))):
        folder = target / "data" / str(index % 3) / "images"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / f"{path.stem}{('.jpg', '.jpeg', '.JPG')[index % 3]}")
        shutil.copy(path, folder / f"{path.stem}_segmentation.png")
    (target / "data" / "HAM10000_metadata.tab").write_text((source / METADATA).read_text().replace(",", "\t"))


def one_zip(source: Path, target: Path) -> None:
    """Everything in one archive, as Kaggle hands it out."""
    with zipfile.ZipFile(target / "archive.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"skin/{path.name}")


def challenge(source: Path, target: Path) -> None:
    """The ISIC challenge: one-hot ground truth beside lesion groupings."""
    table = pd.read_csv(source / METADATA)
    labels = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    truth = pd.DataFrame({"image": table["image_id"]})
    for label in labels:
        truth[label] = (table["dx"] == label.lower()).astype(float)
    truth.to_csv(target / "ISIC2018_Task3_Training_GroundTruth.csv", index=False)
    groupings = table.rename(columns={"image_id": "image", "dx_type": "diagnosis_confirm_type"})
    groupings = groupings[["image", "lesion_id", "diagnosis_confirm_type"]]
    groupings.to_csv(target / "ISIC2018_Task3_Training_LesionGroupings.csv", index=False)
    zip_images(source, target / "ISIC2018_Task3_Training_Input.zip", "ISIC2018_Task3_Training_Input/")


@pytest.mark.parametrize("layout", [dataverse, kaggle, nested, one_zip, challenge])
def test_every_layout_gives_the_same_images_rows_and_lesions(
    small_source: Path, tmp_path: Path, run_ingest: Callable[..., Any], layout: Callable[[Path, Path], None]
) -> None:
    target = tmp_path / "layout"
    target.mkdir()
    layout(small_source, target)
    result, flat = run_ingest(target), run_ingest(small_source)
    columns = ["image_id", "lesion_id", "dx", "dx_type", "width", "height", "sha256"]
    pd.testing.assert_frame_equal(result.table[columns], flat.table[columns])
    assert len(result.table) == 40
    assert result.quarantine.empty
    assert result.card["warnings"] == []
    assert result.card["merged_duplicates"] == (40 if layout is kaggle else 0)
    assert result.card["masks_left_aside"] == (40 if layout is nested else 0)


def test_a_bucket_gives_the_same_bytes_as_the_folder(
    small_source: Path, bucket: str, tmp_path: Path, run_ingest: Callable[..., Any]
) -> None:
    layout = tmp_path / "layout"
    layout.mkdir()
    dataverse(small_source, layout)
    storage.upload_folder(layout, f"{bucket}/ham")
    storage.write_bytes(f"{bucket}/ham/huge-checkpoint.bin", b"not fetched")
    local, remote = run_ingest(layout), run_ingest(f"{bucket}/ham")
    not_used = {"passed_over": {".bin file": 1, "hidden file": 1}}
    assert remote.card == {**local.card, "source": f"{bucket}/ham", **not_used}
    for shard in local.folder.glob("*.parquet"):
        assert (remote.folder / shard.name).read_bytes() == shard.read_bytes()


def test_the_result_does_not_depend_on_the_number_of_cores(
    small_source: Path, run_ingest: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = run_ingest(small_source, stored_size=32)
    monkeypatch.setattr(convert, "cpu_count", lambda: 1)
    one = run_ingest(small_source, stored_size=32)
    names = sorted(path.name for path in one.folder.iterdir())
    assert names == sorted(path.name for path in several.folder.iterdir())
    for name in names:
        assert (one.folder / name).read_bytes() == (several.folder / name).read_bytes()


def test_small_images_are_kept_byte_for_byte_and_large_ones_shrink_to_the_shorter_side(
    small_source: Path, run_ingest: Callable[..., Any]
) -> None:
    ids = [path.stem for path in small_source.glob("*.jpg")]
    kept = run_ingest(small_source, stored_size=45)
    for image_id, encoded in read_images(kept.folder, ids):
        assert encoded == (small_source / f"{image_id}.jpg").read_bytes()
    shrunk = run_ingest(small_source, stored_size=32)
    assert set(zip(shrunk.table["width"], shrunk.table["height"], strict=True)) == {(43, 32)}
    for image_id, encoded in read_images(shrunk.folder, ids):
        with Image.open(io.BytesIO(encoded)) as stored, Image.open(small_source / f"{image_id}.jpg") as original:
            assert stored.size == (43, 32)
            difference = np.asarray(stored, float) - np.asarray(original.resize((43, 32)), float)
            assert np.abs(difference).mean() < 4
    # The digest is of the original, whatever the stored size.
    assert kept.table["sha256"].tolist() == shrunk.table["sha256"].tolist()


def test_the_digest_is_of_the_originals_pixels_and_shape(small_source: Path, run_ingest: Callable[..., Any]) -> None:
    with Image.open(small_source / "ISIC_0000000.jpg") as image:
        image.save(small_source / "ISIC_0000001.png")
        expected = hashlib.sha256(b"60x45" + image.convert("RGB").tobytes()).hexdigest()
    (small_source / "ISIC_0000001.jpg").unlink()
    result = run_ingest(small_source, stored_size=32)
    assert result.table["sha256"].tolist()[:2] == [expected, expected]
    assert result.card["identical_images"] == 1
    assert result.card["warnings"] == ["Groups of identical images with different diagnoses: 1."]


def test_shards_carry_what_hugging_face_needs_to_decode_images(
    small_source: Path, run_ingest: Callable[..., Any]
) -> None:
    result = run_ingest(small_source)
    (shard,) = result.folder.glob("*.parquet")
    assert shard.name == "images-00000-of-00001.parquet"
    schema = pq.read_schema(shard)
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["image"] == {"_type": "Image"}
    assert features["age"] == {"_type": "Value", "dtype": "float32"}
    first = pq.read_table(shard).slice(0, 1).to_pylist()[0]
    assert first["image"]["path"] == "ISIC_0000000.jpg"
    assert first["dataset"] is None


def test_unusable_items_go_to_quarantine_with_the_reason(small_source: Path, run_ingest: Callable[..., Any]) -> None:
    shutil.copy(small_source / "ISIC_0000005.jpg", small_source / "ISIC_7777777.jpg")
    (small_source / "ISIC_0000001.jpg").unlink()
    (small_source / "ISIC_0000002.jpg").write_bytes(b"GIF89a this is no JPEG")
    whole = (small_source / "ISIC_0000003.jpg").read_bytes()
    (small_source / "ISIC_0000003.jpg").write_bytes(whole[: len(whole) // 2])
    (small_source / "copy").mkdir()
    shutil.copy(small_source / "ISIC_0000005.jpg", small_source / "copy" / "ISIC_0000004.jpg")
    with (small_source / METADATA).open("a") as file:
        file.write("HAM_1,ISIC_0000006,nv,histo,50,male,back\nHAM_1,ISIC_8888888,scc,histo,50,male,back\n")
    result = run_ingest(small_source, max_quarantine=0.2)
    reasons = dict(zip(result.quarantine["item"], result.quarantine["reason"], strict=True))
    assert {item: reason.partition(":")[0] for item, reason in reasons.items()} == {
        "ISIC_7777777": "image without a row",
        "ISIC_0000001": "row without an image",
        "ISIC_0000002": "format not read",
        "ISIC_0000003": "damaged image",
        "ISIC_0000004": "conflicting images",
        "ISIC_0000006": "duplicate id",
        "ISIC_8888888": "unknown label",
    }
    assert reasons["ISIC_0000002"].startswith("format not read: GIF; expected one of JPEG, PNG")
    assert "truncated" in reasons["ISIC_0000003"]
    assert not set(reasons) & set(result.table["image_id"])
    assert len(result.table) == 40 - 5
    assert result.card["quarantined"]["damaged image"] == result.card["quarantined"]["format not read"] == 1
    assert result.metrics["quarantined"] == len(result.quarantine) == 8  # both rows of the disputed id
    assert "conflicting images" in result.page


def test_a_table_without_lesions_is_a_loud_warning(
    small_source: Path, tmp_path: Path, run_ingest: Callable[..., Any]
) -> None:
    target = tmp_path / "layout"
    target.mkdir()
    challenge(small_source, target)
    (target / "ISIC2018_Task3_Training_LesionGroupings.csv").unlink()
    result = run_ingest(target)
    assert result.table["lesion_id"].tolist() == result.table["image_id"].tolist()
    (warning,) = result.card["warnings"]
    assert "says nothing about lesions" in warning
    assert "says nothing about lesions" in result.page


def test_the_card_tells_synthetic_from_real(small_source: Path, run_ingest: Callable[..., Any]) -> None:
    real = run_ingest(small_source)
    assert not real.card["synthetic"]
    assert "CC BY-NC 4.0" in real.card["licence"]
    assert "Tschandl" in real.page
    (small_source / "SYNTHETIC.txt").write_text("not real, and a comma\n")
    synthetic = run_ingest(small_source)
    assert synthetic.metrics["synthetic"] is True
    assert "Apache-2.0" in synthetic.card["licence"]
    assert "Synthetic data" in synthetic.page


def test_the_card_counts_and_escapes(small_source: Path, run_ingest: Callable[..., Any]) -> None:
    odd = small_source.rename(small_source.with_name("<b>source"))
    table = (odd / METADATA).read_text().replace(",40.0,female,back", ",,unknown,")
    (odd / METADATA).write_text(table)
    result = run_ingest(odd)
    assert (result.card["images"], result.card["lesions"]) == (40, 30)
    assert result.card["images_per_lesion"] == {"1": 20, "2": 10}
    assert result.card["missing"] == {"dx_type": 0, "age": 2, "sex": 2, "localization": 2}
    assert result.card["original_sizes"] == {"60x45": 40}
    assert sum(count["images"] for count in result.card["counts"].values()) == 40
    assert "<b>source" not in result.page
    assert "&lt;b&gt;source" in result.page


def test_a_data_hub_finds_the_shards_and_the_metrics_in_the_markdown_card(
    small_source: Path, run_ingest: Callable[..., Any]
) -> None:
    odd = small_source.with_name("a|b `c` <b>source")
    small_source.rename(odd)
    result = run_ingest(odd)

    _, head, body = (result.folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)

    metadata = yaml.safe_load(head)
    assert metadata["license"] == "cc-by-nc-4.0"
    assert metadata["size_categories"] == ["n<1K"]
    (files,) = metadata["configs"][0]["data_files"]
    assert sorted(result.folder.glob(files["path"])) == sorted(result.folder.glob("*.parquet"))
    for dx, count in result.card["counts"].items():
        assert re.search(rf"^\| {dx} \| .* \| {count['images']} \| {count['lesions']} \|$", body, re.MULTILINE)
    for name, number in result.card["missing"].items():
        assert f"| {name} | {number} |" in body
    assert "`" + str(odd).replace("|", "\\|").replace("`", "'").replace("<", "&lt;") + "`" in body
    assert "To be stated by whoever collected the images" in body
    assert "Tschandl" in body


def test_real_data_is_read_whole(real_data: Path, run_ingest: Callable[..., Any]) -> None:
    result = run_ingest(real_data / "ham10000-200x150")
    assert result.quarantine.empty
    assert len(result.table) == 10_015
    assert result.table["lesion_id"].nunique() == 7_470
    assert result.metrics["counts"] == {
        "akiec": 327, "bcc": 514, "bkl": 1099, "df": 115, "mel": 1113, "nv": 6705, "vasc": 142,
    }  # fmt: skip
    assert result.card["images_per_lesion"] == {"1": 5514, "2": 1423, "3": 490, "4": 34, "5": 5, "6": 4}
    assert len(list(result.folder.glob("*.parquet"))) == 8
