"""Bad input is one clear sentence that names what is wrong, and leaves nothing half-written."""

import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lesionflow.components.ingest.ingest import ingest
from lesionflow.errors import UserError

METADATA = "HAM10000_metadata.csv"


@pytest.fixture
def refuses(tmp_path: Path) -> Callable[..., str]:
    """Run ingest, expect a refusal; return its sentence."""

    def refused(source: Path | str, **options: float) -> str:
        out = tmp_path / "out"
        with pytest.raises(UserError) as caught:
            ingest(str(source), "f1", str(out / "images"), str(out / "quarantine"), str(out / "card"), **options)
        assert "\n" not in str(caught.value)
        assert not [path for path in out.rglob("*") if path.is_file()]
        return str(caught.value)

    return refused


def test_a_missing_folder(tmp_path: Path, refuses: Callable[..., str]) -> None:
    assert "nowhere does not exist" in refuses(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path: Path, refuses: Callable[..., str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty is empty; expected images" in refuses(tmp_path / "empty")


def test_no_metadata(small_source: Path, refuses: Callable[..., str]) -> None:
    (small_source / METADATA).unlink()
    (small_source / "README.txt").write_text("Hello, world\n")
    message = refuses(small_source)
    assert message.startswith(f"No metadata table was found in {small_source} (looked at: README.txt)")
    assert "image_id, lesion_id, dx" in message


def test_metadata_without_a_needed_column(small_source: Path, refuses: Callable[..., str]) -> None:
    table = small_source / METADATA
    table.write_text(table.read_text().replace("lesion_id", "patient").replace("dx,", "diagnosis,", 1))
    message = refuses(small_source)
    assert f"{METADATA} in {small_source} has no column lesion_id, dx" in message
    assert "it has patient, image_id, diagnosis" in message


def test_two_metadata_tables(small_source: Path, refuses: Callable[..., str]) -> None:
    (small_source / "older.csv").write_text("image_id,lesion_id,dx\nISIC_0000000,HAM_1,nv\n")
    assert f"several metadata tables ({METADATA}, older.csv)" in refuses(small_source)


def test_metadata_that_is_no_table(small_source: Path, refuses: Callable[..., str]) -> None:
    with (small_source / METADATA).open("a") as file:
        file.write('HAM_1,"ISIC_0000001,nv\n')
    assert f"{METADATA} cannot be read" in refuses(small_source)
    (small_source / METADATA).write_text("lesion_id,image_id,dx\n")
    assert "has a header but no rows" in refuses(small_source)


def test_a_label_that_is_not_of_the_seven(small_source: Path, refuses: Callable[..., str]) -> None:
    table = small_source / METADATA
    table.write_text(table.read_text().replace("ISIC_0000003,df", "ISIC_0000003,scc"))
    message = refuses(small_source)
    assert "1 of 40 rows and images" in message
    assert "1 x unknown label; the first: ISIC_0000003" in message
    assert f"{METADATA}, line 5, unknown label: 'scc' is not one of akiec, bcc" in message


def test_a_jpeg_that_is_not_one(small_source: Path, refuses: Callable[..., str]) -> None:
    (small_source / "ISIC_0000007.jpg").write_text("<html>404 Not Found</html>")
    message = refuses(small_source)
    assert "1 x not an image" in message
    assert "ISIC_0000007.jpg, not an image: its content is not that of any image that is read" in message


def test_images_of_another_data_set(small_source: Path, refuses: Callable[..., str]) -> None:
    for path in small_source.glob("*.jpg"):
        path.rename(path.with_name(f"other-{path.name}"))
    message = refuses(small_source, max_quarantine=1)
    assert "80 of 80" in message
    assert "40 x row without an image, 40 x image without a row" in message


def test_settings_out_of_range(small_source: Path, refuses: Callable[..., str]) -> None:
    assert "stored_size is 0" in refuses(small_source, stored_size=0)
    assert "max_quarantine is 2" in refuses(small_source, max_quarantine=2)


@pytest.mark.timeout(40)
def test_an_unreachable_bucket(refuses: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert "The bucket far of gs://far/ham cannot be reached" in refuses("gs://far/ham")


def zipped(folder: Path, name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)
    return path


def test_a_truncated_zip(small_source: Path, refuses: Callable[..., str]) -> None:
    path = zipped(small_source, "ISIC_0000001.jpg", bytes(10_000))
    path.write_bytes(path.read_bytes()[:5_000])
    assert f"The zip {path} is truncated or damaged" in refuses(small_source)


@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/evil.jpg", "images/../../evil.jpg", "..\\evil.jpg"])
def test_a_zip_with_names_that_lead_out(small_source: Path, refuses: Callable[..., str], name: str) -> None:
    path = zipped(small_source, name, b"x")
    assert f"The member {name} of the zip {path} has a name that leads out of its folder" in refuses(small_source)


def test_a_decompression_bomb(small_source: Path, refuses: Callable[..., str]) -> None:
    path = zipped(small_source, "ISIC_0000001.jpg", bytes(20_000_000), zipfile.ZIP_DEFLATED)
    message = refuses(small_source)
    assert f"ISIC_0000001.jpg of the zip {path} is compressed" in message
    assert "a decompression bomb" in message


def test_a_member_too_large_to_be_an_image(small_source: Path, refuses: Callable[..., str]) -> None:
    zipped(small_source, "ISIC_0000001.jpg", bytes(65 * 2**20), zipfile.ZIP_DEFLATED)
    assert "ISIC_0000001.jpg of the zip" in refuses(small_source)


def test_an_image_that_claims_to_be_enormous(small_source: Path, refuses: Callable[..., str]) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    (small_source / "ISIC_0000004.jpg").unlink()
    (small_source / "ISIC_0000004.png").write_bytes(bomb + chunk(b"IEND", b""))
    assert "ISIC_0000004.png, image too large: 30000x30000 pixels are more than 64,000,000" in refuses(small_source)


def test_a_member_whose_bytes_rotted(small_source: Path, refuses: Callable[..., str]) -> None:
    image = small_source / "ISIC_0000001.jpg"
    path = zipped(small_source, image.name, image.read_bytes())
    image.unlink()
    data = bytearray(path.read_bytes())
    data[400] ^= 0xFF
    path.write_bytes(data)
    assert "images.zip/ISIC_0000001.jpg, unreadable file: Bad CRC-32" in refuses(small_source)


def test_a_member_of_a_zip_whose_lzma_is_damaged_is_quarantined(
    small_source: Path, refuses: Callable[..., str]
) -> None:
    image = small_source / "ISIC_0000001.jpg"
    path = zipped(small_source, image.name, image.read_bytes(), zipfile.ZIP_LZMA)
    image.unlink()
    data = bytearray(path.read_bytes())
    data[80:110] = b"\xff" * 30
    path.write_bytes(data)
    assert "images.zip/ISIC_0000001.jpg, unreadable file: " in refuses(small_source)
