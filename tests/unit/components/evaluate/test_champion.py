"""The comparison with the version in use: on lesions that are new to it, or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judged import make_model_folder, probabilities_for, write_evaluation

from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.tables import table_digest
from lesionflow.components.evaluate import champion as module
from lesionflow.components.evaluate.champion import compare_with_champion
from lesionflow.components.promote.promote import promote
from lesionflow.errors import UserError
from lesionflow.metrics.champion import ChampionComparison, Left
from lesionflow.metrics.statistics import Judged
from lesionflow.registry.versions import champion_version
from lesionflow.runtime.files import file_digest
from lesionflow.taxonomy import HAM10000

LESIONS = 70  # of two images each


def table(fold: str, lesions: range) -> pd.DataFrame:
    """Two images of each lesion, the classes in turn."""
    rows = [(f"I{n}{view}", f"L{n}", HAM10000.codes[n % 7], fold) for n in lesions for view in "ab"]
    return pd.DataFrame(rows, columns=["image_id", "lesion_id", "dx", "subset"])


TEST = table("test", range(LESIONS))


def say(rows: pd.DataFrame, wrong: int) -> Judged:
    """A model that takes the first `wrong` images for melanomas."""
    predicted = ["mel" if index < wrong else dx for index, dx in enumerate(rows["dx"])]
    labels = rows["dx"].map(HAM10000.index).to_numpy(np.int64)
    return Judged(labels, probabilities_for(predicted), rows["lesion_id"].tolist())


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Promote a champion that was trained on the given tables; returns its version. Its model is no model."""
    monkeypatch.setattr(module, "load_model", lambda folder: folder)

    def make(train: pd.DataFrame, validation: pd.DataFrame) -> str:
        folder = tmp_path / "run"
        model = make_model_folder(folder / "model")
        tables = {"train": train, "validation": validation, "test": table("test", range(900, 910))}
        for fold, rows in tables.items():
            write_table(rows, folder / fold)
        digests = {fold: table_digest(rows) for fold, rows in tables.items()}
        digest = file_digest(model / "model.keras")
        write_evaluation(folder / "evaluation", 9, 1, model_sha256=digest, data={"tables": digests})
        (folder / "report").write_text("report")
        paths = (model, folder / "evaluation", folder / "report", folder / "train", folder / "validation")
        (folder / "card").write_text("card")
        promote(*paths, folder / "test", folder / "card", str(tmp_path / "registry"))
        return champion_version(str(tmp_path / "registry")) or ""

    return make


def compare(
    tmp_path: Path, version: str, ours: int = 0, theirs: int = 20, test: pd.DataFrame = TEST
) -> ChampionComparison:
    def predict(model: Any, rows: pd.DataFrame) -> Judged:
        return say(rows, theirs)

    return compare_with_champion(
        str(tmp_path / "registry"), version, test, say(test, ours), predict, seed=1, taxonomy=HAM10000
    )


def test_two_models_are_compared_on_all_lesions_that_are_new_to_both(publish: Any, tmp_path: Path) -> None:
    version = publish(table("train", range(100, 200)), table("validation", range(200, 220)))

    found = compare(tmp_path, version)

    assert (found.status, found.version, found.reason) == ("compared", version, None)
    assert (found.images, found.lesions) == (2 * LESIONS, LESIONS)
    assert found.left_out == Left(images=0, lesions=0)
    assert found.model["accuracy"] == 1
    assert found.champion["accuracy"] == pytest.approx(found.model["accuracy"] - 18 / 140)  # 2 are melanomas
    difference = found.differences["accuracy"]
    assert difference.value == pytest.approx(18 / 140)
    assert 0 < difference.interval[0] < difference.value < difference.interval[1]


def test_what_the_champion_was_trained_or_validated_on_is_left_out_for_both(publish: Any, tmp_path: Path) -> None:
    version = publish(table("train", range(8)), table("validation", range(8, 10)))

    found = compare(tmp_path, version, ours=10)  # all of ours are wrong on what is left out

    assert (found.images, found.lesions) == (2 * (LESIONS - 10), LESIONS - 10)
    assert found.left_out == Left(images=20, lesions=10)
    assert found.model["accuracy"] == 1


