"""Cards in Markdown, as model hubs read them: metadata in YAML, then text with values from outside in it."""

from collections.abc import Mapping
from typing import Any

import yaml

_LICENCES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "Apache-2.0": "apache-2.0"}


def render_card(metadata: Mapping[str, Any], body: str) -> str:
    """A card: the metadata as a block of YAML, then the body."""
    return f"---\n{yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True)}---\n\n{body}"


def cell(value: object) -> str:
    """Text that stays in its cell of a table and is no markup."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def code(value: object) -> str:
    """A value from outside, as it is, whatever it holds."""
    text = cell(value).replace("`", "'")
    return f"`{text}`"


def licence_name(text: str) -> str:
    """The hub's name of the licence that a data card speaks of."""
    return next((name for words, name in _LICENCES.items() if words in text), "other")
