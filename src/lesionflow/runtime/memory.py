"""How much memory this process may still take."""

import os
from collections.abc import Iterator
from pathlib import Path


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that the machine has left, but no more than the process' own cgroups leave it.

    In a container the machine's numbers are those of the host; a container that follows them is killed.

    Args:
        root: where `proc` and `sys` are mounted.
    """
    return max(0, min([_of_machine(root), *_of_cgroups(root)]))


def _of_machine(root: Path) -> int:
    table = root / "proc/meminfo"
    if not table.is_file():  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _fields(table)["MemAvailable:"] * 1024


def _of_cgroups(root: Path) -> Iterator[int]:
    """What each memory cgroup above this process leaves; of either version, as seen from inside or outside of it."""
    groups = root / "proc/self/cgroup"
    if not groups.is_file():
        return
    for line in groups.read_text().splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            folder, files = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            folder = root / "sys/fs/cgroup/memory"
        else:
            continue
        # A container may see its own group at the mount's root, whatever place it is told.
        for group in (folder / place.lstrip("/"), *Path(place.lstrip("/")).parents):
            limit, used, reclaimable = files
            here = folder / group
            if not (here / limit).is_file() or (most := (here / limit).read_text().strip()) == "max":
                continue
            taken = int((here / used).read_text())
            yield int(most) - taken + _fields(here / "memory.stat").get(reclaimable, 0)


def _fields(table: Path) -> dict[str, int]:
    """The first two columns of a kernel's table."""
    rows = (line.split() for line in table.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows}
