"""What would end a run after all its training ends it before."""

from pathlib import Path

import pytest
from judged import make_evaluation
from s3_server import S3Server

from lesionflow.artifacts.version_card import VersionCard
from lesionflow.components.preflight.preflight import preflight
from lesionflow.errors import UserError


def test_a_registry_that_promote_could_not_use_is_refused_at_once(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lesionflow.storage.buckets.s3._conditional", set())
    assert preflight("s3://bucket/models") == ""
    monkeypatch.setattr("lesionflow.storage.buckets.s3._conditional", set())
    s3_server.ignores_conditions = True
    with pytest.raises(UserError, match="upgrade it, or use another store"):
        preflight("s3://bucket/models")


COMPARES = (
    "{clauses: [{kind: average, metric: macro_f1, at_least: 0.7}, "
    "{kind: champion, metric: macro_f1, worse_by_at_most: 0.1}]}"
)
VERSION = "20250131T120000Z-00000001"


def _registry(folder: Path) -> str:
    """A registry whose champion is no more than its card."""
    (folder / "versions" / VERSION).mkdir(parents=True)
    card = VersionCard(version=VERSION, created="2025-01-31T12:00:00Z", evaluation=make_evaluation(9, 1), files=())
    card.write(folder / "versions" / VERSION / "card.json")
    (folder / "champion.json").write_text(f'{{"version": "{VERSION}"}}')
    return str(folder)


def test_the_champion_is_handed_on_only_if_the_policy_asks(tmp_path: Path) -> None:
    registry = _registry(tmp_path / "registry")

    assert preflight(registry) == ""
    assert preflight(registry, COMPARES) == VERSION
    assert preflight(str(tmp_path / "new"), COMPARES) == ""


@pytest.mark.parametrize("damage", ["pointer", "card", "registry", "policy"])
def test_a_champion_that_cannot_be_compared_with_ends_the_run_before_it_trains(tmp_path: Path, damage: str) -> None:
    registry, policy = _registry(tmp_path / "registry"), COMPARES
    if damage == "pointer":
        (tmp_path / "registry" / "champion.json").write_text("{half")
    elif damage == "card":
        (tmp_path / "registry" / "versions" / VERSION / "card.json").unlink()
    elif damage == "registry":
        registry = ""
    else:
        policy = "{clauses: [{kind: champion, metric: macro_f1, worse_by_at_most: 0.1}]}"

    says = {"pointer": "names no version", "card": "is not complete", "registry": "no registry", "policy": "not valid"}
    with pytest.raises(UserError, match=says[damage]):
        preflight(registry, policy)
