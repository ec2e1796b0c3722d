"""Editing code invalidates the steps that use it, and no others."""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lesionflow.runtime.step_digest import step_digest

ROOT = Path(__file__).parents[3]
STEPS = (
    "preflight",
    "fingerprint",
    "ingest",
    "duplicates",
    "split",
    "balance",
    "finetune",
    "evaluate",
    "gate",
    "export",
    "promote",
)


@pytest.fixture
def digests(tmp_path: Path):
    """Digests of all steps of a copy of the code that a test may edit."""
    for part in ("src", "components", "pipelines"):
        shutil.copytree(ROOT / part, tmp_path / part, symlinks=True)

    def compute(**environment: str) -> dict[str, str]:
        program = f"from lesionflow.runtime.step_digest import step_digest\nfor r in {STEPS}: print(r, step_digest(r))"
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split() for line in result.stdout.splitlines())

    return tmp_path, compute


def _changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {step for step in before if before[step] != after[step]}


def test_editing_a_steps_logic_changes_that_step_only(digests):
    folder, compute = digests
    before = compute()

    with (folder / "components/split/split.py").open("a") as file:
        file.write("\n# edited\n")

    assert _changed(before, compute()) == {"split"}


def test_editing_a_shared_module_changes_the_steps_that_import_it(digests):
    folder, compute = digests
    before = compute()

    with (folder / "src/lesionflow/models/classifier.py").open("a") as file:
        file.write("\n# edited\n")

    changed = _changed(before, compute())
    assert "finetune" in changed
    assert not changed & {"fingerprint", "ingest", "split", "balance", "gate"}


def test_adding_a_module_that_is_found_by_itself_changes_the_steps_that_look_for_it(digests):
    folder, compute = digests
    before = compute()

    (folder / "src/lesionflow/data/layouts/another.py").write_text("LAYOUT = None\n")

    changed = _changed(before, compute())
    assert "ingest" in changed
    assert not changed & {"split", "balance", "finetune", "gate"}


def test_editing_what_is_found_by_itself_changes_the_steps_that_find_it(digests):
    folder, compute = digests
    before = compute()

    tiny = folder / "src/lesionflow/models/backbones/tiny.py"
    tiny.write_text(tiny.read_text() + "\n# edited\n")
    assert "finetune" in _changed(before, compute())
    before = compute()
    copy = (folder / "src/lesionflow/data/balancing/sqrt.py").read_text().replace('"sqrt"', '"cube"')
    (folder / "src/lesionflow/data/balancing/cube.py").write_text(copy)

    assert "balance" in _changed(before, compute())


def test_editing_the_reports_template_changes_evaluate(digests):
    folder, compute = digests
    before = compute()

    for template in (folder / "src/lesionflow/reporting").glob("report*.j2"):
        template.write_text(template.read_text() + "<!-- edited -->")

    assert _changed(before, compute()) == {"evaluate"}


def test_another_version_of_a_library_changes_the_steps_that_use_it(monkeypatch: pytest.MonkeyPatch):
    before = {step: step_digest(step) for step in STEPS}
    real = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9" if name == "keras" else real(name))

    changed = _changed(before, {step: step_digest(step) for step in STEPS})

    assert {"finetune", "evaluate"} <= changed
    assert not changed & {"ingest", "split", "balance", "gate"}


def test_another_keras_backend_changes_only_the_steps_that_use_keras(digests):
    _, compute = digests

    changed = _changed(compute(KERAS_BACKEND="tensorflow"), compute(KERAS_BACKEND="jax"))

    assert {"finetune", "evaluate"} <= changed
    # preflight and promote, which are never cached, import the module that can load a model.
    assert not changed & {"ingest", "split", "balance", "gate"}
