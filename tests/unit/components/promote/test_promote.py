"""Promotion: a version is whole or does not count, and the champion is always usable."""

import json
from pathlib import Path

import pytest
from judged import make_model_folder, strict_json, write_evaluation, write_split

from lesionflow import storage
from lesionflow.components.promote.promote import promote
from lesionflow.errors import UserError
from lesionflow.registry.versions import champion_address, fetch_model
from lesionflow.runtime.files import file_digest


@pytest.fixture
def registry(anywhere):
    """An empty registry in a folder, and one in each kind of bucket."""
    return f"{anywhere}/registry"


@pytest.fixture
def candidate(tmp_path):
    """A function that makes a judged model; returns the arguments of promote."""

    def make(name: str, hits: int = 9) -> dict[str, Path]:
        folder = tmp_path / name
        model = make_model_folder(folder / name)
        digest = file_digest(model / "model.keras")
        tables, digests = write_split(folder)
        data = {"fingerprint": "f1n9e2", "tables": digests}
        write_evaluation(folder / "evaluation", hits, 10 - hits, model_sha256=digest, data=data)
        (folder / "report").write_text(f"<p>{name}</p>")
        return {"model": model, "evaluation": folder / "evaluation", "report": folder / "report", **tables}

    return make


def test_a_promoted_model_is_the_champion_and_comes_back_whole(registry, candidate, tmp_path):
    given = candidate("first")

    uri = promote(**given, registry=registry)

    assert str(champion_address(registry)) == uri
    folder = fetch_model(registry, tmp_path / "fetched")
    for file in ("model.keras", "labels.json", "history.csv", "training.json", "tensorboard/events"):
        assert (folder / file).read_bytes() == (given["model"] / file).read_bytes()
    assert (folder / "report.html").read_text() == "<p>first</p>"
    assert (folder / "README.md").read_text() == "# A model card\n"
    card = strict_json(folder / "card.json")
    evaluation = card["evaluation"]
    assert evaluation == strict_json(given["evaluation"])
    assert evaluation["verdict"] == "passed"
    assert evaluation["data"]["fingerprint"] == "f1n9e2"
    assert evaluation["training"]["seed"] == 3
    pointer = json.loads(storage.read_bytes(f"{registry}/champion.json"))
    assert pointer == {
        "version": uri.rsplit("/", 1)[1],
        "promoted_at": card["created"],
        "metric": "macro_f1",
        "value": evaluation["metrics"]["averages"]["macro_f1"]["value"],
        "fingerprint": "f1n9e2",
        "test_set": "7e57",
    }
    assert card["promotion"]["outcome"] == "promoted"


def test_promoting_the_champion_again_makes_no_second_version(registry, candidate):
    given = candidate("first")
    first = promote(**given, registry=registry)

    assert promote(**given, registry=registry) == first

    names = {file.name.split("/")[0] for file in storage.list_files(f"{registry}/versions")}
    assert names == {first.rsplit("/", 1)[1]}


def test_a_damaged_champion_pointer_is_replaced(registry, candidate):
    storage.write_bytes(f"{registry}/champion.json", b"{half")

    uri = promote(**candidate("first"), registry=registry)

    assert str(champion_address(registry)) == uri


def test_each_promotion_is_a_version_of_its_own_and_the_best_one_is_the_champion(registry, candidate, tmp_path):
    first = promote(**candidate("first", hits=8), registry=registry)
    second = promote(**candidate("second", hits=9), registry=registry)

    assert first != second
    assert str(champion_address(registry)) == second
    assert (fetch_model(first, tmp_path / "fetched") / "report.html").read_text() == "<p>first</p>"


def test_a_version_can_be_promoted_to_another_registry(registry, candidate, tmp_path):
    given = candidate("first")
    version = fetch_model(promote(**given, registry=str(tmp_path / "staging")), tmp_path / "unused")

    promote(**given | {"model": version}, registry=registry)

    fetch_model(registry, tmp_path / "fetched")


@pytest.fixture
def events(tmp_path, monkeypatch):
    """What the step told its watcher so far."""
    folder = tmp_path / "progress"
    folder.mkdir()
    monkeypatch.setenv("LESIONFLOW_PROGRESS", str(folder))
    return lambda: [json.loads(line) for file in folder.iterdir() for line in file.read_text().splitlines()]


class _Crash(BaseException):
    """Ends the process, so to speak."""


@pytest.mark.parametrize("moment", ["copytree", "upload_folder", "write", "move_champion", "replace"])
def test_a_crash_leaves_the_old_champion_in_use_and_a_second_try_works(
    registry, candidate, tmp_path, monkeypatch, moment
):
    promote(**candidate("old", hits=8), registry=registry)
    new = candidate("new", hits=9)

    def crash(*arguments, **options):
        raise _Crash

    with monkeypatch.context() as patch:
        targets = {
            "copytree": "shutil.copytree",
            "write": "lesionflow.artifacts.version_card.VersionCard.write",
            "move_champion": "lesionflow.components.promote.promote.move_champion",
        }
        patch.setattr(targets.get(moment, f"lesionflow.storage.{moment}"), crash)
        # A local registry is written without an upload, and the card of a version in a bucket by `write_bytes`.
        if {"upload_folder": True, "write": False}.get(moment) in (None, storage.Address.parse(registry).is_remote):
            with pytest.raises(_Crash):
                promote(**new, registry=registry)

    assert (fetch_model(registry, tmp_path / "a") / "report.html").read_text() == "<p>old</p>"
    for version in _versions(registry):
        fetch_model(f"{registry}/versions/{version}", tmp_path / "b")  # all that count are whole
    promote(**new, registry=registry)
    assert (fetch_model(registry, tmp_path / "c") / "report.html").read_text() == "<p>new</p>"