def test_an_image_that_the_champion_knows_by_another_lesion_is_left_out(publish: Any, tmp_path: Path) -> None:
    renamed = table("train", range(5)).assign(lesion_id=[f"other-{n}" for n in range(10)])

    found = compare(tmp_path, publish(renamed, table("validation", range(200, 210))))

    assert found.left_out == Left(images=10, lesions=5)


@pytest.mark.parametrize(("known", "lesions"), [(range(21), 49), (range(70), 0)])
def test_too_few_new_lesions_are_no_comparison(publish: Any, tmp_path: Path, known: range, lesions: int) -> None:
    version = publish(table("train", known), table("validation", range(200, 210)))

    found = compare(tmp_path, version)

    assert (found.status, found.differences) == ("not compared", {})
    assert f"trained on all but {lesions} of the test lesions" in found.reason


def test_without_a_champion_nothing_is_read(tmp_path: Path) -> None:
    found = compare(tmp_path, "")

    assert (found.status, found.version) == ("none", None)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "split.parquet").write_bytes(b"PAR1"), "split.parquet is missing or not the file"),
        (lambda folder: (folder / "model.keras").unlink(), "There is no model"),
        (lambda folder: (folder / "labels.json").unlink(), "labels.json is missing"),
        (lambda folder: (folder / "card.json").unlink(), "has no card.json"),
        (lambda folder: (folder / "card.json").write_text("{}"), "is not a version's card"),
    ],
)
def test_a_damaged_champion_is_no_comparison(publish: Any, tmp_path: Path, damage: Any, says: str) -> None:
    version = publish(table("train", range(100, 200)), table("validation", range(200, 220)))
    damage(tmp_path / "registry" / "versions" / version)

    found = compare(tmp_path, version)

    assert (found.status, found.differences) == ("not compared", {})
    assert says in found.reason


def test_a_version_of_before_that_does_not_say_what_it_was_trained_on_is_not_compared(
    publish: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = publish(table("train", range(100, 200)), table("validation", range(200, 220)))
    monkeypatch.setattr(module, "SPLIT", "a-file-that-older-versions-lack")

    found = compare(tmp_path, version)

    assert found.reason == f"The champion {version} does not say what it was trained on."


def test_a_champion_that_answers_nan_is_not_compared(publish: Any, tmp_path: Path) -> None:
    version = publish(table("train", range(100, 200)), table("validation", range(200, 220)))

    def predict(model: Any, rows: pd.DataFrame) -> Judged:
        said = say(rows, 0)
        said.probabilities[3, 2] = np.nan
        return said

    found = compare_with_champion(
        str(tmp_path / "registry"), version, TEST, say(TEST, 0), predict, seed=1, taxonomy=HAM10000
    )

    assert found.reason == "The champion gave probabilities that are not numbers."


def test_a_class_that_only_the_champion_knows_leaves_no_macro_average(publish: Any, tmp_path: Path) -> None:
    version = publish(table("train", range(0, LESIONS, 7)), table("validation", range(200, 210)))

    found = compare(tmp_path, version)

    assert found.differences["macro_f1"].value is None
    assert found.differences["accuracy"].value is not None


def test_promote_refuses_tables_of_another_run(publish: Any, tmp_path: Path) -> None:
    publish(table("train", range(100, 200)), table("validation", range(200, 220)))
    folder = tmp_path / "run"
    write_table(table("train", range(300, 400)), folder / "train")
    paths = (folder / "model", folder / "evaluation", folder / "report", folder / "train", folder / "validation")

    with pytest.raises(UserError, match=r"run/train is not the train table of .*evaluation; pass the files of one run"):
        promote(*paths, folder / "test", folder / "card", str(tmp_path / "registry"))
