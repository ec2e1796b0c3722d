"""What is installed where: the locks, and the Python that is chosen."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MACHINES = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
LOCKS = {
    "requirements-lean.lock": ["dicom"],
    "requirements.lock": ["cpu", "dicom"],
    "requirements-gpu.lock": ["gpu", "dicom"],
    "requirements-dev.lock": ["cpu", "dicom", "jax"],
}
"""Lock -> the extras that it holds beside what is always there."""


def _locked(name: str) -> list[Requirement]:
    lines = re.findall(r"(?m)^(\w\S+==.*?) ?\\$", (ROOT / name).read_text())
    return [Requirement(line) for line in lines]


def _there(requirements: list[Requirement], python: str, platform: str, machine: str) -> set[str]:
    environment = {
        "python_full_version": f"{python}.1",
        "python_version": python,
        "sys_platform": platform,
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    wanted = [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]
    return {f"{one.name.lower().replace('_', '-')}{one.specifier}" for one in wanted}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize(("platform", "machine"), MACHINES)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_pyproject_pins_wherever_we_run(lock: str, platform: str, machine: str, python: str):
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in LOCKS[lock] for text in extras[extra])]
    pinned = _there([Requirement(text) for text in texts], python, platform, machine)

    locked = _there(_locked(lock), python, platform, machine)

    assert pinned <= locked
    assert len({one.split("==")[0] for one in locked}) == len(locked)
    if "cpu" in LOCKS[lock]:
        assert len({"tensorflow", "tensorflow-cpu"} & {one.split("==")[0] for one in locked}) == 1


def test_the_images_are_layers_so_their_locks_agree():
    lean = {str(one) for one in _locked("requirements-lean.lock")}
    for lock in ("requirements.lock", "requirements-gpu.lock", "requirements-dev.lock"):
        assert lean <= {str(one) for one in _locked(lock)}, lock


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 14, 0)])
def test_a_python_that_the_locks_are_not_for_is_refused_in_one_sentence(version: tuple[int, ...], tmp_path: Path):
    other = tmp_path / "python3"
    pretend = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{pretend}" "$2"\n')
    other.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(other), "VENV": str(tmp_path / "venv")}

    result = subprocess.run([ROOT / "scripts" / "setup"], env=environment, capture_output=True, text=True)

    assert result.returncode == 2
    assert f"needs Python 3.11, 3.12 or 3.13, and found none as {other}" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "venv").exists()
