"""A schedule's `latest` is of its own profile, whatever else is submitted. The server is a stand-in."""

from pathlib import Path
from typing import Any

import pytest
from kfp_api.server import KfpApiServer

from lesionflow.errors import UserError
from lesionflow.kubeflow.compile import uploaded_as
from lesionflow.kubeflow.schedule.reconcile import reconcile
from lesionflow.kubeflow.schedule.recurring import Server
from lesionflow.kubeflow.schedule.spec import Schedule, load_schedule
from lesionflow.kubeflow.send import send
from lesionflow.kubeflow.submission import prepare_submission
from lesionflow.profile import load_profile

PARAMETERS = {"source": "gs://b/d", "registry": "gs://b/r"}


@pytest.fixture
def submit(api: KfpApiServer, client: Any) -> Any:
    """Submit with a profile: a function of its name."""
    count = 0

    def one(profile: str, folds: int | None = None) -> None:
        nonlocal count
        count += 1
        parameters = PARAMETERS if folds is None else {"source": "gs://b/d"}
        send(
            client,
            prepare_submission(load_profile(profile), parameters, "lesionflow", f"run-{count}", None, None, folds),
        )

    return one


def weekly(**fields: Any) -> Schedule:
    given = {"name": "weekly", "cron": "0 0 3 * * 1", "parameters": PARAMETERS}
    return Schedule.model_validate(given | fields)


def applied(api: KfpApiServer, client: Any, schedule: Schedule) -> tuple[dict[str, Any], int]:
    """The schedule's recurring run afterwards, and how many of its name were ever active at once."""
    most = 0

    def watch() -> None:
        nonlocal most
        named = [run for run in api.recurring_runs.values() if run["display_name"] == schedule.name]
        most = max(most, sum(run["status"] == "ENABLED" for run in named))

    api.after_request = watch
    server = Server(client)
    reconcile(server, server.with_experiment(server.resolve(schedule, "lesionflow", "schedule.yaml")), lambda _: None)
    (run,) = (run for run in api.recurring_runs.values() if run["display_name"] == schedule.name)
    return run, most


def newest(client: Any, run: dict[str, Any]) -> str:
    """What the server would run: the newest version of the schedule's pipeline, as text."""
    reference = run["pipeline_version_reference"]
    assert "pipeline_version_id" not in reference, "`latest` is looked up by the server at each run"
    versions = client.list_pipeline_versions(reference["pipeline_id"], sort_by="created_at desc").pipeline_versions
    return str(versions[0].pipeline_spec)


def test_what_is_submitted_with_another_profile_is_not_scheduled(
    api: KfpApiServer, client: Any, submit: Any, tmp_path: Path
) -> None:
    own = tmp_path / "t4.yaml"
    own.write_text("{extends: gke, accelerator: nvidia-tesla-t4}")
    submit("gke")
    run, _ = applied(api, client, weekly(profile="gke"))
    before = newest(client, run)
    assert "nvidia-l4" in before
    for profile in ("cpu-only", "generic", str(own)):
        submit(profile)
    submit("gke", folds=2)
    assert newest(client, run) == before
    run, _ = applied(api, client, weekly(profile=str(own)))
    assert "nvidia-tesla-t4" in newest(client, run)


def test_a_number_of_folds_has_a_pipeline_of_its_own() -> None:
    gke = load_profile("gke")
    assert uploaded_as(gke, 5) == "lesionflow-cross-validation-5-folds-gke"
    assert uploaded_as(gke, 10) != uploaded_as(gke, 5)


def test_a_schedule_of_before_moves_over_without_ever_being_doubled(
    api: KfpApiServer, client: Any, submit: Any, package: Path, tmp_path: Path
) -> None:
    profile = str(tmp_path / "moved.yaml")
    Path(profile).write_text("extends: cpu-only")
    old = client.pipeline_uploads.upload_pipeline(str(package), name="lesionflow-training")
    before, _ = applied(api, client, weekly(pipeline="lesionflow-training"))
    assert before["pipeline_version_reference"] == {"pipeline_id": old.pipeline_id}

    with pytest.raises(UserError, match=r"no pipeline 'lesionflow-training-moved'.*`lesionflow submit --profile /"):
        applied(api, client, weekly(profile=profile))
    assert list(api.recurring_runs.values()) == [before], "until then the old one stays as it was"

    submit(profile)
    after, most = applied(api, client, weekly(profile=profile))
    assert (len(api.recurring_runs), after["status"], most) == (1, "ENABLED", 1)
    assert after["pipeline_version_reference"]["pipeline_id"] != old.pipeline_id
    assert applied(api, client, weekly(profile=profile))[0] == after


def test_naming_the_pipeline_or_the_profile_is_the_same_schedule(api: KfpApiServer, client: Any, submit: Any) -> None:
    submit("generic")
    run, _ = applied(api, client, weekly(pipeline="lesionflow-training-generic"))
    assert applied(api, client, weekly())[0] == run


def test_a_profile_that_does_not_exist_is_said_without_a_server(tmp_path: Path) -> None:
    file = tmp_path / "schedule.yaml"
    file.write_text("{name: weekly, interval: 7d, profile: gpu}")
    with pytest.raises(UserError, match=r"schedule\.yaml: profile: There is no cluster profile 'gpu'"):
        load_schedule(file)
