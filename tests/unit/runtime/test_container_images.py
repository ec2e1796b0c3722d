"""Which images a pipeline names: those of the present code, by digest."""

import json
from pathlib import Path

import pytest

from lesionflow.errors import UserError
from lesionflow.runtime import container_images as images
from lesionflow.runtime.container_images import content_tag, read_pins, write_pins

LEAN = f"example.com/team/lesionflow@sha256:{1:064x}"
CPU = f"example.com/team/lesionflow@sha256:{2:064x}"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of three files."""
    for name in ("components/step.py", "images/Dockerfile", "requirements-lean.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(images, "CHECKOUT", tmp_path)
    monkeypatch.setattr(images, "PINS_FILE", tmp_path / "images" / "digests.json")
    return tmp_path


def test_what_was_pushed_is_pinned(checkout: Path):
    assert read_pins() == {}

    write_pins({"lesionflow:lean": LEAN})

    assert read_pins() == {"lesionflow:lean": LEAN}


def test_pushing_one_image_keeps_the_others(checkout: Path):
    write_pins({"lesionflow:lean": LEAN})
    write_pins({"lesionflow:cpu": CPU})

    assert read_pins() == {"lesionflow:lean": LEAN, "lesionflow:cpu": CPU}


@pytest.mark.parametrize("changed", ["components/step.py", "images/Dockerfile", "requirements-lean.lock"])
def test_an_image_of_older_code_is_not_pinned(checkout: Path, changed: str):
    write_pins({"lesionflow:lean": LEAN})
    (checkout / changed).write_text("changed")

    assert read_pins() == {}


def test_notes_and_caches_do_not_change_the_tag(checkout: Path):
    before = content_tag("lean")
    (checkout / "README.md").write_text("changed")
    (checkout / "components" / "__pycache__").mkdir()
    (checkout / "components" / "__pycache__" / "step.pyc").write_text("x")
    write_pins({"lesionflow:lean": LEAN})

    assert content_tag("lean") == before


@pytest.mark.parametrize("content", ["", "[]", '{"lesionflow:lean": "tag"}', '{"lesionflow:lean": {"image": "a:b"}}'])
def test_a_file_that_the_build_did_not_write_is_refused(checkout: Path, content: str):
    (checkout / "images" / "digests.json").write_text(content)

    with pytest.raises(UserError, match="make images"):
        read_pins()


def test_a_file_that_was_named_and_is_not_there_is_said(checkout: Path):
    with pytest.raises(UserError, match=r"no file .*absent\.json"):
        read_pins(checkout / "absent.json")


def test_a_tag_is_no_digest(checkout: Path):
    pin = {"image": "example.com/lesionflow:latest", "content": content_tag("lean")}
    (checkout / "images" / "digests.json").write_text(json.dumps({"lesionflow:lean": pin}))

    with pytest.raises(UserError, match="no digest for lesionflow:lean"):
        read_pins()
