"""`lesionflow compare`: the same images for all, and what sets the runs apart. The scores are made up."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judged import make_evaluation, strict_json, training_record
from rich.console import Console
from sklearn.metrics import f1_score, recall_score
from typer.testing import CliRunner

from lesionflow import storage
from lesionflow.artifacts.summary import Summary
from lesionflow.artifacts.table import write_table
from lesionflow.artifacts.version_card import VersionCard
from lesionflow.cli.main import app
from lesionflow.errors import UserError
from lesionflow.registry.compare import compare, compared_metrics
from lesionflow.registry.comparison_display import print_comparison
from lesionflow.taxonomy import HAM10000

IMAGES = 210


def scores(seed: int, sharpness: float, images: range = range(IMAGES)) -> pd.DataFrame:
    """What a model says of images that are always the same, two of each lesion."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"image_id": [f"I{n:03}" for n in images]})
    table["lesion_id"] = [f"L{n // 2}" for n in images]
    table["dx"] = [HAM10000.codes[n // 2 % 7] for n in images]
    given = random.dirichlet(np.ones(7), len(table))
    given[np.arange(len(table)), [HAM10000.codes.index(dx) for dx in table["dx"]]] += sharpness
    given /= given.sum(axis=1, keepdims=True)
    table["predicted"] = [HAM10000.codes[index] for index in given.argmax(axis=1)]
    for index, label in enumerate(HAM10000.codes):
        table[f"p_{label}"] = given[:, index].astype(np.float32)
    return table


def make_run(folder: Path, table: pd.DataFrame, epochs: int = 1, **more: Any) -> str:
    """A run's folder: its summary, and its scores in a store."""
    write_table(table, folder / "store" / "scores")
    evaluation = make_evaluation(9, 1)
    recipe = evaluation.training.recipe
    head = recipe.head.model_copy(update={"epochs": epochs})
    summary = Summary(
        verdict="passed",
        status="passed",
        seed=0,
        artifacts={"scores": str(folder / "store" / "scores")},
        training=training_record(recipe=recipe.model_copy(update={"head": head})),
        data=evaluation.data,
    )
    summary.model_copy(update=more).write(folder / "summary.json")
    return str(folder)


def shown(places: list[str]) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_comparison(console, compare(places))
    text = console.file.getvalue()  # pyright: ignore
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_metrics_are_of_the_images_that_all_have_scored_and_differences_of_the_pairs(tmp_path: Path) -> None:
    weak, strong = scores(1, 0.3), scores(2, 0.8, range(20, IMAGES + 40))
    # In another order, as another split would give.
    places = [make_run(tmp_path / "weak", weak), make_run(tmp_path / "strong", strong.sample(frac=1, random_state=0))]

    found = compare(places)

    ours, theirs = weak.iloc[20:], strong.iloc[: IMAGES - 20]
    assert ours["image_id"].tolist() == theirs["image_id"].tolist()
    assert (found.images, found.lesions) == (190, 95)
    for table, metrics in zip((ours, theirs), found.metrics, strict=True):
        f1 = f1_score(table["dx"], table["predicted"], average="macro")
        recalls = recall_score(table["dx"], table["predicted"], labels=list(HAM10000.codes), average=None)
        assert metrics["macro_f1"] == pytest.approx(f1)
        assert [metrics[f"recall:{label}"] for label in HAM10000.codes] == pytest.approx(list(recalls))  # pyright: ignore
    (differences,) = found.differences
    for name in compared_metrics(HAM10000.codes):
        value, (low, high) = differences[name].value, differences[name].interval
        assert value == pytest.approx((found.metrics[1][name] or 0) - (found.metrics[0][name] or 0))
        assert low is not None
        assert value is not None
        assert high is not None
        assert low < value < high
    assert (differences["macro_f1"].interval[0] or 0) > 0
    assert "the test images that all have scored: 190 images of 95 lesions" in shown(places)


def test_a_run_equals_itself_and_nothing_is_said_to_differ(tmp_path: Path) -> None:
    place = make_run(tmp_path / "one", scores(1, 0.5))

    found = compare([place, place, place])

    assert len(found.differences) == 2
    assert all(difference.value == 0 for each in found.differences for difference in each.values())
    assert found.changed == {}
    assert "are the same" in shown([place, place])
    assert "the same test images: 210 images of 105 lesions" in shown([place, place])


def test_what_sets_runs_apart_is_listed_and_nothing_else(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", scores(1, 0.5))
    two = make_run(tmp_path / "two", scores(1, 0.5), epochs=7, seed=3, method="out-of-fold")

    found = compare([one, two])

    assert found.changed == {"recipe.head.epochs": ["1", "7"], "seed": ["0", "3"], "method": ["—", "out-of-fold"]}
    assert "recipe.head.epochs" in shown([one, two])


def test_a_version_and_a_registry_are_compared_too(tmp_path: Path, gcs: Any) -> None:
    run = make_run(tmp_path / "run", scores(1, 0.5))
    version = "20250131T120000Z-00000001"
    card = VersionCard(version=version, created="2025-01-31T12:00:00Z", evaluation=make_evaluation(9, 1), files=())
    write_table(scores(2, 0.5), tmp_path / "version" / "scores.parquet")
    card.write(tmp_path / "version" / "card.json")
    registry = f"gs://{gcs}/registry"
    storage.upload_folder(tmp_path / "version", f"{registry}/versions/{version}")
    storage.write_bytes(f"{registry}/champion.json", json.dumps({"version": version}).encode())

    by_version = compare([run, f"{registry}/versions/{version}"])
    by_registry = compare([run, registry])

    assert [each.name for each in by_version.runs] == ["run", version]
    assert by_version.facts() == by_registry.facts()


def test_the_command_shows_and_writes(tmp_path: Path) -> None:
    places = [make_run(tmp_path / name, scores(seed, 0.5)) for seed, name in enumerate("ab")]

    result = CliRunner().invoke(app, ["compare", *places, "--output", str(tmp_path / "found.json")])

    assert result.exit_code == 0
    assert "macro-F1" in result.output
    found = strict_json(tmp_path / "found.json")
    assert [run["name"] for run in found["runs"]] == ["a", "b"]
    assert found["differences"][0]["minus"] == "a"
    assert found["differences"][0]["metrics"]["macro_f1"]["value"] == pytest.approx(
        found["runs"][1]["metrics"]["macro_f1"] - found["runs"][0]["metrics"]["macro_f1"]
    )


def _other_label(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[3, "dx"] = "df"
    return table


def _other_lesion(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[3, "lesion_id"] = "L99"
    return table


def _no_number(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[[3, 4], "p_mel"] = np.nan
    return table


@pytest.mark.parametrize(
    ("second", "more", "says"),
    [
        (scores(1, 0.5, range(300, 400)), {}, "No image was scored by all of one, two"),
        (_other_label(scores(1, 0.5)), {}, r"on the class of 1 images \(the first: I003, bcc or df\)"),
        (_other_lesion(scores(1, 0.5)), {}, "on the lesion of 1 images"),
        (_no_number(scores(1, 0.5)), {}, "The model of two gave .* not numbers for 2 of the images"),
        (pd.concat([scores(1, 0.5)] * 2), {}, "has an image twice"),
        (scores(1, 0.5).drop(columns="p_mel"), {}, "and two akiec, bcc, bkl, df, nv, vasc"),
        (scores(1, 0.5), {"artifacts": {}, "status": "failed"}, r"two was not evaluated \(its status: failed\)"),
        (scores(1, 0.5), {"artifacts": {"scores": "/nowhere"}}, "are gone: there is no /nowhere"),
    ],
)
def test_runs_that_do_not_compare_are_told_why(tmp_path: Path, second: pd.DataFrame, more: Any, says: str) -> None:
    places = [make_run(tmp_path / "one", scores(1, 0.5)), make_run(tmp_path / "two", second, **more)]

    with pytest.raises(UserError, match=says) as raised:
        compare(places)

    assert "\n" not in str(raised.value)


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", scores(1, 0.5))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "summary.json").write_text("[1")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "card.json").write_text("{}")
    for places, says in (
        ([one], "name two runs or more"),
        ([one, str(tmp_path)], r"neither a run \(summary.json\), nor a version"),
        ([one, str(tmp_path / "half")], "is not a summary of a run: it is not valid JSON"),
        ([one, str(tmp_path / "old")], "holds no scores.parquet"),
    ):
        with pytest.raises(UserError, match=says):
            compare(places)
