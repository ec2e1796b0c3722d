"""`lesionflow verify`: whatever is changed in a version is noticed. Evaluated and promoted by the real steps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judged import World, make_world, probabilities_for
from typer.testing import CliRunner

from lesionflow.cli.main import app
from lesionflow.components.promote.promote import promote
from lesionflow.errors import UserError
from lesionflow.registry.verify import Verified, verify
from lesionflow.runtime.files import file_digest, write_json
from lesionflow.taxonomy import HAM10000


def _promote(world: World, registry: str) -> str:
    return promote(
        model=world.folder / "model",
        train=world.folder / "train",
        validation=world.folder / "validation",
        evaluation=world.out("evaluation"),
        report=world.out("report"),
        scores=world.out("scores"),
        model_card=world.out("model_card"),
        registry=registry,
    )


def _judged_world(folder: Path, patches: dict[str, object] | None = None) -> World:
    """A model that errs on three of its test images, evaluated; with `patches` of what code is named."""
    truth = [label for label in HAM10000.codes for _ in range(8)]
    world = make_world(folder, truth)
    said = truth.copy()
    said[0], said[20], said[33] = "nv", "mel", "bkl"
    noise = np.random.default_rng(0).uniform(0.5, 0.9, (len(truth), 1)).astype(np.float32)
    probabilities = (probabilities_for(said) * noise + (1 - noise) / len(HAM10000.codes)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (patches or {}).items():
            patch.setattr(name, value)
        world.evaluate(patch, probabilities)
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return _judged_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def version(world: World, tmp_path: Path) -> Path:
    return Path(_promote(world, str(tmp_path / "registry")))


def _fails(found: Verified) -> dict[str, str]:
    return {check.name: check.text for check in found.checks if not check.held}


def test_a_promoted_version_is_whole(version: Path):
    found = verify(str(version))

    assert found.held, _fails(found)
    assert [check.name for check in found.checks] == ["files", "card", "model", "tables", "metrics", "verdict"]
    assert found.provenance["data fingerprint"] == "f1n9e2"
    assert len(found.provenance["code"]) == 64


def test_of_a_registry_the_champion_is_checked_wherever_it_lies(world: World, anywhere: str):
    registry = f"{anywhere}/registry"
    uri = _promote(world, registry)

    assert verify(registry) == verify(uri)
    assert verify(registry).held


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def _edit_card(version: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    card = json.loads((version / "card.json").read_bytes())
    edit(card)
    write_json(version / "card.json", card)


def _forge(version: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change a table and the card's digest of the file with it, as somebody would who knows the card."""
    table = change(pd.read_parquet(version / name))
    table.to_parquet(version / name, index=False)

    def noted(card: dict[str, Any]) -> None:
        (entry,) = [file for file in card["files"] if file["name"] == name]
        entry |= {"sha256": file_digest(version / name), "size": (version / name).stat().st_size}

    _edit_card(version, noted)


