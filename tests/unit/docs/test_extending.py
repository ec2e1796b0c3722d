"""docs/extending.md: each diff there is all that it takes. It is laid over a copy of the source and tried."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}


def added(section: str) -> dict[str, str]:
    """Path -> content of each new file in the diffs of a section."""
    files: dict[str, str] = {}
    for diff in re.findall(r"```diff\n(.*?)```", SECTIONS[section], re.DOTALL):
        for file in re.split(r"^--- /dev/null\n", diff, flags=re.MULTILINE)[1:]:
            path, *lines = file.splitlines()
            assert all(line.startswith("+") for line in lines), lines
            files[path.removeprefix("+++ b/")] = "\n".join(line[1:] for line in lines) + "\n"
    assert files
    return files


def tried(folder: Path, section: str, program: str) -> str:
    """What a program prints with the section's files in the source."""
    for name in ("src", "components", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path, content in added(section).items():
        assert not (folder / path).exists()
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    environment = {"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=folder, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_shown_is_formatted_and_clean(section: str, tmp_path: Path) -> None:
    files = {path: content for path, content in added(section).items() if path.endswith(".py")}
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content, encoding="utf-8")
    for check in (["format", "--check"], ["check"]):
        configured = [
            "--no-cache",
            "--config",
            str(ROOT / "pyproject.toml"),
            "--config",
            "lint.isort.known-first-party = ['lesionflow']",
        ]
        command = [sys.executable, "-m", "ruff", *check, *configured, str(tmp_path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_a_backbone_is_found_built_and_counted_right(tmp_path: Path) -> None:
    said = tried(
        tmp_path,
        "A backbone",
        "from math import prod\n"
        "from lesionflow.models.backbones import BACKBONES\n"
        "from lesionflow.recipe import Recipe\n"
        "new = BACKBONES[Recipe(backbone='efficientnetv2b1').backbone]\n"
        "weights = new.build(64).weights\n"
        "print(new.tensors == len(weights), new.values == sum(prod(w.shape) for w in weights))",
    )
    assert said == "True True"


@pytest.mark.slow
def test_a_balance_strategy_is_found(tmp_path: Path) -> None:
    said = tried(
        tmp_path,
        "A balance strategy",
        "import numpy as np\n"
        "from lesionflow.data.balancing import STRATEGIES\n"
        "from lesionflow.recipe import Recipe\n"
        "weight, sampling = STRATEGIES[Recipe(balance='cube-root').balance].rows(np.array([1, 8]))\n"
        "print(weight.tolist(), sampling.round(2).tolist())",
    )
    assert said == "[1.0, 1.0] [3.0, 0.75]"


@pytest.mark.slow
def test_a_metric_is_measured_and_offered_to_policies(tmp_path: Path) -> None:
    said = tried(
        tmp_path,
        "A metric",
        "import lesionflow as lf\n"
        "y = ['akiec', 'bcc', 'bkl', 'df', 'mel', 'nv', 'vasc'] * 3\n"
        "p = [[0.9 if row % 7 == column else 0.1 / 6 for column in range(7)] for row in range(21)]\n"
        "lf.Policy(clauses=[{'kind': 'average', 'metric': 'geometric_mean', 'at_least': 0.5}])\n"
        "print(lf.measure(y, p).geometric_mean.value)",
    )
    assert said == "1.0"


@pytest.mark.slow
def test_a_layout_is_found_and_read(tmp_path: Path) -> None:
    said = tried(
        tmp_path,
        "A metadata layout",
        "from pathlib import Path\n"
        "import lesionflow as lf\n"
        "from PIL import Image\n"
        "classes = ['akiec', 'bcc', 'bkl', 'df', 'mel', 'nv', 'vasc']\n"
        "Path('mine').mkdir()\n"
        "for row, name in enumerate(classes):\n"
        "    Image.new('RGB', (40, 40), (20 * row, 0, 0)).save(f'mine/{name}.png')\n"
        "lines = ['file,class', *(f'{name},{name}' for name in classes)]\n"
        "Path('mine/table.csv').write_text('\\n'.join(lines))\n"
        "images = lf.ingest('mine')\n"
        "print(len(images), sorted(images.metadata['dx']) == classes, images.metadata['lesion_id'].nunique())",
    )
    assert said == "7 True 7"


@pytest.mark.slow
def test_an_export_format_answers_as_the_network_does(tmp_path: Path) -> None:
    said = tried(
        tmp_path,
        "An export format",
        "import keras, numpy as np\n"
        "from pathlib import Path\n"
        "from lesionflow.artifacts.model_folder import Calibration\n"
        "from lesionflow.components.export.export_format import Network, Pictures\n"
        "from lesionflow.components.export.formats import FORMATS\n"
        "from lesionflow.models.backbones import BACKBONES\n"
        "core = BACKBONES['tiny'].build(32)\n"
        "model = keras.Model(core.input, keras.layers.Dense(7, activation='softmax')(core.output))\n"
        "network = Network(model, 32, tuple('abcdefg'), Calibration(temperature=1.5))\n"
        "pixels = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)\n"
        "new = FORMATS['tensorflow_lite']\n"
        "new.write(network, Path(new.place))\n"
        "(answer,) = new.answers(Path(new.place), Pictures([], pixels)).values()\n"
        "print(answer.shape, bool(np.abs(answer - network.calibrated()(pixels)).max() < 1e-4))",
    )
    assert said == "(3, 7) True"


@pytest.mark.slow
def test_a_section_is_found_and_rendered(tmp_path: Path) -> None:
    said = tried(
        tmp_path,
        "A section of the report",
        "from pathlib import Path\n"
        "from types import SimpleNamespace as N\n"
        "from lesionflow.reporting import sections\n"
        "from lesionflow.reporting.page import load_template\n"
        "template = load_template(Path(sections.__file__).with_name('25_rarest.html.j2'))\n"
        "found = {'df': N(support=3), 'nv': N(support=40)}\n"
        "module = template.make_module({'evaluation': N(metrics=N(per_class=found))})\n"
        "print(module.title, '|', str(module).strip().splitlines()[-1])",
    )
    assert said == "Rarest class | <p>df: 3 test images.</p>"


@pytest.mark.slow
def test_a_step_compiles_and_runs(tmp_path: Path) -> None:
    said = tried(
        tmp_path,
        "A step",
        "from lesionflow.components.describe.component import describe\n"
        "print(sorted(describe.component_spec.inputs), sorted(describe.component_spec.outputs))",
    )
    assert said == "['images'] ['counts']"
