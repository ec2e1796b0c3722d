"""Enforce the verdict that evaluate reached."""

import json
from pathlib import Path
from typing import Any, NoReturn

from components.common.errors import GateRefused, UserError
from components.common.metrics import AVERAGES, format_figure
from components.common.progress import report
from components.gate.policy import Verdict, judge


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
    name = AVERAGES[verdict.metric]
    if verdict.reasons:
        report("figure", text=f"refused: {name} {format_figure(verdict.value)}, needs {verdict.threshold:g}")
        raise GateRefused(" ".join(verdict.reasons))
    report("figure", text=f"passed: {name} {format_figure(verdict.value)}, needs {verdict.threshold:g}")
    return verdict.verdict


def read_verdict(evaluation: str | Path) -> Verdict:
    """Read an evaluation and judge its figures again.

    Raises:
        UserError: the file is not an evaluation, or contradicts itself.
    """
    document = read_evaluation(evaluation)
    try:
        stated, policy = document["verdict"], document["gate"]
        verdict = judge(document["metrics"], policy["metric"], policy["threshold"])
        agrees = stated == verdict.verdict and policy["value"] == verdict.value
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{evaluation} is not an evaluation: {type(error).__name__} {error}; expected the file that evaluate wrote."
        ) from None
    if not agrees:
        raise UserError(
            f"{evaluation} contradicts itself: it says {stated!r} with value {policy['value']!r}, but its own figures "
            f"give {verdict.verdict!r} with {verdict.value!r}; run evaluate again."
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
