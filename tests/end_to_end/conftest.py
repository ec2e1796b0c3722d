"""Real runs of the `lesionflow` command on small synthetic data with the `tiny` backbone."""

import json
from pathlib import Path

import pytest
from command import RECIPE, Site

from lesionflow.data.synthetic.dataset import write_synthetic


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    write_synthetic(folder / "data", images=210, size=(100, 75), seed=1)
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    # What a user's own folder may hold must never shadow our packages.
    (folder / "components").mkdir()
    (folder / "components" / "__init__.py").write_text("raise RuntimeError('shadowed')")
    return Site(folder, folder / "data", folder / "recipe.json")


@pytest.fixture(scope="session")
def unbroken(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of a whole run that nothing disturbed, with a gate that it passes; tests may run into it again."""
    output = tmp_path_factory.mktemp("unbroken")
    result = site.run(output, "--min-f1", "0.05")
    assert result.returncode == 0, result.stdout + result.stderr
    return output


@pytest.fixture
def first_run(unbroken: Path) -> Path:
    """The folder of that run itself, whatever ran after it."""
    return min((unbroken / "runs").iterdir())
