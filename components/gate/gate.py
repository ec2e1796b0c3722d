"""Enforce the verdict that evaluate reached."""

import json
from pathlib import Path
from typing import Any, NoReturn

from components.common.errors import GateRefused, UserError
from components.common.files import finite
from components.common.metrics import AVERAGES, format_figure
from components.common.progress import report
from components.gate.judge import Verdict, judge
from components.gate.policy import check_policy


def gate(evaluation: str | Path) -> str:
    """Return "passed", or raise if the evaluated model is not good enough.

    The figures are judged again: a file whose verdict does not follow from its own figures is
    damaged and never passes.

    Args:
        evaluation: the file that evaluate wrote.

    Raises:
        GateRefused: the model failed; the message gives the reasons.
        UserError: the file is not an evaluation, or contradicts itself.
    """
    verdict = read_verdict(evaluation)
    report("judged", evaluation=str(evaluation))
    text = f"{AVERAGES[verdict.metric]} {format_figure(verdict.value)}, needs {verdict.threshold:g}"
    if len(verdict.clauses) > 1:
        text += f"; {sum(clause.held for clause in verdict.clauses)} of {len(verdict.clauses)} clauses hold"
    if verdict.reasons:
        report("figure", text=f"refused: {text}")
        raise GateRefused(" ".join(verdict.reasons))
    report("figure", text=f"passed: {text}")
    return verdict.verdict


def read_verdict(evaluation: str | Path) -> Verdict:
    """Read an evaluation and judge its figures again.

    Raises:
        UserError: the file is not an evaluation, or contradicts itself.
    """
    document = read_evaluation(evaluation)
    try:
        stated, section = document["verdict"], document["gate"]
        policy = section["policy"]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{evaluation} is not an evaluation: {type(error).__name__} {error}; expected the file that evaluate wrote."
        ) from None
    verdict = judge(document, check_policy(policy, str(evaluation)))
    if stated != verdict.verdict or section != finite(verdict.section()):
        raise UserError(
            f"{evaluation} contradicts itself: it says {stated!r} with value {section.get('value')!r}, but its own "
            f"figures give {verdict.verdict!r} with {verdict.value!r}, or its clauses differ; run evaluate again."
        )
    return verdict


def read_evaluation(evaluation: str | Path) -> dict[str, Any]:
    """Read the file that evaluate wrote.

    Raises:
        UserError: it cannot be read, or is not strictly valid JSON (NaN is not).
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        document = json.loads(Path(evaluation).read_text(encoding="utf-8"), parse_constant=refuse)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{evaluation} is not a readable evaluation ({error}); expected the file that evaluate wrote."
        ) from None
    if not isinstance(document, dict):
        raise UserError(f"{evaluation} is not an evaluation; expected a JSON object, received {document!r:.60}.")
    return document
