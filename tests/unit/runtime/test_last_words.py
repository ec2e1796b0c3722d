"""What a step says last, as a pod's status would carry it to whoever follows the run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lesionflow.errors import GateRefused, Preempted, UserError
from lesionflow.runtime import last_words
from lesionflow.runtime.last_words import LastWords
from lesionflow.runtime.step import run_step


@pytest.fixture
def message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the kubelet mounts for the container's termination message."""
    file = tmp_path / "termination-log"
    file.touch()
    monkeypatch.setattr(last_words, "FILE", file)
    monkeypatch.setenv(last_words.POD_VARIABLE, "lesionflow-training-x-1")
    return file


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (GateRefused("macro-F1 0.512 is below 0.7."), "refused", 3),
        (UserError("there is\nno image."), "user", 2),
        (Preempted("moved"), "preempted", 143),
    ],
)
def test_a_step_that_ends_early_says_so_in_its_pods_status(
    message: Path, error: Exception, kind: last_words.Kind, status: int
) -> None:
    with pytest.raises(SystemExit) as end:
        run_step("gate", raising(error))
    assert end.value.code == status
    said = LastWords.found_in(message.read_text())
    assert said == LastWords(step="gate", kind=kind, sentence=" ".join(str(error).split()), exit_status=status)


def test_a_crash_is_named(message: Path) -> None:
    with pytest.raises(MemoryError):
        run_step("split", raising(MemoryError("3 GB")))
    said = LastWords.found_in(message.read_text())
    assert said == LastWords(step="split", kind="crash", sentence="MemoryError: 3 GB", exit_status=1)


def test_a_long_sentence_keeps_its_status_within_what_the_kubelet_takes(message: Path) -> None:
    with pytest.raises(SystemExit):
        run_step("finetune-partial", raising(UserError("𝄞" * 9000)))
    assert len(message.read_bytes()) <= 4096
    said = LastWords.found_in(message.read_text())
    assert said
    assert (said.sentence, said.exit_status) == ("𝄞" * 999 + "…", 2)


@pytest.mark.parametrize("other", ["", "OOMKilled (exit code 137)", 'main: Error (exit code 1): {"step": 3', "{}"])
def test_what_others_say_are_no_last_words(other: str) -> None:
    assert LastWords.found_in(other) is None


def test_nothing_is_left_outside_a_pod_of_kubeflows(message: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as in a notebook, whose own termination message this would be."""
    monkeypatch.delenv(last_words.POD_VARIABLE)
    with pytest.raises(SystemExit):
        run_step("gate", raising(GateRefused("no")))
    assert message.read_text() == ""


def test_a_file_that_cannot_be_written_changes_nothing(
    message: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(SystemExit) as end:
        run_step("gate", raising(GateRefused("no")))
    assert end.value.code == 3
    assert "read-only file system" in capsys.readouterr().out


def test_what_succeeds_leaves_nothing(message: Path) -> None:
    assert run_step("gate", lambda: 1) == 1
    assert message.read_text() == ""
