"""Self-contained HTML pages: no scripts, no network; light, dark, on paper and on a phone."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup


def load_template(path: Path, **filters: Callable[..., str]) -> Template:
    """Load a Jinja template that refuses undefined names and, unless it is Markdown, escapes what it is given.

    Args:
        path: the template's file; it may include templates beside it, and those beside this module.
        **filters: its own filters, by name.
    """
    loader = FileSystemLoader([path.parent, Path(__file__).parent])
    environment = Environment(
        loader=loader,
        autoescape=lambda name: name is None or not name.endswith(".md.j2"),  # Markdown shows entities in code
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(path.name)


def render_page(title: str, body: str, style: str = "") -> str:
    """A complete HTML document.

    The style sheet has classes for the parts that reports share: `note` (with `good`, `bad` or
    `warn`), `number` for table cells, `quiet`, `columns`, and `scroll` around wide tables. What
    scrolls needs `tabindex="0"`, or a keyboard cannot reach it.

    Args:
        title: plain text for the browser's tab; escaped here.
        body: HTML markup; put in as it is.
        style: CSS rules that this page needs besides the shared ones.
    """
    template = load_template(Path(__file__).with_name("page.html.j2"))
    # Bodies and styles are markup that our own templates rendered, with their values escaped there.
    return template.render(title=title, body=Markup(body), style=Markup(style))
