"""The evaluation, as evaluate and pool write it, and the verdict in it."""

import json
from pathlib import Path
from typing import Any, NoReturn

from lesionflow.errors import UserError
from lesionflow.policy import check_policy
from lesionflow.runtime.files import finite
from lesionflow.verdict import Verdict, judge


def read_verdict(evaluation: str | Path) -> Verdict:
    """Read an evaluation and judge its metrics again.

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
            f"metrics give {verdict.verdict!r} with {verdict.value!r}, or its clauses differ; run evaluate again."
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
