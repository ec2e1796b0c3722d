"""One picture in every format, four ways to ask: largest difference of a probability.

usage: formats.py [--model FOLDER]        FOLDER: a bundle of lesionflow's export step; an untrained one if left out

For each file, `predict` on the picture as RGB PNG is the yardstick of the first column: how much the format itself
changes the answer (a palette and JPEG do, grey is another picture). The others are against `predict` on the very file:
what ingest stores of it, the SavedModel given the bytes, and ONNX given the pixels that predict decodes. A way that
refuses a file says so.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lesionflow.artifacts.model_folder import model_file, read_calibration, write_labels
from lesionflow.components.export.export import export
from lesionflow.components.export.formats import onnx, saved_model
from lesionflow.components.ingest.convert import convert
from lesionflow.data.image_problem import ImageProblem
from lesionflow.data.pixels import decode
from lesionflow.metrics.calibration import scale
from lesionflow.models.loaded_model import load_model
from lesionflow.runtime.files import file_digest, write_json
from lesionflow.taxonomy import HAM10000

Ask = Callable[[bytes], np.ndarray]


def files(picture: Image.Image) -> dict[str, bytes]:
    """The picture in the formats that clinics and telephones write."""
    grey, turned = picture.convert("L"), Image.Exif()
    turned[0x0112] = 6
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    best = {"quality": 98, "subsampling": 0}
    made: list[tuple[str, Image.Image, str, dict[str, Any]]] = [
        ("rgb.png", picture, "PNG", {}),
        ("rgba.png", picture.convert("RGBA"), "PNG", {}),
        ("palette.png", picture.quantize(256), "PNG", {}),
        ("grey8.png", grey, "PNG", {}),
        ("grey16.png", wide, "PNG", {}),
        ("rgb.jpg", picture, "JPEG", best),
        ("progressive.jpg", picture, "JPEG", {**best, "progressive": True}),
        ("cmyk.jpg", picture.convert("CMYK"), "JPEG", best),
        ("exif-rotated.jpg", picture.rotate(90, expand=True), "JPEG", {**best, "exif": turned}),
        ("phone.jpg (MPO)", picture, "MPO", {**best, "save_all": True, "append_images": [grey.convert("RGB")]}),
        ("rgb.tif", picture, "TIFF", {"compression": "tiff_lzw"}),
        ("grey16.tif", wide, "TIFF", {}),
        ("rgb.webp", picture, "WEBP", {"lossless": True}),
        ("rgb.bmp", picture, "BMP", {}),
        ("rgb.jp2", picture, "JPEG2000", {}),
        ("rgb.gif", picture, "GIF", {}),
        ("rgb.avif", picture, "AVIF", {}),
    ]
    return {name: _encoded(image, kind, options) for name, image, kind, options in made}


def _encoded(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    with tempfile.TemporaryFile() as file:
        image.save(file, kind, **options)
        file.seek(0)
        return file.read()


def drawn(width: int, height: int) -> Image.Image:
    """A lesion on skin, without symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    radius = np.hypot((x / width - 0.4) * 2.5, (y / height - 0.55) * 3)[..., None]
    pixels = np.array([222, 176, 150]) + np.array([-120, -110, -90]) / (1 + np.exp(9 * (radius - 0.7)))
    pixels = pixels + 25 * (x / width)[..., None] + np.random.default_rng(0).normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def untrained(folder: Path) -> Path:
    """A bundle whose network was not trained, but prefers one class or another."""
    import keras

    from lesionflow.models.classifier import build_core
    from lesionflow.models.deployable import deployable

    keras.utils.set_random_seed(1)
    core = build_core("tiny", 64, 0.1, 7)
    kernel, bias = core.get_layer("probabilities").get_weights()
    core.get_layer("probabilities").set_weights([kernel * 6, bias])
    model = folder / "model"
    model.mkdir()
    deployable(core, 96, test_time_augmentation=8).save(model / "model.keras")
    write_labels(model, 96, taxonomy=HAM10000)
    write_json(folder / "evaluation", {"model_sha256": file_digest(model_file(model))})
    export(model, folder / "evaluation", folder / "bundle")
    return folder / "bundle"


def doors(bundle: Path) -> dict[str, Ask]:
    """The ways to ask: encoded bytes -> calibrated probabilities."""
    model, calibration = load_model(bundle), read_calibration(bundle)

    def predict(encoded: bytes) -> np.ndarray:
        return scale(model.predict(decode(encoded, model.decode_size)[None]), calibration.temperature)[0]

    def ingest(encoded: bytes) -> np.ndarray:
        stored = convert(encoded, "x.jpg", 256)
        if stored.problem:
            raise ValueError(stored.problem)
        return predict(stored.encoded)

    def served(encoded: bytes) -> np.ndarray:
        asked = {saved_model.BYTES_SIGNATURE: [encoded]}
        return saved_model.ask(bundle / "saved_model", asked)[saved_model.BYTES_SIGNATURE]["probabilities"][0]

    def by_onnx(encoded: bytes) -> np.ndarray:
        pixels = decode(encoded, model.decode_size)[None].astype(np.float32)
        return onnx.ask(bundle / "model.onnx", pixels)[0]

    return {"predict": predict, "ingest": ingest, "SavedModel": served, "ONNX": by_onnx}


def compare(ask: Ask, encoded: bytes, expected: np.ndarray | None) -> str:
    """The largest difference, or why there is none."""
    import tensorflow as tf

    try:
        answer = ask(encoded)
    except (ImageProblem, ValueError) as problem:
        return str(problem).partition(";")[0]
    except tf.errors.InvalidArgumentError as error:
        return "refused: " + error.message.partition("image_bytes: ")[2].partition("]")[0]
    return f"{np.abs(answer - expected).max():.1e}" if expected is not None else "not refused, as predict does"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asking = doors(given.model or untrained(Path(folder)))
        contents = files(drawn(600, 450))
        yardstick = asking["predict"](contents["rgb.png"])
        print("| file | predict, against rgb.png | ingest | SavedModel | ONNX |\n|---|---|---|---|---|")
        for name, encoded in contents.items():
            first = compare(asking["predict"], encoded, yardstick)
            try:
                expected = asking["predict"](encoded)
            except ImageProblem:
                expected = None
            others = [compare(asking[way], encoded, expected) for way in ("ingest", "SavedModel", "ONNX")]
            print(f"| {name} | {first} | {' | '.join(others)} |", flush=True)


if __name__ == "__main__":
    main()