def _versions(registry: str) -> set[str]:
    """Versions that count: those with a card."""
    names = [file.name for file in storage.list_files(registry)]
    return {name.split("/")[1] for name in names if name.endswith("/card.json")}


def test_an_upload_cut_off_half_way_does_not_count_as_a_version(bucket, candidate, tmp_path, monkeypatch):
    registry = f"{bucket}/registry"
    given = candidate("first")

    def cut_off(folder, uri):
        storage.write_bytes(f"{uri}/model.keras", Path(folder, "model.keras").read_bytes())
        raise _Crash

    with monkeypatch.context() as patch:
        patch.setattr(storage, "upload_folder", cut_off)
        with pytest.raises(_Crash):
            promote(**given, registry=registry)

    half = storage.list_files(registry)[0].name.split("/")[1]
    with pytest.raises(UserError, match="never completed"):
        fetch_model(f"{registry}/versions/{half}", tmp_path / "fetched")
    with pytest.raises(UserError, match="no champion"):
        fetch_model(registry, tmp_path / "fetched")
    uri = promote(**given, registry=registry)  # the same evaluation, but no version of it counts yet
    assert str(champion_address(registry)) == uri


def test_a_worse_model_is_published_and_says_why_the_champion_stayed(registry, candidate, tmp_path, events, capsys):
    best = promote(**candidate("best", hits=10), registry=registry)
    worse = promote(**candidate("worse", hits=8), registry=registry)

    assert str(champion_address(registry)) == best
    folder = fetch_model(worse, tmp_path / "fetched")
    assert (folder / "report.html").read_text() == "<p>worse</p>"
    name = best.rsplit("/", 1)[1]
    why = f"{name} stays the champion: the new one is worse (macro-F1 0.8000 against 1.0000)."
    assert why in strict_json(folder / "card.json")["promotion"]["reason"]
    published, metric = events()[-2:]
    assert (published["event"], published["version"], published["champion"]) == ("published", worse, name)
    assert why in published["reason"]
    assert metric["text"] == "published; the champion stays, 1.000 against 0.800"
    assert why in capsys.readouterr().out


def test_promoting_a_worse_model_again_makes_no_second_version(registry, candidate):
    promote(**candidate("best", hits=10), registry=registry)
    given = candidate("worse", hits=8)
    worse = promote(**given, registry=registry)

    assert promote(**given, registry=registry) == worse
    assert len(_versions(registry)) == 2


def test_a_person_may_put_a_worse_model_in_use(registry, candidate, tmp_path, events):
    promote(**candidate("best", hits=10), registry=registry)
    given = candidate("worse", hits=8)
    worse = promote(**given, registry=registry)

    assert promote(**given, registry=registry, replace_champion="always") == worse
    assert str(champion_address(registry)) == worse
    assert events()[-2]["event"] == "promoted"
    folder = fetch_model(registry, tmp_path / "fetched")
    assert strict_json(folder / "card.json")["promotion"]["replace_champion"] == "always"


def test_another_word_for_when_to_replace_is_refused_before_anything_is_written(registry, candidate):
    with pytest.raises(UserError, match="replace_champion is 'never'; expected better or always"):
        promote(**candidate("good"), registry=registry, replace_champion="never")
    assert not storage.exists(registry)


def test_a_model_that_failed_the_gate_is_not_promoted(registry, candidate):
    with pytest.raises(UserError, match="failed the gate"):
        promote(**candidate("weak", hits=5), registry=registry)
    assert not storage.exists(registry)


def test_an_evaluation_with_an_edited_verdict_is_not_promoted(registry, candidate):
    given = candidate("weak", hits=5)
    document = strict_json(given["evaluation"])
    given["evaluation"].write_text(json.dumps(document | {"verdict": "passed"}))

    with pytest.raises(UserError, match="contradicts itself"):
        promote(**given, registry=registry)
    assert not storage.exists(registry)


def test_another_model_than_the_judged_one_is_not_promoted(registry, candidate):
    with pytest.raises(UserError, match="another model"):
        promote(**candidate("good") | {"model": candidate("other")["model"]}, registry=registry)
    assert not storage.exists(registry)


def test_a_damaged_version_is_refused(tmp_path, candidate):
    uri = promote(**candidate("first"), registry=str(tmp_path / "registry"))
    Path(uri, "model.keras").write_bytes(b"something else")

    with pytest.raises(UserError, match=r"model\.keras is missing or not the file"):
        fetch_model(str(tmp_path / "registry"), tmp_path / "fetched")


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "../../elsewhere"}', '{"version": 3}'])
def test_a_damaged_pointer_is_refused(tmp_path, candidate, content):
    registry = tmp_path / "registry"
    promote(**candidate("first"), registry=str(registry))
    (registry / "champion.json").write_text(content)

    with pytest.raises(UserError, match="names no version"):
        fetch_model(str(registry), tmp_path / "fetched")
