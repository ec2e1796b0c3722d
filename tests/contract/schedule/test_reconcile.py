"""Applying schedules over HTTP, with crashes, lost answers and strangers in between.

The server is a stand-in (see `kfp_api.server`); the crashes are real exceptions inside kfp's client.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from kfp_api.server import KfpApiServer

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client import transport
from lesionflow.kubeflow.schedule.reconcile import plan, reconcile
from lesionflow.kubeflow.schedule.recurring import Desired, Server
from lesionflow.kubeflow.schedule.spec import Schedule


def weekly(**changes: Any) -> Schedule:
    fields = {"name": "weekly", "pipeline": "training", "cron": "0 0 3 * * 1", "parameters": {"source": "gs://b"}}
    return Schedule(**{**fields, **changes})


FILES = [
    weekly(),
    weekly(paused=True),
    weekly(cron="0 0 4 * * 1"),
    weekly(version="v2"),
    weekly(parameters={"source": "gs://b", "seed": 1}),
    weekly(cron=None, interval="12h", concurrency=3, paused=True),
]


@dataclass(frozen=True)
class Attempt:
    """One `apply`, and what goes wrong."""

    file: int
    crash_at: int | None
    """Number of the request at which the command is killed."""
    after: bool
    """Whether that request still takes effect."""
    faults: list[tuple[str, str, Any, int]]


FAULTS = st.tuples(
    st.sampled_from(["POST", "GET", "DELETE"]),
    st.sampled_from(["recurringruns$", "recurringruns/", "recurringruns", "experiments", "versions"]),
    st.sampled_from([500, 404, 409, 429, "drop", "drop-after"]),
    st.integers(1, 6),
)
ATTEMPTS = st.builds(
    Attempt,
    st.integers(0, len(FILES) - 1),
    st.none() | st.integers(1, 18),
    st.booleans(),
    st.lists(FAULTS, max_size=2),
)


class _Killed(BaseException):
    """What a SIGKILL is to the server: the client is simply not there any more."""


@contextmanager
def killed_at(number: int | None, after: bool) -> Generator[None]:
    original, count = transport.RESTClientObject.request, 0

    def request(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and not after:
            raise _Killed
        answer = original(*args, **options)
        if count == number:
            raise _Killed
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport.RESTClientObject, "request", request)
        yield


def attempt(server: Server, schedule: Schedule) -> None:
    desired = server.resolve(schedule, "lesionflow", "schedule.yaml")
    reconcile(server, server.with_experiment(desired), lambda step: None)


def named(api: KfpApiServer, name: str = "weekly") -> list[dict[str, Any]]:
    return [run for run in api.recurring_runs.values() if run["display_name"] == name]


def stranger(api: KfpApiServer, name: str, status: str) -> None:
    """A schedule that someone made in the user interface."""
    identifier = f"stranger-{len(api.recurring_runs)}"
    api.recurring_runs[identifier] = {
        "recurring_run_id": identifier, "display_name": name, "status": status, "max_concurrency": "1",
        "mode": status.removesuffix("D"), "created_at": "2029-01-01T00:00:00Z", "service_account": "pipeline-runner",
        "trigger": {"periodic_schedule": {"interval_second": "3600"}},
    }  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(ATTEMPTS, max_size=4),
    st.integers(0, len(FILES) - 1),
    st.sampled_from([[], ["ENABLED"], ["DISABLED", "ENABLED"], ["DISABLED", "DISABLED"]]),
)
@pytest.mark.slow
def test_any_history_converges(
    api: KfpApiServer, client: Any, attempts: list[Attempt], last: int, strangers: list[str]
) -> None:
    api.clear()
    for status in strangers:
        stranger(api, "weekly", status)
    stranger(api, "another", "ENABLED")
    other = dict(named(api, "another")[0])
    server = Server(client)
    most = 0

    def watch() -> None:
        nonlocal most
        most = max(most, sum(run["status"] == "ENABLED" for run in named(api)))

    api.after_request = watch
    for each in attempts:
        note(str(each))
        for fault in each.faults:
            api.fail_next(*fault)
        try:
            with killed_at(each.crash_at, each.after):
                attempt(server, FILES[each.file])
        except (_Killed, UserError, ClusterError) as error:
            note(f"  ended by {error!r}")
        api._faults.clear()

    attempt(server, FILES[last])

    assert most <= 1, "two schedules of one name were active at once"
    (run,) = named(api)
    wanted = FILES[last]
    assert run["status"] == ("DISABLED" if wanted.paused else "ENABLED")
    assert run["no_catchup"] is True
    assert run["max_concurrency"] == str(wanted.concurrency)
    assert run["runtime_config"]["parameters"] == wanted.parameters
    assert run["trigger"] == (
        {"cron_schedule": {"cron": wanted.cron}} if wanted.cron else {"periodic_schedule": {"interval_second": "43200"}}
    )
    assert ("pipeline_version_id" in run["pipeline_version_reference"]) == (wanted.version == "v2")
    assert named(api, "another") == [other]
    assert len(api.experiments) == 1

    api.requests.clear()
    attempt(server, wanted)
    assert {method for method, *_ in api.requests} == {"GET"}, "an equal schedule was changed"


def test_a_change_in_the_only_safe_order(api: KfpApiServer, client: Any) -> None:
    server = Server(client)
    attempt(server, FILES[0])
    (old,) = api.recurring_runs
    api.requests.clear()
    attempt(server, FILES[2])
    (new,) = api.recurring_runs
    changes = [(method, path.split("/recurringruns")[1]) for method, path, _ in api.requests if method != "GET"]
    # ORPHAN: without it Kubernetes would end a retraining at work along with its schedule.
    assert changes == [
        ("POST", ""),
        ("POST", f"/{old}:disable"),
        ("DELETE", f"/{old}?propagation_policy=ORPHAN"),
        ("POST", f"/{new}:enable"),
    ]


def test_only_paused_changes_in_place(api: KfpApiServer, client: Any) -> None:
    server = Server(client)
    attempt(server, FILES[0])
    (before,) = api.recurring_runs
    attempt(server, FILES[1])
    assert api.recurring_runs[before]["status"] == "DISABLED"
    attempt(server, FILES[0])
    assert {before: "ENABLED"} == {identifier: run["status"] for identifier, run in api.recurring_runs.items()}


def test_a_plan_is_what_apply_then_does(api: KfpApiServer, client: Any) -> None:
    server = Server(client)
    attempt(server, FILES[0])
    stranger(api, "weekly", "DISABLED")
    desired = server.with_experiment(server.resolve(FILES[2], "lesionflow", "f"))
    planned = [step.verb for step in plan(desired, server.observed("weekly"))]
    assert planned == ["create", "disable", "delete", "delete", "enable"]
    done: list[str] = []
    reconcile(server, desired, lambda step: done.append(step.verb))
    assert done == planned


@pytest.mark.parametrize("how", [500, "drop", "drop-after"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "recurringruns$"), ("POST", ":disable"), ("DELETE", ""), ("POST", ":enable")]
)
def test_a_lost_answer_is_no_reason_to_give_up(
    api: KfpApiServer, client: Any, method: str, path: str, how: Any
) -> None:
    server = Server(client)
    attempt(server, FILES[0])
    api.fail_next(method, path, how)
    attempt(server, FILES[2])
    assert [(run["status"], run["trigger"]["cron_schedule"]["cron"]) for run in named(api)] == [
        ("ENABLED", "0 0 4 * * 1")
    ]


@pytest.mark.parametrize(("method", "path"), [("DELETE", ""), ("POST", ":enable")])
def test_what_is_gone_by_the_time_is_looked_for_again(api: KfpApiServer, client: Any, method: str, path: str) -> None:
    server = Server(client)
    attempt(server, FILES[0])
    api.fail_next(method, path, 404)
    attempt(server, FILES[2])
    assert [run["status"] for run in named(api)] == ["ENABLED"]


def test_the_one_at_work_stays_of_two_equal_ones(api: KfpApiServer, client: Any) -> None:
    server = Server(client)
    desired = server.with_experiment(server.resolve(FILES[0], "lesionflow", "f"))
    server.create(desired, replacing=False)
    server.create(desired, replacing=False)
    _, active = api.recurring_runs
    server.enable(active)
    attempt(server, FILES[0])
    assert list(api.recurring_runs) == [active]


def test_a_name_is_told_from_one_in_capitals(api: KfpApiServer, client: Any) -> None:
    """As a database that ignores case would list it."""
    stranger(api, "Weekly", "ENABLED")
    listed = Server(client)._list
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "_list", lambda self, filtered: listed(None))
        attempt(Server(client), FILES[0])
    assert len(named(api, "Weekly")) == 1


def test_a_refused_creation_leaves_the_old_one_alone(api: KfpApiServer, client: Any) -> None:
    server = Server(client)
    attempt(server, FILES[0])
    before = dict(api.recurring_runs)
    api.fail_next("POST", "recurringruns$", 409)
    with pytest.raises(UserError, match="409"):
        attempt(server, FILES[2])
    assert api.recurring_runs == before


def test_half_a_change_is_said_to_be_one(api: KfpApiServer, client: Any) -> None:
    server = Server(client)
    attempt(server, FILES[0])
    api.fail_next("POST", ":enable", 500, times=9)
    with pytest.raises(ClusterError, match=r"\(500\).*half changed and may not run"):
        attempt(server, FILES[2])
    assert [run["status"] for run in named(api)] == ["DISABLED"]


def test_endless_changes_of_someone_else_come_to_an_end(api: KfpApiServer, client: Any) -> None:
    server = Server(client)

    def meddle() -> None:
        for run in named(api):
            run["status"] = "DISABLED"

    api.after_request = meddle
    with pytest.raises(ClusterError, match="someone else"):
        attempt(server, FILES[0])


@pytest.mark.parametrize(
    ("catch_up", "replacing", "sent"), [(False, False, False), (True, False, True), (True, True, False)]
)
def test_a_past_start_is_sent_only_to_catch_up_and_once(catch_up: bool, replacing: bool, sent: bool) -> None:
    schedule = weekly(start="2020-01-01T00:00:00Z", catch_up=catch_up)
    body: Any = Desired(schedule, "pipeline", "", "e", "experiment").body(replacing)
    assert (body.trigger.cron_schedule.start_time == "2020-01-01T00:00:00Z") == sent
    assert body.no_catchup is not catch_up


def test_a_coming_start_is_always_sent() -> None:
    schedule = weekly(start="2999-01-01T02:00:00+02:00")
    body: Any = Desired(schedule, "pipeline", "", "e", "experiment").body(replacing=True)
    assert body.trigger.cron_schedule.start_time == "2999-01-01T00:00:00Z"
