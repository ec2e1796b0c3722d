"""The champion's pointer under competition: whoever finishes when, the best version ends up in use.

Google's storage is a stand-in here that enforces generations (`gcs_server`), S3 is a real SeaweedFS;
both are reached over HTTP through the vendors' own clients.
"""

import json
import random
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from gcs_server import GcsServer
from judged import make_evaluation, make_model_folder, write_evaluation, write_split

from lesionflow import storage
from lesionflow.artifacts.version_card import VersionCard
from lesionflow.components.promote.promote import promote
from lesionflow.errors import UserError
from lesionflow.metrics.bootstrap import Metric
from lesionflow.registry.champion import Standing, move_champion
from lesionflow.registry.versions import champion_address, fetch_model
from lesionflow.runtime.files import file_digest
from lesionflow.taxonomy import HAM10000, ISIC2019

CROWD = 100


@pytest.fixture(scope="module")
def _gcs_server() -> Generator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture
def strict_gcs(_gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> GcsServer:
    """gs://bucket, empty, with generations enforced; its client goes on after a fault without long pauses."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    _gcs_server.objects.clear()
    _gcs_server.faults.share = 0
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _gcs_server.url)
    monkeypatch.setattr("google.cloud.storage.retry.DEFAULT_RETRY", DEFAULT_RETRY.with_delay(0.01, 0.1))
    return _gcs_server


@pytest.fixture(params=["local", "gs", "s3"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry in a store of each kind that compares and swaps."""
    if request.param == "local":
        return str(tmp_path / "registry")
    request.getfixturevalue({"gs": "strict_gcs", "s3": "seaweedfs"}[request.param])
    return f"{request.param}://bucket/registry"


def version_name(number: int) -> str:
    return f"20250131T120000Z-{number:08x}"


EVALUATION = make_evaluation(9, 1, threshold=0.1)


def publish(registry: str, number: int, value: float, metric: str = "macro_f1", **more: Any) -> VersionCard:
    """A version with no more than its card; `averages` besides its own, and `data`, are among what can be given."""
    version = version_name(number)
    averages = {metric: Metric(value=value), **more.get("averages", {})}
    card = VersionCard(
        version=version,
        created="2025-01-31T12:00:00+00:00",
        evaluation=EVALUATION.model_copy(
            update={
                "gate": EVALUATION.gate.model_copy(update={"metric": metric, "value": value}),
                "metrics": EVALUATION.metrics.model_copy(update={"averages": averages}),
                "data": EVALUATION.data.model_copy(update=more.get("data", {})),
                "taxonomy": more.get("taxonomy", EVALUATION.taxonomy),
            }
        ),
        files=(),
    )
    storage.write_bytes(f"{registry}/versions/{version}/card.json", card.text().encode())
    return card


def in_use(registry: str) -> str:
    return champion_address(registry).name


def compete(registry: str, values: list[float]) -> list[Standing]:
    """Publish versions with these values, then let all of them be promoted at the same moment."""
    cards = [publish(registry, number, value) for number, value in enumerate(values)]
    start = Barrier(len(cards))

    def run(card: VersionCard) -> Standing:
        start.wait()
        return move_champion(registry, card)

    with ThreadPoolExecutor(len(cards)) as pool:
        return list(pool.map(run, cards))


def check_best_won(registry: str, values: list[float], standings: list[Standing]) -> None:
    best = max(range(len(values)), key=lambda index: values[index])
    assert in_use(registry) == version_name(best)
    assert json.loads(storage.read_bytes(f"{registry}/champion.json"))["value"] == values[best]
    assert standings[best].outcome == "promoted"
    assert {standing.outcome for standing in standings} <= {"promoted", "published"}
    for value, standing in zip(values, standings, strict=True):
        if standing.outcome == "published":
            assert standing.rival_value is not None
            assert standing.rival_value >= value


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_of_a_hundred_at_once_the_best_is_champion(strict_gcs: GcsServer, seed: int) -> None:
    values = random.Random(seed).sample(range(10_000), CROWD)
    scores = [value / 10_000 for value in values]
    check_best_won("gs://bucket/registry", scores, compete("gs://bucket/registry", scores))


def test_of_a_hundred_at_once_the_best_is_champion_on_s3(seaweedfs: Any) -> None:
    scores = [value / 10_000 for value in random.Random(7).sample(range(10_000), CROWD)]
    check_best_won("s3://bucket/registry", scores, compete("s3://bucket/registry", scores))


@pytest.mark.parametrize("seed", range(2))
def test_on_a_disk_processes_compete_like_threads(tmp_path: Path, seed: int) -> None:
    registry = str(tmp_path / "registry")
    scores = [value / 10_000 for value in random.Random(seed).sample(range(10_000), CROWD)]
    cards = [publish(registry, number, value) for number, value in enumerate(scores)]
    program = (
        "import json, sys\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "from lesionflow.artifacts.version_card import VersionCard\n"
        "from lesionflow.registry.champion import move_champion\n"
        "cards = [VersionCard.parse(card.encode(), '') for card in json.loads(sys.stdin.readline())]\n"
        "with ThreadPoolExecutor(25) as pool: list(pool.map(lambda card: move_champion(sys.argv[1], card), cards))\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", program, registry], stdin=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for number, run in enumerate(runs):
        assert run.stdin
        run.stdin.write(json.dumps([card.text() for card in cards[number::4]]) + "\n")
        run.stdin.flush()
    for run in runs:
        run.communicate()
        assert run.returncode == 0
    assert in_use(registry) == version_name(scores.index(max(scores)))


@pytest.mark.parametrize("seed", range(3))
def test_lost_answers_and_an_unavailable_store_do_not_change_who_wins(strict_gcs: GcsServer, seed: int) -> None:
    scores = [value / 100 for value in random.Random(seed).sample(range(100), 20)]
    strict_gcs.faults.share = 0.15
    standings = compete("gs://bucket/registry", scores)
    strict_gcs.faults.share = 0
    assert strict_gcs.faults.count > 0
    check_best_won("gs://bucket/registry", scores, standings)


def test_whole_promotions_at_once_leave_every_version_and_the_best_in_use(registry: str, tmp_path: Path) -> None:
    def candidate(hits: int) -> dict[str, Path]:
        folder = tmp_path / f"run-{hits}"
        model = make_model_folder(folder / "model")
        tables, digests = write_split(folder)
        digest = file_digest(model / "model.keras")
        write_evaluation(folder / "evaluation", hits, 20 - hits, model_sha256=digest, data={"tables": digests})
        (folder / "report").write_text(f"<p>{hits}</p>")
        return {"model": model, "evaluation": folder / "evaluation", "report": folder / "report", **tables}

    candidates = [candidate(hits) for hits in (16, 18, 20, 15, 19, 17)]
    start = Barrier(len(candidates))

    def run(given: dict[str, Path]) -> str:
        start.wait()
        return promote(**given, registry=registry)

    with ThreadPoolExecutor(len(candidates)) as pool:
        versions = list(pool.map(run, candidates))
    assert str(champion_address(registry)) == versions[2]
    for version in versions:
        fetch_model(version, tmp_path / "fetched")  # checks that it is whole
    assert (fetch_model(registry, tmp_path / "best") / "report.html").read_text() == "<p>20</p>"


def test_a_pointer_moved_between_reading_and_writing_is_compared_again(
    registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, better, best = (publish(registry, number, 0.7 + number / 10) for number in range(3))
    move_champion(registry, good)
    read = storage.read_versioned

    def slow(uri: storage.AnyAddress) -> Any:
        found = read(uri)
        if str(uri).endswith("champion.json"):  # only now another run comes by
            monkeypatch.setattr(storage, "read_versioned", read)
            move_champion(registry, best)
        return found

    monkeypatch.setattr(storage, "read_versioned", slow)
    standing = move_champion(registry, better)

    assert (standing.outcome, standing.rival) == ("published", version_name(2))
    assert in_use(registry) == version_name(2)


def test_a_pointer_and_its_version_are_read_as_one(strict_gcs: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud.storage import Blob

    storage.write_bytes("gs://bucket/pointer", b"old")
    download = Blob.download_as_bytes

    def slow(blob: Blob, **options: Any) -> bytes:
        monkeypatch.setattr(Blob, "download_as_bytes", download)
        storage.write_bytes("gs://bucket/pointer", b"new")
        return download(blob, **options)

    monkeypatch.setattr(Blob, "download_as_bytes", slow)
    found = storage.read_versioned("gs://bucket/pointer")

    assert found
    assert found[0] == b"new"
    storage.replace("gs://bucket/pointer", b"newer", expected=found[1])


def test_equals_leave_the_champion_in_use(registry: str) -> None:
    first, second = publish(registry, 1, 0.8), publish(registry, 2, 0.8)
    assert move_champion(registry, first).reason == "It is the first champion of this registry."
    standing = move_champion(registry, second)
    assert standing.outcome == "published"
    assert "no better than that (macro-F1 0.8000 against 0.8000)" in standing.reason
    assert move_champion(registry, first).outcome == "stands"
    assert in_use(registry) == version_name(1)


def test_always_puts_a_worse_version_in_use(registry: str) -> None:
    move_champion(registry, publish(registry, 1, 0.9))
    standing = move_champion(registry, publish(registry, 2, 0.8), "always")
    assert standing.outcome == "promoted"
    assert "better or not (macro-F1 0.8000 against 0.9000)" in standing.reason
    assert in_use(registry) == version_name(2)


@pytest.mark.parametrize("value", [0.6, 0.9])
def test_a_model_of_real_data_takes_the_place_of_one_of_synthetic_data_and_never_gives_it_up(
    registry: str, value: float
) -> None:
    move_champion(registry, publish(registry, 1, 0.86, data={"synthetic": True}))
    standing = move_champion(registry, publish(registry, 2, value, data={"synthetic": False}))
    assert (standing.outcome, in_use(registry)) == ("promoted", version_name(2))
    assert "which was trained on synthetic data" in standing.reason

    standing = move_champion(registry, publish(registry, 3, 0.99, data={"synthetic": True}))
    assert (standing.outcome, in_use(registry)) == ("published", version_name(2))
    assert "that was trained on real data, this on synthetic" in standing.reason
    assert move_champion(registry, publish(registry, 4, 0.1, data={"synthetic": True}), "always").outcome == "promoted"


def test_a_model_of_other_classes_does_not_silently_take_over(registry: str) -> None:
    move_champion(registry, publish(registry, 1, 0.5, taxonomy=HAM10000))
    better = publish(registry, 2, 0.9, taxonomy=ISIC2019)

    standing = move_champion(registry, better)

    assert (standing.outcome, in_use(registry)) == ("published", version_name(1))
    assert "that knows the classes akiec, bcc, bkl, df, mel, nv, vasc, this mel, nv, bcc, ak" in standing.reason
    assert move_champion(registry, better, "always").outcome == "promoted"


@pytest.mark.parametrize("pointer", [b"{half", b"[]", b'{"version": "../elsewhere"}', b"\xff"])
def test_a_pointer_that_names_no_version_is_replaced(registry: str, pointer: bytes) -> None:
    storage.write_bytes(f"{registry}/champion.json", pointer)
    standing = move_champion(registry, publish(registry, 1, 0.2))
    assert standing.outcome == "promoted"
    assert "cannot be used: its pointer names no version" in standing.reason
    assert in_use(registry) == version_name(1)


@pytest.mark.parametrize("card", [None, b"{half", b"[]", b'{"metrics": {"macro_f1": true}}'])
def test_a_champion_that_is_not_complete_is_replaced(registry: str, card: bytes | None) -> None:
    pointer = json.dumps({"version": version_name(9), "value": 0.99}).encode()
    storage.write_bytes(f"{registry}/champion.json", pointer)
    if card is not None:
        storage.write_bytes(f"{registry}/versions/{version_name(9)}/card.json", card)
    standing = move_champion(registry, publish(registry, 1, 0.2))
    assert "cannot be used: 20250131T120000Z-00000009 is not complete" in standing.reason
    assert in_use(registry) == version_name(1)


@pytest.mark.parametrize(("value", "outcome"), [(0.6, "published"), (0.8, "promoted")])
def test_a_champion_judged_by_another_metric_is_compared_by_ours(tmp_path: Path, value: float, outcome: str) -> None:
    registry = str(tmp_path)
    move_champion(registry, publish(registry, 1, 0.9, "accuracy", averages={"macro_f1": Metric(value=0.7)}))
    standing = move_champion(registry, publish(registry, 2, value))
    assert standing.outcome == outcome
    assert f"(macro-F1 {value:.4f} against 0.7000). The champion was judged by accuracy." in standing.reason


@pytest.mark.parametrize("theirs", [{}, {"macro_f1": Metric()}])
def test_a_champion_without_a_metric_of_our_metric_is_replaced(tmp_path: Path, theirs: dict[str, Metric]) -> None:
    move_champion(str(tmp_path), publish(str(tmp_path), 1, 0.9, "accuracy", averages=theirs))
    standing = move_champion(str(tmp_path), publish(str(tmp_path), 2, 0.2))
    assert standing.outcome == "promoted"
    assert "(macro-F1 0.2000 against no metric)" in standing.reason


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"fingerprint": "a", "test_set": "1"}, {"fingerprint": "a", "test_set": "2"}, "different test sets"),
        ({"fingerprint": "a", "test_set": "1"}, {"fingerprint": "b", "test_set": "1"}, None),
        ({}, {}, None),
    ],
)
def test_metrics_of_different_test_sets_are_said_not_to_compare(
    tmp_path: Path, ours: dict[str, str], theirs: dict[str, str], said: str | None
) -> None:
    move_champion(str(tmp_path), publish(str(tmp_path), 1, 0.9, data=theirs))
    reason = move_champion(str(tmp_path), publish(str(tmp_path), 2, 0.8, data=ours)).reason
    assert ("do not really compare" in reason) == bool(said)
    assert (said or "stays the champion") in reason


