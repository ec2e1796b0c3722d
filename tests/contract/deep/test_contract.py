"""The contract step says what held and what did not, and its pipeline does what it should where everything works."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from graph import BUCKET, run_graph
from launcher import Launcher, Ran
from s3_server import S3Server
from seaweedfs import SeaweedFS

from lesionflow import storage
from lesionflow.components.contract.contract import GIVEN, HELD, contract
from lesionflow.components.contract.handed_over import HandedOver
from lesionflow.errors import UserError
from lesionflow.pipelines import contract as graph
from lesionflow.profile import LOCAL

TABLE = {"strategy": "sqrt", "before": {"struct": {"nv": 4}}}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page"
    file.write_text("<!DOCTYPE html>\n<title>Balance</title>")
    return file


def run(tmp_path: Path, folder: str, **changes: Any) -> str:
    arguments: dict[str, Any] = {"values": GIVEN, "artifacts": {}, **changes}
    return contract(tmp_path / "evaluation", tmp_path / "metrics", folder, **arguments)


def held(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.removeprefix(HELD) for line in capsys.readouterr().out.splitlines() if line.startswith(HELD)]


def test_everything_holds_in_every_store(anywhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = run(tmp_path, f"{anywhere}/run/evaluation")

    assert held(capsys) == ["text", "whole", "share", "flag", "store", "swaps"]
    assert sum(file.name.endswith(".jpg") for file in storage.list_files(source)) == 28


@pytest.mark.parametrize(
    ("name", "value"),
    [("text", ""), ("whole", 7.0), ("share", 0), ("flag", 0), ("flag", True)],
)
def test_a_parameter_that_arrives_otherwise_is_named(name: str, value: Any, tmp_path: Path):
    with pytest.raises(UserError, match=rf"The parameter {name} arrived as {value!r}, a {type(value).__name__}"):
        run(tmp_path, str(tmp_path / "folder"), values={**GIVEN, name: value})


def test_a_store_that_refuses_is_named_and_nothing_after_it_holds(
    s3_server: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    s3_server.refuses_with = "403 Forbidden", "AccessDenied"

    with pytest.raises(UserError, match="Access to s3://bucket/"):
        run(tmp_path, "s3://bucket/run/evaluation")

    assert held(capsys) == ["text", "whole", "share", "flag"]


def test_artifacts_that_arrive_whole_hold(tmp_path: Path, page: Path, capsys: pytest.CaptureFixture[str]):
    artifacts = {
        "table": HandedOver(str(page), TABLE),
        "measured": HandedOver(str(page), {"share": 0.25}),
        "page": HandedOver(str(page), {}),
    }

    run(tmp_path, str(tmp_path / "folder"), artifacts=artifacts)

    assert held(capsys)[-3:] == ["table", "measured", "page"]


@pytest.mark.parametrize(
    ("name", "metadata", "file", "sentence"),
    [
        ("table", {}, "page", "metadata of the table"),
        ("table", {"strategy": {"struct": "sqrt"}}, "page", "metadata of the table"),
        ("table", TABLE, "missing", "table is not at"),
        ("measured", {}, "page", "metric arrived"),
        ("page", {}, "missing", "begins with 'nothing'"),
    ],
)
def test_an_artifact_that_arrives_otherwise_is_named(
    name: str, metadata: dict[str, Any], file: str, sentence: str, tmp_path: Path, page: Path
):
    with pytest.raises(UserError, match=sentence):
        run(tmp_path, str(tmp_path / "folder"), artifacts={name: HandedOver(str(page.with_name(file)), metadata)})


def test_it_fails_once_and_only_once_in_every_store(anywhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UserError, match="on purpose"):
        run(tmp_path, f"{anywhere}/run/evaluation", fail_once=True)
    assert "retry" not in held(capsys)

    run(tmp_path, f"{anywhere}/run/evaluation", fail_once=True)

    assert held(capsys)[-1] == "retry"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, list[Ran]]]:
    with SeaweedFS() as server, pytest.MonkeyPatch.context() as patch:
        environment = server.environment
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(graph, "LISTEN", 1)
        server.empty_bucket(BUCKET)
        launcher = Launcher(tmp_path_factory.mktemp("contract") / "pod", environment)
        yield run_graph(launcher, graph.define_contract_pipeline(LOCAL), {"nonce": "1", "fail_once": True})


@pytest.mark.slow
@pytest.mark.xdist_group("contract-graph")
def test_its_pipeline_comes_to_the_gate_which_refuses(ran: dict[str, list[Ran]]):
    assert {task: [attempt.code for attempt in attempts] for task, attempts in ran.items()} == {
        **{task: [0] for task in graph.TASKS},
        "contract-2": [2, 0],
        "gate": [3],
    }, ran[list(ran)[-1]][-1].log


@pytest.mark.slow
@pytest.mark.xdist_group("contract-graph")
def test_its_steps_say_all_that_held(ran: dict[str, list[Ran]]):
    said = {
        task: {line.removeprefix(HELD) for line in ran[task][-1].log.splitlines() if line.startswith(HELD)}
        for task in ("contract", "contract-2")
    }
    assert said["contract"] == {*GIVEN, "store", "swaps"}
    assert said["contract-2"] == {*GIVEN, "store", "swaps", "table", "measured", "page", "retry"}
    assert "writing to its log for 1 s more" in ran["contract"][0].log
