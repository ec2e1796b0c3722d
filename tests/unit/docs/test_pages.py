"""What people read: links lead somewhere, messages are those of the program, and nothing names a machine of ours."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    """Those between pages of the site, anchors too, are checked as it is built: `command-line.md` is made then."""
    made = {"command-line.md", "steps.md", "results.md", "changelog.md", "contributing.md"}
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
    files = [target for target in targets if target and "://" not in target and not target.startswith("mailto:")]

    missing = [file for file in files if not (page.parent / file).exists()]

    assert [file for file in missing if not (page.parent.name == "docs" and file in made)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_are_there(page: Path) -> None:
    folders = "tests|src|components|pipelines|scripts|images|manifests|docs|benchmarks"
    named = re.findall(rf"`((?:{folders})/[^`\s<{{]*)`", page.read_text(encoding="utf-8"))
    made = {"images/digests.json", "images/weights"}

    missing = {name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "manifests"))}

    assert {name for name in missing if name.rstrip("/") not in made} == set()


def test_every_message_under_troubleshooting_is_one_of_the_programs() -> None:
    program = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("src/lesionflow", "components", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
    )
    program = re.sub(r'"\s*\n\s*f?"', "", program)  # a sentence goes over several lines
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    entries = [line for line in page.splitlines() if line.startswith("**`")]
    messages = [part for line in entries for part in re.findall(r"`([^`]+)`", line)]

    assert len(messages) > 20
    assert [message for message in messages if message not in program] == []


def test_every_page_of_the_site_is_in_its_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """Knows mkdocs' !ENV."""

    Loader.add_constructor("!ENV", lambda loader, node: None)
    configured = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)

    def leaves(entries: list[object]) -> set[str]:
        found: set[str] = set()
        for entry in entries:
            for value in entry.values() if isinstance(entry, dict) else [entry]:
                found |= leaves(value) if isinstance(value, list) else {str(value)}
        return found

    pages = {page.name for page in (ROOT / "docs").glob("*.md")} | {"notebook.py"}
    assert pages <= leaves(configured["nav"])


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "mkdocs.yml"])
def test_first_pages_are_short(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 110 if name == "mkdocs.yml" else len(lines) <= 65
    assert name == "mkdocs.yml" or max(map(len, lines)) <= 130
