"""A schedule in words: its settings, and when it runs next."""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import kfp_server_api as api

from lesionflow.kubeflow.schedule.cron import six_fields, times
from lesionflow.kubeflow.schedule.recurring import Server
from lesionflow.kubeflow.schedule.spec import LATEST, OF_ALL_PROFILES

LEFT_BEHIND = (
    "it follows the latest version of a pipeline that `submit` uploads no more to, as each profile has its own now; "
    "leave `pipeline` out of the file, set `profile`, and apply it."
)
"""What to say of a schedule of which `is_left_behind`."""


def settings(run: api.V2beta1RecurringRun, server: Server) -> dict[str, str]:
    """The settings of a recurring run, named as in a schedule's file; those left at their default are absent."""
    values: Any = run
    schedule = values.trigger.cron_schedule or values.trigger.periodic_schedule
    shown = {
        "cron": schedule.cron if values.trigger.cron_schedule else "",
        "interval": "" if values.trigger.cron_schedule else _interval(schedule.interval_second),
        "start": _time(schedule.start_time),
        "end": _time(schedule.end_time),
        "catch_up": "" if values.no_catchup else "true",
        "concurrency": "" if values.max_concurrency == "1" else values.max_concurrency,
        "pipeline": _pipeline(values, server),
        "version": version(run, server),
        "experiment": server.experiment_name(values.experiment_id) if values.experiment_id else "",
        "service_account": values.service_account or "",
    }
    runtime = values.runtime_config or api.V2beta1RuntimeConfig()
    shown["pipeline_root"] = runtime.pipeline_root or ""
    parameters: dict[str, Any] = runtime.parameters or {}
    shown |= {f"parameters.{name}": json.dumps(value, ensure_ascii=False) for name, value in parameters.items()}
    return {name: text for name, text in shown.items() if text}


def trigger(run: api.V2beta1RecurringRun) -> str:
    """When it runs, short."""
    values: Any = run
    if values.trigger.cron_schedule:
        return values.trigger.cron_schedule.cron
    return f"every {_interval(values.trigger.periodic_schedule.interval_second)}"


def version(run: api.V2beta1RecurringRun, server: Server) -> str:
    """Which version of its pipeline it runs."""
    reference: Any = run.pipeline_version_reference
    if reference is None:
        return "its own"  # made from a file, not from an uploaded pipeline
    if not reference.pipeline_version_id:
        return LATEST
    return server.version_name(reference.pipeline_id, reference.pipeline_version_id)


def is_left_behind(run: api.V2beta1RecurringRun, server: Server) -> bool:
    """Whether it follows the latest version of a pipeline that got those of all profiles once, and gets none now."""
    reference: Any = run.pipeline_version_reference
    if reference is None or reference.pipeline_version_id:
        return False
    return server.pipeline_name(reference.pipeline_id) in OF_ALL_PROFILES


def next_times(
    run: api.V2beta1RecurringRun, last: datetime | None, created: datetime, now: datetime, zone: tzinfo, count: int
) -> list[datetime]:
    """When it runs next, if it is enabled.

    Args:
        run: the recurring run.
        last: when its last run was scheduled.
        created: when it was created; an interval counts from there until there is a last run.
        now: the present.
        zone: the time zone of the server.
        count: how many times to return, at most.
    """
    values: Any = run
    schedule = values.trigger.cron_schedule or values.trigger.periodic_schedule
    start, end = _moment(schedule.start_time), _moment(schedule.end_time)
    future: Iterator[datetime]
    if values.trigger.cron_schedule:
        try:
            future = times(six_fields(schedule.cron), max(now, start or now).astimezone(zone))
        except ValueError:  # not made by us; who knows what the server makes of it
            return []
    else:
        step = timedelta(seconds=int(schedule.interval_second))
        base = last or max(created, start or created)
        base += max(0, (now - base) // step) * step
        future = (base.astimezone(zone) + index * step for index in itertools.count(1))
    return [moment for moment in itertools.islice(future, count) if end is None or moment <= end]


def _pipeline(values: Any, server: Server) -> str:
    reference = values.pipeline_version_reference
    return server.pipeline_name(reference.pipeline_id) if reference else "its own"


def _interval(seconds: str) -> str:
    rest, text = int(seconds), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        text += f"{rest // size}{unit}" if rest >= size else ""
        rest %= size
    return text


def _moment(value: datetime | str | None) -> datetime | None:
    """The API's models hold text on the way there and times on the way back."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _time(value: datetime | str | None) -> str:
    moment = _moment(value)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if moment else ""
