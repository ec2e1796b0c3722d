"""Schedules as the server has them and as a file asks for them."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import kfp_server_api as api

from lesionflow.kubeflow.schedule.spec import Schedule


@dataclass(frozen=True)
class Observed:
    """A recurring run as the server has it."""

    id: str
    name: str
    digest: str
    """Digest of the file it was made from; empty if it was not made by us."""
    active: bool
    created_at: datetime
    run: api.V2beta1RecurringRun = field(repr=False, compare=False)


@dataclass(frozen=True)
class Desired:
    """What a file asks for, with the server's ids for its names."""

    schedule: Schedule
    pipeline_id: str
    version_id: str
    """Empty for the latest at each run."""
    experiment: str
    experiment_id: str
    """Empty if there is none of that name yet."""

    @property
    def digest(self) -> str:
        """Digest of everything that cannot be changed in place, so all but `paused`.

        Compared instead of the fields: the server fills some in (a service account), and an apply must not
        replace a schedule for ever because of one that it fills in some day.
        """
        named = {"paused", "profile", "pipeline", "version", "experiment"}
        fields = self.schedule.model_dump(mode="json", exclude=named)
        ids = [self.pipeline_id, self.version_id, self.experiment_id]
        return hashlib.sha256(json.dumps([fields, ids], sort_keys=True).encode()).hexdigest()[:16]

    def body(self, replacing: bool) -> api.V2beta1RecurringRun:
        """The request that creates it, disabled.

        Args:
            replacing: whether there already is a schedule of this name.
        """
        wanted = self.schedule
        # A start that is past makes the server run at once (without catch-up) or the whole time since (with), and
        # a recreated schedule has forgotten what ran: so it counts only the first time, for a catch-up.
        past = wanted.start is not None and wanted.start <= datetime.now(UTC)
        start = None if past and (replacing or not wanted.catch_up) else wanted.start
        times = {"start_time": _rfc3339(start), "end_time": _rfc3339(wanted.end)}
        if wanted.interval:
            seconds = str(int(wanted.interval.total_seconds()))
            schedule = {"periodic_schedule": api.V2beta1PeriodicSchedule(**times, interval_second=seconds)}
        else:
            schedule = {"cron_schedule": api.V2beta1CronSchedule(**times, cron=wanted.cron)}
        return api.V2beta1RecurringRun(
            display_name=wanted.name,
            description=f"Kept by `lesionflow schedule apply`; pause or change it there. [lesionflow {self.digest}]",
            # Without a version id the server takes the newest at each run (kfp#11560); kfp.Client insists on one.
            pipeline_version_reference=api.V2beta1PipelineVersionReference(
                pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id or None
            ),
            runtime_config=api.V2beta1RuntimeConfig(parameters=wanted.parameters, pipeline_root=wanted.pipeline_root),
            service_account=wanted.service_account,
            max_concurrency=str(wanted.concurrency),
            trigger=api.V2beta1Trigger(**schedule),
            mode=api.RecurringRunMode.DISABLE,
            no_catchup=not wanted.catch_up,  # always sent: left out, the server catches up
            experiment_id=self.experiment_id,
        )


def _rfc3339(time: datetime | None) -> str | None:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time else None
