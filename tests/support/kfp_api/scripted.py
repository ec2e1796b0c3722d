"""Runs on the stand-in API server whose steps do what a test says; nothing is really run."""

from collections.abc import Iterator, Sequence
from typing import Any

from kfp_api import argo
from kfp_api.argo import Attempt, Step
from kfp_api.server import KfpApiServer

from lesionflow.runtime.last_words import Kind, LastWords

Steps = list[Step]


def work(task: str, phase: str = "Succeeded", *attempts: Attempt, fold: int | None = None) -> Steps:
    """One task, with the pods that did its work."""
    return [Step(task, phase, attempts, fold)]


def done(*but: str) -> Steps:
    """Every task finished, except the named ones, which have not begun."""
    return [Step(task) for task in argo.TRAINING if task not in but]


KINDS: dict[int, Kind] = {1: "crash", 2: "user", 3: "refused", 143: "preempted"}
"""Exit status of a step -> what kind of end it is."""


def words(step: str, sentence: str, status: int) -> Attempt:
    """A pod whose step left last words, as they stand in Argo's account of it."""
    words = LastWords(step=step, kind=KINDS[status], sentence=sentence, exit_status=status)
    return Attempt("Failed", f"main: Error (exit code 1): {words.text()}", 1)


PHASES = {
    "PENDING": "",
    "RUNNING": "Running",
    "CANCELING": "Running",
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "CANCELED": "Failed",
}
Scene = tuple[str, Steps]


def details(steps: Steps, state: str = "RUNNING", folds: int = 0) -> list[dict[str, Any]]:
    """What KFP's API tells of these steps."""
    name = argo.FOLDED if folds else argo.NAME
    return argo.details(argo.nodes(steps, name, PHASES[state], folds).values())


def play(api: KfpApiServer, *scenes: Scene, folds: int = 0) -> None:
    """Each time the run is asked for, it is one scene further; the last one stays."""
    left: Iterator[Scene] = iter(scenes)

    def advance() -> None:
        method, path, _ = api.requests[-1]
        if method == "GET" and "/runs/" in path and "/log" not in path and (scene := next(left, None)):
            for run_id in api.runs:
                api.set_run(run_id, scene[0], details(scene[1], scene[0], folds))

    api.after_request = advance


def lines_of(text: str) -> Sequence[Sequence[str]]:
    """The step lines of what a command showed, in words."""
    return [line.split() for line in text.splitlines() if line[:1] in "·▸✓↻✗" and line.strip()]
