"""What a user installs: one package, beside which their own `components/` and `pipelines/` change nothing."""

import csv
import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from command import RECIPE, summary_of

from lesionflow.data.synthetic.dataset import write_synthetic

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).with_name("uv"))


def _succeeds(*command: str | Path, cwd: Path, env: Mapping[str, str]) -> str:
    result = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _built(folder: Path, *options: str) -> Path:
    command = (
        UV,
        "build",
        "--quiet",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        folder,
        *options,
    )
    _succeeds(*command, ROOT, cwd=folder, env=os.environ)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(tmp_path_factory.mktemp("wheel"), "--wheel")


def test_a_wheel_made_of_the_source_archive_is_the_same(wheel: Path, tmp_path: Path):
    other = _built(tmp_path)  # makes the archive, then the wheel of what it holds

    assert list(tmp_path.glob("*.tar.gz"))
    held, again = (zipfile.ZipFile(file) for file in (wheel, other))
    assert {name: again.read(name) for name in again.namelist()} == {name: held.read(name) for name in held.namelist()}


def test_the_wheel_holds_one_package_and_all_of_it(wheel: Path):
    held = set(zipfile.ZipFile(wheel).namelist())

    assert {name.split("/")[0] for name in held if ".dist-info/" not in name} == {"lesionflow"}
    library, linked = ROOT / "src" / "lesionflow", ("components", "pipelines")
    sources = {
        path.relative_to(library.parent).as_posix()
        for path in library.rglob("*")
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts
    } | {
        f"lesionflow/{path.relative_to(ROOT).as_posix()}"
        for folder in linked
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held - {name for name in held if ".dist-info/" in name} == sources
    assert {"lesionflow/py.typed", "lesionflow/components/ingest/component.py"} <= held


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """The `bin` folder of an environment into which only the wheel was installed; its dependencies are ours."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    _succeeds(UV, "pip", "install", "--quiet", "--no-deps", "--python", python, wheel, cwd=tmp_path, env=os.environ)
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder that a .pth file names has no say of its own: our editable install does not come with it.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python.parent


def test_a_users_own_components_and_pipelines_change_nothing(installed: Path, tmp_path: Path):
    work = tmp_path / "work"
    for folder in (work, tmp_path / "elsewhere"):
        for name in ("components", "pipelines"):
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the user was imported')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(work), str(tmp_path / "elsewhere")])}
    write_synthetic(work / "data", images=210, size=(100, 75), seed=1)
    short = {name: {**RECIPE[name], "epochs": 1} for name in ("head", "partial", "full")}
    (work / "recipe.json").write_text(json.dumps({**RECIPE, **short}))

    imported = (
        "import lesionflow, lesionflow.components.ingest.ingest, lesionflow.pipelines.training as t; print(t.__file__)"
    )
    where = _succeeds(installed / "python", "-c", imported, cwd=work, env=environment)
    options = ("--data", "data", "--recipe", "recipe.json", "--weights", "none", "--output", "out", "--no-leak-guard")
    run = _succeeds(installed / "lesionflow", "run", *options, "--min-f1", "0.001", cwd=work, env=environment)
    predict = ("predict", "--model", "out/registry", "--output", "predictions.csv", "data")
    _succeeds(installed / "lesionflow", *predict, cwd=work, env=environment)

    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "Verdict: passed" in run
    assert {step["status"] for step in summary_of(work / "out")["steps"].values()} == {"done"}
    rows = list(csv.DictReader((work / "predictions.csv").open()))
    assert len(rows) == 210
    assert not any(row["error"] for row in rows)
