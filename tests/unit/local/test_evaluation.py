"""A local run knows the evaluation that its gate went by, whether the steps ran or were reused."""

from pathlib import Path

import pytest
from kfp import dsl

from lesionflow.local.processes import ProcessBackend
from lesionflow.local.runner import LocalRun, run_pipeline
from lesionflow.local.workspace import Workspace
from lesionflow.runtime.events import RunEvents

STEPS = {"evaluate": "evaluate", "gate": "gate"}


@dsl.component(base_image="python", install_kfp_package=False)
def evaluate(says: str, evaluation: dsl.Output[dsl.Artifact]):
    from pathlib import Path

    from lesionflow.runtime.step import run_step

    run_step("evaluate", Path(evaluation.path).write_text, says)


@dsl.component(base_image="python", install_kfp_package=False)
def gate(evaluation: dsl.Input[dsl.Artifact]) -> str:
    from pathlib import Path

    from lesionflow.errors import GateRefused, UserError
    from lesionflow.runtime.step import run_step

    def judge(says: str) -> str:
        if says != "passed":
            raise GateRefused("No.") if says == "failed" else UserError("It contradicts itself.")
        return says

    return run_step("gate", judge, Path(evaluation.path).read_text())


@dsl.pipeline(name="judged")
def judged(says: str):
    gate(evaluation=evaluate(says=says).outputs["evaluation"])


def _run(folder: Path, says: str) -> RunEvents:
    workspace = Workspace(folder)
    with workspace.locked() as lock:
        what = LocalRun(judged, {"says": says}, STEPS, judges="evaluate")
        return run_pipeline(what, workspace, workspace.new_run(), lock, lambda events: None, ProcessBackend())


def test_a_reused_gate_has_the_evaluation_that_it_once_let_through(tmp_path: Path) -> None:
    first, again = _run(tmp_path, "passed"), _run(tmp_path, "passed")

    assert [state.status for state in first.steps.values()] == ["done", "done"]
    assert [state.status for state in again.steps.values()] == ["reused", "reused"]
    assert first.evaluation
    assert first.evaluation == again.evaluation
    assert Path(first.evaluation).read_text() == "passed"


@pytest.mark.parametrize(("says", "known"), [("failed", True), ("damaged", False)])
def test_a_refusal_has_its_evaluation_and_a_damaged_one_is_none(tmp_path: Path, says: str, known: bool) -> None:
    events = _run(tmp_path, says)

    assert events.steps["gate"].status == "failed"
    assert (events.evaluation is not None) == known
