"""Where a network looked: what was covered decides, and the report says so."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from judged import make_world, probabilities_for
from numpy.typing import NDArray
from PIL import Image

from lesionflow.artifacts.evaluation import Strongest
from lesionflow.reporting.attention import GRID, occlusion_maps
from lesionflow.reporting.examples import format_sure, pick_examples
from lesionflow.taxonomy import HAM10000, Taxonomy

SIZE = 56
PLACE = SIZE // GRID


@dataclass
class Watcher:
    """A model that says mel if one place of the image is bright, and nv otherwise; no Keras."""

    row: int
    column: int
    taxonomy: Taxonomy = HAM10000
    decode_size: int = SIZE

    def predict(self, pixels: NDArray[np.uint8], batch_size: int = 64) -> NDArray[np.float32]:
        rows, columns = (slice(place * PLACE, (place + 1) * PLACE) for place in (self.row, self.column))
        bright = pixels[:, rows, columns].mean(axis=(1, 2, 3)) / 255
        said = np.full((len(pixels), len(HAM10000.codes)), 0.001)
        said[:, HAM10000.codes.index("mel")] = 0.01 + 0.97 * bright
        said[:, HAM10000.codes.index("nv")] = 0.985 - 0.97 * bright
        return said.astype(np.float32)


def _spotted(row: int, column: int) -> NDArray[np.uint8]:
    image = np.full((SIZE, SIZE, 3), 20, np.uint8)
    image[row * PLACE : (row + 1) * PLACE, column * PLACE : (column + 1) * PLACE] = 255
    return image


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 5), (3, 3), (6, 2)])
def test_the_place_that_decides_stands_out(row, column):
    falls, covered = occlusion_maps(
        Watcher(row, column), _spotted(row, column)[None], np.array([HAM10000.codes.index("mel")])
    )  # pyright: ignore

    assert falls.shape == covered.shape == (1, GRID, GRID)
    assert np.unravel_index(falls[0].argmax(), falls[0].shape) == (row, column)
    assert covered[0, row, column] < 0.2
    far = np.abs(np.indices((GRID, GRID)) - np.array([row, column])[:, None, None]).max(axis=0) > 1
    assert np.abs(falls[0][far]).max() < 0.01
    assert covered[0][far].min() > 0.97


def test_what_speaks_against_an_answer_counts_as_such():
    falls, _ = occlusion_maps(Watcher(3, 3), _spotted(3, 3)[None], np.array([HAM10000.codes.index("nv")]))  # pyright: ignore

    assert falls[0].argmin() == 3 * GRID + 3
    assert falls[0].min() < -3


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [(0, 0, "top left"), (3, 3, "centre"), (2, 4, "centre"), (6, 3, "bottom"), (3, 6, "right")],
)
def test_the_gallery_names_and_lights_the_place(tmp_path, row, column, words):
    world = make_world(tmp_path, ["nv"])
    _replace_images(tmp_path, _spotted(row, column))
    scores = world.test.assign(predicted="mel")
    scores[[f"p_{label}" for label in HAM10000.codes]] = probabilities_for(["mel"])

    [example] = pick_examples(scores, tmp_path / "images", HAM10000, Watcher(row, column)).wrong  # pyright: ignore

    assert example.strongest
    assert example.strongest.place == words
    assert example.strongest.covered < 0.2
    assert example.facts().strongest == Strongest(place=words, covered=example.strongest.covered)
    assert example.spotlight
    lit = np.asarray(_image(example.spotlight).resize((SIZE, SIZE)).convert("L"), float)
    assert lit.max() > 200
    assert np.unravel_index(lit.argmax(), lit.shape)[0] // PLACE == row
    assert np.unravel_index(lit.argmax(), lit.shape)[1] // PLACE == column


def test_without_a_model_nobody_says_where_it_looked(tmp_path):
    world = make_world(tmp_path, ["nv"])
    scores = world.test.assign(predicted="nv")
    scores[[f"p_{label}" for label in HAM10000.codes]] = probabilities_for(["nv"])

    [example] = pick_examples(scores, tmp_path / "images", HAM10000).right

    assert (example.strongest, example.spotlight) == (None, None)


def test_nothing_is_called_certain_that_is_not():
    assert [format_sure(value) for value in (1.0, 0.9997, 0.9994, 0.5, 0.0004, 0.0)] == [
        "1.000", "over 0.999", "0.999", "0.500", "under 0.001", "0.000"
    ]  # fmt: skip


def test_a_mirrored_image_is_looked_at_in_the_mirrored_place_if_the_model_averages_its_views():
    from lesionflow.compat.keras_backend import prepare
    from lesionflow.models.deployable import deployable
    from lesionflow.models.loaded_model import LoadedModel

    prepare()
    import keras

    keras.utils.set_random_seed(0)
    core = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            keras.layers.Conv2D(8, 5, strides=3, activation="relu"),
            keras.layers.Flatten(),  # so that without the views the place would matter
            keras.layers.Dense(len(HAM10000.codes), activation="softmax"),
        ]
    )
    model = LoadedModel(HAM10000, 32, deployable(core, 32, test_time_augmentation=4))
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)

    falls, _ = occlusion_maps(model, np.stack([image, image[:, ::-1]]), np.array([4, 4]))

    assert np.abs(falls[0]).max() > 1e-3
    np.testing.assert_allclose(falls[1], falls[0][:, ::-1], atol=1e-4)


def _replace_images(folder, pixels: NDArray[np.uint8]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    shard = next((folder / "images").glob("*.parquet"))
    table = pd.read_parquet(shard)
    table["image"] = [{"bytes": buffer.getvalue(), "path": "a.png"}] * len(table)
    table.to_parquet(shard)


def _image(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
