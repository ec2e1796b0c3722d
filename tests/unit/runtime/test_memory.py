"""What a process may still take: a made-up /proc and /sys of a container, with cgroups of either version."""

from pathlib import Path

import pytest

from lesionflow.runtime.memory import available_memory

GIB = 2**30


def write(root: Path, **files: object) -> None:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    write(tmp_path, proc__meminfo=f"MemTotal: {2**26} kB\nMemAvailable: {2**25} kB\nHugePages_Total: 0")
    return tmp_path


def group(host: Path, version: int, place: str, limit: object, used: int, cache: int) -> None:
    """A memory cgroup of which `used` bytes are taken, `cache` of them by file cache that can go."""
    names = {
        1: ("memory/", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("", "memory.max", "memory.current", "inactive_file"),
    }
    mount, most, now, reclaimable = names[version]
    folder = host / "sys/fs/cgroup" / f"{mount}{place}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / most).write_text(f"{limit}\n")
    (folder / now).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{reclaimable} {cache}\n")


@pytest.mark.parametrize(("version", "lines"), [(1, "3:cpu,memory:/pods/one\n0::/"), (2, "0::/pods/one")])
def test_the_container_counts_not_its_host(host: Path, version: int, lines: str):
    assert available_memory(host) == 32 * GIB
    write(host, proc__self__cgroup=lines)
    assert available_memory(host) == 32 * GIB
    group(host, version, "pods/one", 8 * GIB, 3 * GIB, GIB)
    assert available_memory(host) == 6 * GIB
    group(host, version, "pods", 4 * GIB, GIB, 0)  # a group above it is smaller
    assert available_memory(host) == 3 * GIB
    group(host, version, "pods/one", GIB, 3 * GIB, GIB)  # lowered below what is in use
    assert available_memory(host) == 0


@pytest.mark.parametrize(("version", "lines"), [(1, "3:memory:/docker/abc"), (2, "0::/../../pods/one")])
def test_a_container_that_sees_its_own_group_at_the_root(host: Path, version: int, lines: str):
    write(host, proc__self__cgroup=lines)
    group(host, version, "", 8 * GIB, 3 * GIB, GIB)
    assert available_memory(host) == 6 * GIB


@pytest.mark.parametrize(("version", "limit"), [(1, 2**63 - 4096), (2, "max")])
def test_no_limit_means_the_machine(host: Path, version: int, limit: object):
    write(host, proc__self__cgroup="3:memory:/one" if version == 1 else "0::/one")
    group(host, version, "one", limit, GIB, 0)
    assert available_memory(host) == 32 * GIB


def test_here():
    assert 2**20 < available_memory() < 2**50
