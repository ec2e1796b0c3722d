"""The sections of the report. Each template here is one, in the order of the names; to add one, add a file.

A section says for the page's menu what it is called (`title`) and where it begins (`anchor`), or neither, and gets
`evaluation` (the objects), `shown` (the same, each value with its place in the file, for the filters of `placed`),
`pictures`, `examples`, `card` and what else `render_report` gives. One that has nothing to say is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lesionflow.reporting.page import load_template
from lesionflow.reporting.placed import FORMS


@dataclass(frozen=True)
class Section:
    """A section as it stands on the page."""

    title: str | None
    """In the menu; None if it is not there."""
    anchor: str | None
    body: Markup


def render_sections(context: Mapping[str, Any], **filters: Any) -> list[Section]:
    """All sections that have something to say.

    Args:
        context: what the templates may use.
        **filters: of the templates, besides those of `placed`.
    """
    found: list[Section] = []
    for path in sorted(Path(__file__).parent.glob("*.html.j2")):
        rendered: Any = load_template(path, **FORMS, **filters).make_module(dict(context))
        if body := str(rendered).strip():
            title, anchor = (getattr(rendered, name, None) for name in ("title", "anchor"))
            # Templates escape what they are given.
            found.append(Section(title, anchor, Markup(body)))
    return found
