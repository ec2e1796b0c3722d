"""The stand-in server against the real `kfp.Client`: what it accepts, refuses and breaks."""

import json
import urllib.error
import urllib.request
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kfp import Client, compiler, dsl
from kfp_api.server import KfpApiServer
from kfp_server_api import (
    ApiException,
    RecurringRunMode,
    V2beta1CronSchedule,
    V2beta1PipelineVersionReference,
    V2beta1RecurringRun,
    V2beta1Trigger,
)


@pytest.fixture
def api() -> Generator[KfpApiServer]:
    with KfpApiServer() as server:
        yield server


@pytest.fixture
def client(api: KfpApiServer) -> Client:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return Client(host=api.url)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A compiled pipeline with a Kubernetes part, so of two documents."""
    from kfp import kubernetes

    @dsl.component(base_image="example.com/image")
    def step(source: str, seed: int) -> str:
        return f"{source}{seed}"

    @dsl.pipeline(name="stand-in")
    def pipeline(source: str, seed: int = 0):
        task = step(source=source, seed=seed)  # pyright: ignore[reportCallIssue]
        kubernetes.set_image_pull_policy(task, "Always")

    path = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return str(path)


def recurring(api: KfpApiServer, client: Client, **changes: Any) -> V2beta1RecurringRun:
    (pipeline,) = api.pipelines
    fields: dict[str, Any] = {
        "display_name": "weekly",
        "experiment_id": client.create_experiment("e").experiment_id,
        "pipeline_version_reference": V2beta1PipelineVersionReference(pipeline_id=pipeline),
        "runtime_config": {"parameters": {"source": "gs://b"}},
        "max_concurrency": "1",
        "mode": RecurringRunMode.DISABLE,
        "trigger": V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron="0 0 3 * * 1")),
    }
    body = V2beta1RecurringRun(**{**fields, **changes})
    return client._recurring_run_api.recurring_run_service_create_recurring_run(body)


def test_the_usual_way_works(api: KfpApiServer, client: Client, package: str) -> None:
    pipeline = client.upload_pipeline(package, pipeline_name="training")
    version = client.upload_pipeline_version(package, "v2", pipeline_id=pipeline.pipeline_id)
    assert client.get_pipeline_id("training") == pipeline.pipeline_id
    assert client.get_pipeline_id("other") is None
    assert client.pipelines.pipeline_service_get_pipeline_by_name("training").pipeline_id == pipeline.pipeline_id
    listed = client.list_pipeline_versions(pipeline.pipeline_id, sort_by="created_at desc").pipeline_versions
    assert [v.display_name for v in listed] == ["v2", "training"]
    assert version.pipeline_spec["pipeline_spec"]["pipelineInfo"]["name"] == "stand-in"

    experiment = client.create_experiment("nightly")
    assert client.create_experiment("nightly").experiment_id == experiment.experiment_id
    where = {"pipeline_id": pipeline.pipeline_id, "version_id": version.pipeline_version_id}
    run = client.run_pipeline(experiment.experiment_id, "run", params={"source": "gs://b"}, **where)
    assert client.get_run(run.run_id).state == "PENDING"
    api.set_run(run.run_id, "FAILED", [{"display_name": "step", "state": "FAILED"}])
    api.set_log(run.run_id, "pod-1", "oh dear\n")
    details = client.get_run(run.run_id).run_details.task_details
    assert [(task.display_name, task.state) for task in details] == [("step", "FAILED")]
    with urllib.request.urlopen(f"{api.url}/apis/v1alpha1/runs/{run.run_id}/nodes/pod-1/log") as answer:
        assert answer.read() == b"oh dear\n"

    scheduled = client.create_recurring_run(
        experiment.experiment_id, "weekly", cron_expression="0 0 3 * * 1", no_catchup=True,
        params={"source": "gs://b"}, start_time="2030-01-01T02:00:00+02:00", **where,
    )  # fmt: skip
    client.disable_recurring_run(scheduled.recurring_run_id)
    kept = client.get_recurring_run(scheduled.recurring_run_id)
    assert (kept.status, kept.max_concurrency, kept.no_catchup) == ("DISABLED", "1", True)
    assert [run.display_name for run in client.list_recurring_runs().recurring_runs] == ["weekly"]
    assert kept.trigger.cron_schedule.start_time.isoformat() == "2030-01-01T00:00:00+00:00"
    client.delete_recurring_run(scheduled.recurring_run_id)
    client.archive_run(run.run_id)
    assert client.list_recurring_runs().recurring_runs is None
    assert api.runs[run.run_id]["storage_state"] == "ARCHIVED"


def test_lists_come_in_pages(api: KfpApiServer, client: Client) -> None:
    for index in range(5):
        client.create_experiment(f"e{index}")
    substring = json.dumps({"predicates": [{"operation": "IS_SUBSTRING", "key": "display_name", "stringValue": "e"}]})
    names: list[str] = []
    token = ""
    while True:
        page = client.list_experiments(page_token=token, page_size=2, filter=substring)
        names += [experiment.display_name for experiment in page.experiments]
        if not (token := page.next_page_token):
            break
    assert names == [f"e{index}" for index in range(5)]
    first = client.list_experiments(page_size=2)
    with pytest.raises(ApiException, match="another query"):
        client.list_experiments(page_token=first.next_page_token, page_size=2, filter=substring)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_concurrency": "11"}, "1 to 10"),
        ({"max_concurrency": None}, "max_concurrency"),
        ({"mode": "ON"}, "none of"),
        ({"trigger": V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron="0 3 * * 1"))}, "six fields"),
        ({"trigger": V2beta1Trigger()}, "exactly one"),
        ({"trigger": {"cron_schedule": {"cron": "0 0 3 * * 1"}, "periodic_schedule": {"interval_second": "9"}}}, "one"),
        ({"trigger": {"cron_schedule": {"cron": "0 0 3 * * 1", "zone": "UTC"}}}, "unknown field"),
        ({"runtime_config": {"parameters": {}}}, "parameter source is not optional"),
        ({"runtime_config": {"parameters": {"source": 3}}}, "STRING"),
        ({"runtime_config": {"parameters": {"source": "", "sead": 3}}}, "'sead'"),
        ({"experiment_id": "gone"}, "not found"),
        ({"created_at": "2030-01-01T00:00:00Z"}, "not for a client"),
        ({"pipeline_version_reference": None}, "exactly one"),
    ],
)
def test_a_bad_recurring_run_is_refused(
    api: KfpApiServer, client: Client, package: str, changes: dict[str, Any], says: str
) -> None:
    client.upload_pipeline(package)
    recurring(api, client)  # good without the change
    with pytest.raises(ApiException, match=says):
        recurring(api, client, **changes)
    assert len(api.recurring_runs) == 1


def test_what_exists_is_not_made_twice(api: KfpApiServer, client: Client, package: str, tmp_path: Path) -> None:
    pipeline = client.upload_pipeline(package, pipeline_name="training")
    with pytest.raises(ApiException) as conflict:
        client.upload_pipeline(package, pipeline_name="training")
    assert conflict.value.status == 409
    with pytest.raises(ApiException) as conflict:
        client.upload_pipeline_version(package, "training", pipeline_id=pipeline.pipeline_id)
    assert conflict.value.status == 409
    broken = tmp_path / "broken.yaml"
    broken.write_text(Path(package).read_text().replace("deploymentSpec:", "deploymentSpeck:"))
    with pytest.raises(ApiException, match="deploymentSpeck"):
        client._upload_api.upload_pipeline(str(broken), name="broken")


def test_faults_happen_when_told(api: KfpApiServer, client: Client) -> None:
    def create() -> None:
        client._experiment_api.experiment_service_create_experiment({"display_name": "e"})

    api.fail_next("POST", "/experiments", 429)
    with pytest.raises(ApiException) as busy:
        create()
    assert busy.value.status == 429
    api.fail_next("POST", "/experiments", "drop")
    with pytest.raises(urllib3.exceptions.HTTPError):
        create()
    assert not api.experiments
    api.fail_next("POST", "/experiments", "drop-after")
    with pytest.raises(urllib3.exceptions.HTTPError):
        create()
    assert len(api.experiments) == 1
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{api.url}/apis/v2beta1/nothing")


def test_a_token_is_asked_for() -> None:
    with KfpApiServer(token="secret") as api, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        right = Client(host=api.url, existing_token="secret", namespace="n")
        assert right.list_runs().runs is None
        with pytest.raises(ApiException, match="Unauthorized"):
            Client(host=api.url, existing_token="wrong", namespace="n").list_runs()
