"""Settings that a user gives as a preset's name, a file, or the text of one."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lesionflow.errors import UserError

M = TypeVar("M", bound=BaseModel)

Place = tuple[int | str, ...]
"""Of a field within settings: names and positions, from the outside in."""


def read_settings(text: str, kind: str, presets: Collection[str]) -> tuple[object, str]:
    """Read a YAML or JSON file, or the YAML or JSON itself.

    Args:
        text: the path or the content; content has a line break or begins with a brace.
        kind: what it should be, for messages: "recipe".
        presets: names that would have been understood too, for messages.

    Returns:
        What it says, and where it was found, for messages.

    Raises:
        UserError: there is no such file, or it is not YAML.
    """
    where = "the given text"
    if "\n" not in text and not text.lstrip().startswith("{"):
        where = text
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError):  # ValueError: a name with a null byte, a file that is not UTF-8
            names = ("one of " if len(presets) > 1 else "") + ", ".join(presets)
            raise UserError(f"There is no {kind} {where!r}; expected {names}, or a YAML or JSON file.") from None
    try:
        return yaml.safe_load(text), where
    except yaml.YAMLError as error:
        raise UserError(f"The {kind} in {where} is not valid YAML: {' '.join(str(error).split())}.") from None


def check_settings(
    model: type[M], fields: object, kind: str, where: str, place: Callable[[Place], str] = lambda _: ""
) -> M:
    """Settings of a model, from what was read of a file.

    Args:
        model: what they are to be.
        fields: as read.
        kind: what it is, for messages: "recipe".
        where: it was found, for messages.
        place: what to call a field, by its location; empty for its names with dots between them.

    Raises:
        UserError: a field is unknown, missing or out of range.
    """

    def called(location: Place) -> str:
        return place(location) or ".".join(map(str, location)) or kind

    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise UserError(f"The {kind} in {where} is not valid: {_wrong_fields(error, called, model)}.") from None


def _wrong_fields(error: ValidationError, place: Callable[[Place], str], of: type[BaseModel], most: int = 200) -> str:
    """What is wrong with settings, for people; each problem with its field and at most so much of what was received."""
    return "; ".join(f"{place(each['loc'])}: {_problem(each, of, most)}" for each in error.errors())


def _problem(each: ErrorDetails, of: type[BaseModel], most: int) -> str:
    if each["type"] == "extra_forbidden":
        known = _fields(of, each["loc"][:-1])
        return "there is no such field" + (f", only {', '.join(known)}" if known else "")
    received = repr(each["input"])
    shown = received if len(received) <= most else f"{received[:most]} ..."
    return f"{each['msg'].removeprefix('Value error, ')}, received {shown}"


def _fields(model: type[BaseModel], place: Place) -> list[str]:
    """The names of the fields at a place; none below what is itself no model, a list or a union."""
    for part in place:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
