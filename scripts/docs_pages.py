"""Pages of the site that are made from the program: the command line, the steps, and files that lie elsewhere.

A hook of mkdocs (see mkdocs.yml). Nothing is written: the pages exist while the site is built.
"""

import json
import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOG = logging.getLogger("mkdocs.plugins.lesionflow")

ELSEWHERE = {
    "results.md": "benchmarks/RESULTS.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
"""Page -> the file that it shows."""

_LINK = re.compile(r"(!?)\[([^\]]+)\]\(([^)\s]+)\)")
_FILE = re.compile(r"^\{\{ file: (\S+) \}\}$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    pages = {page: shown(source) for page, source in ELSEWHERE.items()}
    pages |= {"command-line.md": command_line(), "steps.md": steps()}
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put in the files that a page names, as `{{ file: docs/schedule.yaml }}` on a line of its own; see `relinked`."""
    if page.file.src_uri not in ELSEWHERE:
        markdown = relinked(markdown, f"docs/{page.file.src_uri}")
    markdown = markdown.replace("{{ schemas }}", schemas())
    return _FILE.sub(lambda found: (ROOT / found[1]).read_text(encoding="utf-8").rstrip(), markdown)


def schemas() -> str:
    """A list of the JSON Schemas, which lie beside the pages."""
    found = sorted((ROOT / "docs" / "schemas").glob("*.json"))
    titles = [json.loads(path.read_text(encoding="utf-8")).get("title") or path.stem for path in found]
    return "\n".join(f"- [{title}](schemas/{path.name})" for path, title in zip(found, titles, strict=True))


def shown(source: str) -> str:
    """A Markdown file of the repository as a page."""
    return relinked((ROOT / source).read_text(encoding="utf-8"), source)


def relinked(text: str, source: str) -> str:
    """Let links to what is a page lead there, and put the names of other files of the repository in place of links.

    Args:
        text: Markdown.
        source: path of its file in the repository.
    """
    base = posixpath.dirname(source)
    pages = {file: page for page, file in ELSEWHERE.items()}

    def link(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        path, hash_, anchor = target.partition("#")
        if picture or "://" in target or not path:
            return found[0]
        resolved = posixpath.normpath(posixpath.join(base, path))
        if resolved.startswith("docs/") and source.startswith("docs/"):
            return found[0]  # mkdocs checks these
        if not (ROOT / resolved).exists():
            LOG.warning("%s links to %s, which is not there", source, target)
        page = pages.get(resolved) or (resolved.removeprefix("docs/") if resolved.startswith("docs/") else "")
        if page.endswith(".yaml"):
            page = ""
        return f"[{text}]({page}{hash_}{anchor})" if page else f"{text} (`{resolved}`)"

    return _LINK.sub(link, text)


def command_line() -> str:
    """Every command with its arguments and options."""
    from typer.main import get_command

    from lesionflow.cli.main import app

    root: Any = get_command(app)
    parts = [
        "# Command line",
        root.help,
        "Every command answers `--help` with the same.",
        *_commands("lesionflow", root),
    ]
    return "\n\n".join(parts) + "\n"


def _commands(name: str, group: Any) -> Iterator[str]:
    for command in group.commands.values():
        full = f"{name} {command.name}"
        yield f"## `{full}`"
        yield _plain(command.help or "")
        if hasattr(command, "commands"):
            yield from (part.replace("## ", "### ", 1) for part in _commands(full, command))
            continue
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
        usage = " ".join(f"{each.name.upper()}{'...' if each.nargs == -1 else ''}" for each in arguments)
        yield f"```sh\n{full} {'[OPTIONS] ' if options else ''}{usage}".rstrip() + "\n```"
        rows = [(f"`{each.name.upper()}`", _plain(each.help or ""), _default(each)) for each in arguments]
        rows += [
            (
                " ".join(f"`{name}`" for name in (*each.opts, *each.secondary_opts)),
                _plain(each.help or ""),
                _default(each),
            )
            for each in options
        ]
        if rows:
            yield _table(("", "what it is", "default"), rows)


def _default(parameter: Any) -> str:
    if isinstance(shown := getattr(parameter, "show_default", None), str):
        return _plain(shown)
    if parameter.required:
        return "required"
    value = parameter.default
    if value is None or value is False or value == [] or callable(value) or value == "":
        return ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return f"`{getattr(value, 'value', value)}`"


def _plain(text: str) -> str:
    return " ".join(text.replace("<", "&lt;").split())


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def steps() -> str:
    """The READMEs of all steps, in the order of the pipeline as far as it is one."""
    from lesionflow.local.one_step import STEPS

    known = [path.parent.name for path in sorted((ROOT / "components").glob("*/README.md"))]
    ordered = [name for name in STEPS if name in known] + [name for name in known if name not in STEPS]
    parts = [
        "# Steps",
        "What each step takes and gives. All that passes between them is a file or a folder: an *artifact*. Each page "
        "is also the README of its folder `components/<step>/`.",
    ]
    for name in ordered:
        text = (ROOT / "components" / name / "README.md").read_text(encoding="utf-8")
        text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
        parts.append(re.sub(r"^#", "##", text, flags=re.MULTILINE).strip())
    return "\n\n".join(parts) + "\n"
