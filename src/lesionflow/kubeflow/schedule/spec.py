"""What a schedule's file says."""

import math
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from lesionflow.errors import UserError
from lesionflow.kubeflow.compile import uploaded_as
from lesionflow.kubeflow.schedule.cron import six_fields
from lesionflow.kubeflow.values import with_contents
from lesionflow.profile import ClusterProfile, load_profile

LATEST = "latest"
OF_ALL_PROFILES = ("lesionflow-training", "lesionflow-cross-validation")
"""Pipelines to which `submit` uploaded, whatever the profile, before each profile had its own."""


def _interval(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,9})s)?", str(value))
    days, hours, minutes, seconds = (int(number or 0) for number in match.groups()) if match else (0, 0, 0, 0)
    interval = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not interval:
        raise ValueError(f"expected a time with units, such as 7d, 12h or 1h30m, received {value!r}")
    return interval


def _parameters(value: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, parameter in value.items():
        if not _is_json(parameter):
            kind = type(parameter).__name__
            raise ValueError(
                f"{name}: expected text, a number, true or false, a list or a mapping of these, received "
                f"a {kind}, {parameter}; put it in quotes to make it text"
            )
    return value


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(_is_json(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())  # pyright: ignore[reportUnknownVariableType]
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _no_number(value: object) -> object:
    if isinstance(value, int | float):  # pydantic would take seconds since 1970
        raise ValueError(f"expected a time such as 2030-01-31T03:00:00Z, received {value!r}")
    return value


Text = Annotated[str, Field(pattern=r"^\S(.*\S)?$", strict=True)]
Time = Annotated[AwareDatetime, BeforeValidator(_no_number)]


class Schedule(BaseModel):
    """One recurring run. Its name is its identity: two files of one name describe the same schedule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    profile: Text = "generic"
    """What the pipeline was submitted with: built in, or a YAML file."""
    pipeline: Text | None = None
    """Name of another pipeline than the one that `submit` uploads with this profile."""
    version: Text = LATEST
    """`latest`: the newest at each run. Otherwise the name or id of one version."""
    cron: Annotated[str, Field(strict=True), AfterValidator(six_fields)] | None = None
    interval: Annotated[timedelta, BeforeValidator(_interval)] | None = None
    start: Time | None = None
    end: Time | None = None
    catch_up: StrictBool = False
    """Whether runs that were missed, when the server was down or the schedule paused, are all made up for."""
    concurrency: int = Field(default=1, ge=1, le=10, strict=True)
    """How many of its runs may be at work at the same time."""
    paused: StrictBool = False
    experiment: Text | None = None
    """Experiment of the runs; None for the one in the settings of the cluster."""
    service_account: Text = ClusterProfile.model_fields["service_account"].default
    """That the runs' pods use. Always sent: the server's own default may do far more, or reach no bucket."""
    pipeline_root: Text | None = None
    """Where the runs' artifacts go; None for the server's default."""
    parameters: Annotated[dict[str, Any], AfterValidator(_parameters)] = {}
    """What the pipeline is given. A recipe or policy may be a file of this machine, which is sent as what it says."""

    def pipeline_name(self) -> str:
        """Name of the pipeline on the server.

        Raises:
            UserError: there is no such profile.
        """
        return self.pipeline or uploaded_as(load_profile(self.profile))

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("expected exactly one of cron and interval")
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"end {self.end.isoformat()} is not after start {self.start.isoformat()}")
        return self


def load_schedule(file: Path) -> tuple[Schedule, str]:
    """Read a schedule's file.

    Args:
        file: YAML.

    Returns:
        The schedule, and what was translated on the way, as a sentence; empty if nothing was.

    Raises:
        UserError: the file cannot be read, or a field is unknown, missing or wrong.
    """
    try:
        fields = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The schedule {file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"The schedule {file} cannot be read: it is not UTF-8 text.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {_yaml_problem(error)}.") from None
    if not isinstance(fields, dict):
        raise UserError(f"{file} must hold the fields of a schedule, such as `name: weekly`; received {fields!r:.80}.")
    try:
        schedule = Schedule.model_validate(fields)
    except ValidationError as error:
        raise UserError(f"{file}: {'; '.join(_problem(each) for each in error.errors())}.") from None
    try:
        schedule.pipeline_name()
    except UserError as error:
        raise UserError(f"{file}: profile: {error}") from None
    try:
        schedule = schedule.model_copy(update={"parameters": with_contents(schedule.parameters)})
    except UserError as error:
        raise UserError(f"{file}: parameters: {error}") from None
    given = str(fields.get("cron", ""))
    if schedule.cron is None or given.split() == schedule.cron.split():
        return schedule, ""
    return schedule, f"cron {given!r} is sent as {schedule.cron!r}: Kubeflow wants six fields, seconds first."


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    problem = str(getattr(error, "problem", error))
    if "alias" in problem or "alias" in str(getattr(error, "context", "")):
        problem += "; put a cron expression that begins with * in quotes"
    return where + problem


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-"))
    if error["type"] == "extra_forbidden":
        return f"unknown field {place}; expected {', '.join(Schedule.model_fields)}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "timezone_aware":
        message = "the time zone is missing, write for example 2030-01-31T03:00:00Z"
    elif error["type"] == "string_pattern_mismatch":
        message = "expected text that neither begins nor ends with a space"
    if error["type"] in ("missing", "value_error"):  # our own messages say what was received
        return f"{place}: {message}" if place else message
    received = error["input"]
    return f"{place}: {message}, received {received if isinstance(received, date) else repr(received)}"
