"""An installation for GPUs, from its lock, as far as a machine without one can take it: a whole run.

NVIDIA's libraries stay away, 3 GB that TensorFlow loads only beside a driver; that the index has them in
the versions of the lock is asked.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from command import RECIPE, summary_of

from lesionflow.data.synthetic.dataset import write_synthetic

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))
UNREACHABLE = ("dns error", "error sending request", "Connection refused")


def _uv(*arguments: str | Path) -> str:
    """What uv said; without a network the test is skipped, which CI counts as a failure."""
    result = subprocess.run([UV, "pip", *map(str, arguments)], capture_output=True, text=True)
    said = result.stdout + result.stderr
    if result.returncode and any(words in said for words in UNREACHABLE):
        pytest.skip(f"the package index cannot be reached: {said.strip()[-200:]}")
    assert result.returncode == 0, said
    return said


@pytest.fixture
def gpu_install(tmp_path: Path) -> Generator[Path]:
    """The `bin` folder of a fresh environment with lesionflow and its GPU lock, but for NVIDIA's wheels."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    entries = re.split(r"(?m)^(?=\w)", (ROOT / "requirements-gpu.lock").read_text())
    lock = tmp_path / "requirements.lock"
    lock.write_text("".join(entry for entry in entries if not entry.startswith("nvidia-")))
    install = ("install", "--python", environment / "bin" / "python")
    for file in (ROOT / "requirements-build.lock", lock):
        _uv(*install, "--require-hashes", "-r", file)
    _uv(*install, "--no-cache", "--no-deps", "--no-build-isolation", ROOT)  # the cache does not look at the code
    would = _uv(*install, "--dry-run", "--require-hashes", "-r", ROOT / "requirements-gpu.lock")
    assert set(re.findall(r"(?m)^ [+-] (\w+)-", would)) == {"nvidia"}, would  # all the rest is there as locked
    yield environment / "bin"
    shutil.rmtree(environment)


@pytest.mark.timeout(1200)
def test_a_run_with_the_gpu_lock_ends_with_its_verdict_and_summary(gpu_install: Path, tmp_path: Path):
    write_synthetic(tmp_path / "data", images=210, size=(100, 75), seed=1)
    short = {name: {**RECIPE[name], "epochs": 1} for name in ("head", "partial", "full")}
    (tmp_path / "recipe.json").write_text(json.dumps({**RECIPE, **short}))
    options = ("--data", "data", "--recipe", "recipe.json", "--weights", "none", "--output", "out", "--no-leak-guard")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    result = subprocess.run(
        [gpu_install / "lesionflow", "run", *options, "--min-f1", "0.001"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Verdict: passed" in result.stdout
    summary = summary_of(tmp_path / "out")
    assert summary["versions"]["tensorflow"]
    assert "tensorflow-cpu" not in summary["versions"]
    assert {step["status"] for step in summary["steps"].values()} == {"done"}
