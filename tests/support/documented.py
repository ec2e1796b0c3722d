"""The tables of permissions in docs/manifests.md, which a reviewer reads."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "manifests.md"
Permission = tuple[str, str, str, str]
"""Group, resource, name or empty, verb."""


def documented(role: str) -> set[Permission]:
    """What the document says that a role grants; each line says why.

    Columns: resource, verbs, why. `resource.group`, or `resource.group NAME` for one object only.
    """
    section = DOCUMENT.read_text().split(f"\n### `{role}`", 1)[1].split("\n#", 1)[0]
    found: set[Permission] = set()
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        assert len(cells[2]) > 10, f"why {cells[0]}?"
        for each in re.findall(r"`([^`]+)`", cells[0]):
            kind, _, name = each.partition(" ")
            resource, _, group = kind.partition(".")
            found.update((group, resource, name, verb) for verb in cells[1].split(", "))
    return found
