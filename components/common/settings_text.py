"""Settings that a user gives as a preset's name, a file, or the text of one."""

from collections.abc import Collection
from pathlib import Path

import yaml

from components.common.errors import UserError


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