def test_no_number_of_faster_runs_is_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, faster = str(tmp_path), iter(range(50))
    cards = [publish(registry, number, number / 100) for number in range(60)]
    replace = storage.replace

    def overtaken(uri: str, data: bytes, expected: storage.Version | None) -> None:
        for number in faster:  # each better than the one before, none as good as ours
            replace(uri, json.dumps({"version": version_name(number)}).encode(), expected)
            raise storage.Conflict
        replace(uri, data, expected)

    monkeypatch.setattr(storage, "replace", overtaken)
    monkeypatch.setattr("lesionflow.registry.champion._LONGEST_PAUSE", 0.0)
    assert move_champion(registry, cards[59]).rival == version_name(49)
    assert in_use(registry) == version_name(59)


def test_a_write_whose_answer_was_lost_counts_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move_champion(str(tmp_path), publish(str(tmp_path), 1, 0.5))
    replace = storage.replace

    def lost(uri: str, data: bytes, expected: storage.Version | None) -> None:
        replace(uri, data, expected)  # the client tries again after the broken connection, and finds it changed
        raise storage.Conflict

    monkeypatch.setattr(storage, "replace", lost)
    standing = move_champion(str(tmp_path), publish(str(tmp_path), 2, 0.6))
    assert (standing.outcome, standing.rival) == ("promoted", version_name(1))


def test_a_store_that_always_says_conflict_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflict(*arguments: Any, **options: Any) -> None:
        raise storage.Conflict

    monkeypatch.setattr(storage, "replace", conflict)
    monkeypatch.setattr("lesionflow.registry.champion._PATIENCE", 0.0)
    with pytest.raises(UserError, match="Other runs keep changing"):
        move_champion(str(tmp_path), publish(str(tmp_path), 1, 0.9))
