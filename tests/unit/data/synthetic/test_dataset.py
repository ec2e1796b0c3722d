"""The synthetic data set: what a user, and every other test, relies on."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionflow.data.source import SYNTHETIC_MARKER
from lesionflow.data.synthetic.dataset import standing_synthetic_data, write_synthetic
from lesionflow.errors import UserError
from lesionflow.taxonomy import HAM10000

FILES = {"HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip", "HAM10000_metadata.csv", SYNTHETIC_MARKER}


def images_of(folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as opened:
            found |= {name: opened.read(name) for name in opened.namelist()}
    return found


def metadata_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "HAM10000_metadata.csv")


def test_the_folder_has_the_layout_of_ham10000(tmp_path: Path):
    counts = write_synthetic(tmp_path / "data", 90, (48, 36))
    assert {path.name for path in (tmp_path / "data").iterdir()} == FILES
    table = metadata_of(tmp_path / "data")
    assert list(table.columns) == ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    images = images_of(tmp_path / "data")
    assert {f"{image_id}.jpg" for image_id in table.image_id} == set(images)
    # Never an id of HAM10000, whose lesions a synthetic model has not seen.
    assert table.image_id.str.fullmatch(r"SYNTH_\d{7}").all()
    assert table.lesion_id.str.fullmatch(r"SYN_\d{7}").all()
    for encoded in images.values():
        with Image.open(io.BytesIO(encoded)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (48, 36))
    assert counts == {
        "images": 90,
        "lesions": table.lesion_id.nunique(),
        **{label: int((table.dx == label).sum()) for label in HAM10000.codes},
    }
    assert "no patient" in (tmp_path / "data" / SYNTHETIC_MARKER).read_text()


@pytest.mark.parametrize("images", [70, 71, 140])
def test_every_class_can_be_split_three_ways(tmp_path: Path, images: int):
    write_synthetic(tmp_path / "data", images, (32, 32))
    table = metadata_of(tmp_path / "data")
    assert len(table) == images
    assert table.groupby("dx").lesion_id.nunique().min() >= 3
    assert set(table.dx) == set(HAM10000.codes)


def test_seven_hundred_images_judge_each_class_and_miss_some_values(tmp_path: Path):
    write_synthetic(tmp_path / "data", 700, (32, 32))
    table = metadata_of(tmp_path / "data")
    assert table.groupby("dx").lesion_id.nunique().min() >= 20
    assert (table.groupby("lesion_id").dx.nunique() == 1).all()
    assert table.lesion_id.nunique() < 0.85 * len(table), "some lesions are photographed twice"
    assert 0 < table.age.isna().sum() < 50
    assert 0 < (table.sex == "unknown").sum() < 50
    assert 0 < (table.localization == "unknown").sum() < 70


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_synthetic(tmp_path / name, 70, (40, 32), seed=seed)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not set(images_of(tmp_path / "a").values()) & set(images_of(tmp_path / "c").values())


def test_shuffled_labels_change_only_the_labels(tmp_path: Path):
    write_synthetic(tmp_path / "true", 140, (32, 32))
    write_synthetic(tmp_path / "shuffled", 140, (32, 32), shuffle_labels=True)
    assert images_of(tmp_path / "true") == images_of(tmp_path / "shuffled")
    true, shuffled = (metadata_of(tmp_path / name).groupby("lesion_id").dx.agg(set) for name in ("true", "shuffled"))
    assert (shuffled.map(len) == 1).all()
    true, shuffled = true.map(min), shuffled.map(min)
    assert (true.value_counts() == shuffled.value_counts().reindex(true.value_counts().index)).all()
    assert (true != shuffled).mean() > 0.5


def macro_f1_of_a_simple_classifier(folder: Path) -> float:
    """Linear classifier of mean colours, trained and tested on different lesions."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table, images = metadata_of(folder), images_of(folder)
    pixels = [np.asarray(Image.open(io.BytesIO(images[f"{name}.jpg"])), float) for name in table.image_id]
    middle = [p[p.shape[0] // 4 : -p.shape[0] // 4, p.shape[1] // 4 : -p.shape[1] // 4] for p in pixels]
    features = [
        np.concatenate([x.mean((0, 1)) for x in pair] + [pair[1].std((0, 1))])
        for pair in zip(pixels, middle, strict=True)
    ]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, features, table.dx, groups=table.lesion_id, cv=folds)
    return float(f1_score(table.dx, predicted, average="macro"))


@pytest.mark.slow
def test_the_looks_can_be_learned_but_overlap_and_shuffled_labels_cannot_be_learned(tmp_path: Path):
    write_synthetic(tmp_path / "true", 700, (48, 36))
    write_synthetic(tmp_path / "shuffled", 700, (48, 36), shuffle_labels=True)
    assert 0.5 < macro_f1_of_a_simple_classifier(tmp_path / "true") < 0.9
    assert macro_f1_of_a_simple_classifier(tmp_path / "shuffled") < 0.25


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        write_synthetic(tmp_path, 70, (32, 32))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="is a file"):
        write_synthetic(tmp_path / "mine.txt", 70, (32, 32))


def test_a_negative_seed_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="seed of synthetic data is -1"):
        write_synthetic(tmp_path / "data", 70, (32, 32), seed=-1)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_synthetic(tmp_path / "file" / "data", 70, (32, 32))


def test_an_empty_folder_is_filled(tmp_path: Path):
    write_synthetic(tmp_path, 70, (32, 32))
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_standing_data_is_written_once_and_never_over_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        standing_synthetic_data(tmp_path)
    written: list[Path] = []
    monkeypatch.setattr("lesionflow.data.synthetic.dataset.write_synthetic", written.append)
    (tmp_path / SYNTHETIC_MARKER).touch()
    assert standing_synthetic_data(tmp_path) == tmp_path
    assert not written


@pytest.mark.parametrize(("images", "size"), [(69, (200, 150)), (0, (200, 150)), (700, (31, 150)), (700, (200, 0))])
def test_too_few_or_too_small_images_are_refused(tmp_path: Path, images: int, size: tuple[int, int]):
    with pytest.raises(UserError):
        write_synthetic(tmp_path / "data", images, size)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_interrupted_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lesionflow.data.synthetic.dataset.render", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "data", 70, (32, 32))
    assert list(tmp_path.iterdir()) == []
