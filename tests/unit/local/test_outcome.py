"""How a local run ended, from what its steps said."""

from pathlib import Path

from lesionflow.errors import BAD_INPUT, FAILED, PASSED, REFUSED
from lesionflow.local.outcome import outcome_of
from lesionflow.runtime.events import RunEvents, StepState


def _events(*states: StepState) -> RunEvents:
    return RunEvents(Path(), {state.name: state for state in states})


def test_a_failure_is_told_though_a_step_before_it_in_the_list_had_not_begun() -> None:
    """kfp.local begins with either of two steps that wait for nothing."""
    said = _events(StepState("preflight"), StepState("fingerprint", "failed", kind="user", message="No images."))
    assert (outcome_of(said, Path()).error, outcome_of(said, Path()).code) == ("No images.", BAD_INPUT)


def test_what_ended_how() -> None:
    refused = StepState("gate", "failed", kind="refused", message="Too weak.")
    crashed = StepState("split", "failed", kind="crash", message="ValueError: 3")
    ends = [
        outcome_of(_events(StepState("gate", end)), Path("run")) for end in ("done", "reused", "killed", "waiting")
    ] + [outcome_of(_events(state), Path("run")) for state in (refused, crashed)]

    assert [(end.status, end.code) for end in ends] == [
        ("passed", PASSED),
        ("passed", PASSED),
        ("failed", FAILED),
        ("failed", FAILED),
        ("refused", REFUSED),
        ("failed", FAILED),
    ]
    assert "killed" in ends[2].error
    assert str(Path("run", "logs", "kfp.log")) in ends[3].error
    assert ends[5].error == "The step split failed: ValueError: 3"