def _without_one(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(index=3)


def _leaking(table: pd.DataFrame) -> pd.DataFrame:
    """A lesion of the test set is also in training."""
    leaked = table.loc[table["subset"] == "test", "lesion_id"].iloc[0]
    table.loc[table.index[table["subset"] == "train"][0], "lesion_id"] = leaked
    return table


def _better(table: pd.DataFrame) -> pd.DataFrame:
    wrong = table.index[table["dx"] != table["predicted"]][0]
    table.loc[wrong, [f"p_{label}" for label in HAM10000.codes]] = probabilities_for([table.loc[wrong, "dx"]])[0]  # pyright: ignore
    return table


DAMAGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a byte more in the model": (lambda v: _append(v / "model.keras"), {"files", "model"}),
    "a byte more in the model card": (lambda v: _append(v / "README.md"), {"files"}),
    "a byte more in the report": (lambda v: _append(v / "report.html"), {"files"}),
    "no scores": (lambda v: (v / "scores.parquet").unlink(), {"files", "tables", "metrics"}),
    "scores that are no table": (lambda v: (v / "scores.parquet").write_text("x"), {"files", "tables", "metrics"}),
    "a file more": (lambda v: (v / "extra").write_text("x"), {"files"}),
    "a better metric in the card": (
        lambda v: _edit_card(v, lambda card: card["evaluation"]["metrics"]["averages"]["macro_f1"].update(value=0.99)),
        {"card", "metrics", "verdict"},
    ),
    "another recipe in the card": (
        lambda v: _edit_card(v, lambda card: card["evaluation"]["training"]["recipe"].update(name="best")),
        {"card"},
    ),
    "an easier policy in the card": (
        lambda v: _edit_card(v, lambda card: card["evaluation"]["gate"]["policy"]["clauses"][0].update(at_least=0.1)),
        {"card", "verdict"},
    ),
    "a better score": (lambda v: _forge(v, "scores.parquet", _better), {"metrics"}),
    "a test image less": (
        lambda v: _forge(v, "scores.parquet", _without_one),
        {"tables", "metrics"},
    ),
    "a test lesion in training": (lambda v: _forge(v, "split.parquet", _leaking), {"tables"}),
    "no card": (lambda v: (v / "card.json").unlink(), {"card.json"}),
    "a card that is no card": (lambda v: (v / "card.json").write_text("[]"), {"card.json"}),
    "a card without metrics": (
        lambda v: _edit_card(v, lambda card: card["evaluation"].pop("metrics")),
        {"card.json"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed(version: Path, damage: str):
    harm, noticed = DAMAGES[damage]

    harm(version)

    found = verify(str(version))
    assert noticed == _fails(found).keys(), _fails(found)


NARROWER: dict[str, object] = {"lesionflow.metrics.bootstrap.LEVEL": 0.9}
"""Intervals as this version of lesionflow does not compute them."""


def test_intervals_of_another_lesionflow_are_no_damage_and_said(tmp_path: Path):
    older: dict[str, object] = {"lesionflow.runtime.provenance.code_digest": lambda: "0" * 64}
    version = Path(_promote(_judged_world(tmp_path, NARROWER | older), str(tmp_path / "registry")))

    found = verify(str(version))

    assert found.held, _fails(found)
    (text,) = [check.text for check in found.checks if check.name == "metrics"]
    assert "Other code of lesionflow" in text
    _forge(version, "scores.parquet", _better)
    assert "macro_f1" in _fails(verify(str(version)))["metrics"]


def test_intervals_that_the_same_lesionflow_does_not_compute_are_noticed(tmp_path: Path):
    version = _promote(_judged_world(tmp_path, NARROWER), str(tmp_path / "registry"))

    assert _fails(verify(version)).keys() == {"metrics"}


def test_another_versions_evaluation_is_noticed(version: Path):
    elsewhere = version.with_name("20250101T000000Z-00000000")
    shutil.copytree(version, elsewhere)

    assert _fails(verify(str(elsewhere))).keys() == {"card"}


def test_what_is_no_version_is_said(tmp_path: Path):
    with pytest.raises(UserError, match="nothing at"):
        verify(str(tmp_path / "nowhere"))
    (tmp_path / "registry" / "versions" / "20250101T000000Z-00000000").mkdir(parents=True)
    (tmp_path / "registry" / "versions" / "20250101T000000Z-00000000" / "x").write_text("x")
    with pytest.raises(UserError, match="name one of its versions"):
        verify(str(tmp_path / "registry"))
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match="is a run; expected a registry"):
        verify(str(tmp_path))


def test_the_command_says_what_holds_and_fails_if_something_does_not(version: Path):
    whole = CliRunner().invoke(app, ["verify", str(version)])
    _append(version / "model.keras")
    damaged = CliRunner().invoke(app, ["verify", str(version)])

    assert whole.exit_code == 0
    assert "macro-F1" in whole.output
    assert whole.output.rstrip().endswith("is whole.")
    assert damaged.exit_code == 1
    assert "model.keras: not the file that was promoted" in damaged.output
    assert damaged.output.rstrip().endswith("is NOT to be trusted.")
