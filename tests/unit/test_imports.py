"""The rules that keep the house simple: who may import what, and when."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = sorted(p for folder in ("src/lesionflow", "components", "pipelines") for p in (ROOT / folder).rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("lesionflow", *parts) if parts[0] != "src" else parts[1:]).removesuffix(".__init__")


HEAVY = ("tensorflow", "keras", "matplotlib", "sklearn", "jax", "cv2")


def _imported(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_keep_to_the_rules(path: Path):
    relative = path.relative_to(ROOT)
    imported = _imported(path)
    if relative.parts[0] == "components" and path.name != "component.py":
        assert not {name for name in imported if name.split(".")[0] == "kfp"}, "a step imports kfp"
    # A SavedModel is TensorFlow's own format, and its decoder and resizing are no Keras operations.
    allowed = ("src/lesionflow/compat/", "components/export/formats/", "components/export/export_format.py")
    may_import_a_backend = relative.as_posix().startswith((*allowed, "components/export/served_image.py"))
    assert may_import_a_backend or not {n for n in imported if n.split(".")[0] in ("tensorflow", "jax")}
    # A Keras layer, callback or optimizer needs its base class.
    derives_from_keras = relative.as_posix().startswith("src/lesionflow/training/") or path.name == "keras_adam.py"
    assert derives_from_keras or "keras" not in _imported(path, top_level_only=True)


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_images_are_opened_by_the_one_reader_only(path: Path):
    # `ruff` says so too, at once and with the name of what to use; here nothing can be switched off by a comment.
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    called = {ast.unparse(function) for function in calls}
    assert not called & {"Image.open", "PIL.Image.open", "cv2.imread", "cv2.imdecode", "plt.imread"}
    decoders = {f"{kind}ImageFile" for kind in ("Jpeg", "Png", "Tiff", "WebP", "Bmp", "Jpeg2K", "Eps", "Mpo", "Gif")}
    assert path.name == "image_decode.py" or not called & decoders
    ours = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    assert path.name in ("image_decode.py",) or not {name for name in ours if name and "ImagePlugin" in name}


def test_importing_every_module_loads_no_heavy_library():
    # A Keras layer or callback needs its base class; finetune imports such modules when it runs.
    light = [path for path in OURS if "keras" not in _imported(path, top_level_only=True)]
    modules = [_module(path) for path in light]
    program = "import sys\n" + "".join(f"import {module}\n" for module in modules)
    program += f"print([name for name in {HEAVY} if name in sys.modules])"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
