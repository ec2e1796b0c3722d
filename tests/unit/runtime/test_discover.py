"""A package grows by adding a file, and nothing else."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lesionflow.runtime.discover import find_all, module_names


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "growing"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "second.py").write_text("THING = 2\n")
    (folder / "first.py").write_text("THING = 1\n")
    (folder / "shared.py").write_text("OTHER = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "growing"]:
        del sys.modules[name]


def test_modules_are_found_in_order_and_shared_ones_passed_over(package: Path) -> None:
    assert list(find_all("growing", "THING", int).items()) == [("first", 1), ("second", 2)]


def test_names_are_known_without_importing_anything(package: Path) -> None:
    (package / "second.py").write_text("raise RuntimeError\n")
    assert module_names("growing") == ["first", "second", "shared"]


def test_a_thing_of_another_kind_is_a_mistake_of_ours(package: Path) -> None:
    (package / "third.py").write_text("THING = 'three'\n")
    with pytest.raises(TypeError, match=r"growing.third.THING is 'three'; expected a int"):
        find_all("growing", "THING", int)
