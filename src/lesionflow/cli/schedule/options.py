"""Options of the verbs of `lesionflow schedule`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionflow.errors import UserError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

File = Annotated[Path, typer.Argument(help="YAML file that describes the schedule; docs/schedule.yaml is one.")]
Name = Annotated[str, typer.Argument(help="Name of the schedule.")]
TimeZone = Annotated[
    str,
    typer.Option("--timezone", envvar="CRON_SCHEDULE_TIMEZONE", help="The server's, for the times shown here."),
]


def zone_of(name: str) -> "ZoneInfo":
    """The time zone of that name.

    Raises:
        UserError: there is none.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"--timezone: expected a name such as UTC or Europe/Vienna, received {name!r}.") from None
