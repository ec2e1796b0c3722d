"""Which version is in use: of two runs that finish in any order, the better one.

The pointer is moved by compare and swap. A promotion reads it, compares the two versions by the
gate's metric, and writes only over the very pointer that it read; if another run was faster, it
compares again.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, get_args

from lesionflow import storage
from lesionflow.artifacts.version_card import VersionCard
from lesionflow.errors import UserError
from lesionflow.metrics.classification import AVERAGES
from lesionflow.registry.versions import CHAMPION, named_version, read_card
from lesionflow.storage import Address, AnyAddress

Replace = Literal["better", "always"]
"""When a version takes the place of the champion: if it is better, or whatever it is."""

_PATIENCE = 600.0  # seconds; a store that always answers "conflict" is broken
_LONGEST_PAUSE = 2.0  # seconds

_ALL_THE_SAME = "To use it all the same, promote it with `lesionflow step promote ... --set replace_champion=always`."


@dataclass(frozen=True)
class Standing:
    """What became of a version."""

    outcome: Literal["promoted", "stands", "published"]
    """It is the champion now; it was already; or it lies in the registry beside a champion that stays."""
    reason: str
    """Why, in a sentence or two."""
    rival: str | None = None
    """The version it was compared with."""
    rival_value: float | None = None
    """That one's value of the gate's metric."""


def check_replace(text: str) -> Replace:
    """Understand the parameter `replace_champion`.

    Raises:
        UserError: it is neither.
    """
    for choice in get_args(Replace):
        if text == choice:
            return choice
    raise UserError(f"replace_champion is {text!r}; expected {' or '.join(get_args(Replace))}.")


def move_champion(registry: AnyAddress, card: VersionCard, replace: Replace = "better") -> Standing:
    """Make a version the champion if it is better than the one in use, or unconditionally.

    Equal is not better: the version in use stays. A model of real data takes the place of one of synthetic data,
    never the other way round unless `always`; a model of other classes does by `always` only. A pointer that names no
    version, or a version that is no longer whole, can be used by nobody and is replaced. A champion that was judged by
    another metric is compared by this version's metric, which its card has too.

    Args:
        registry: folder or bucket prefix.
        card: of the complete version.
        replace: `always` skips the comparison.

    Raises:
        UserError: the registry cannot be read or written.
    """
    place = Address.parse(registry) / CHAMPION
    pointer = (json.dumps(_pointer(card), indent=2, allow_nan=False) + "\n").encode()
    card_of = cache(partial(read_card, registry))  # a champion's card stays as it is
    deadline = time.monotonic() + _PATIENCE
    pause, tried = 0.02, None
    while True:
        found = storage.read_versioned(place)
        standing = _compare(card, found[0] if found else None, card_of, replace)
        if standing.outcome == "stands" and tried:
            return tried  # that write did arrive; only its answer was lost
        if standing.outcome != "promoted":
            return standing
        try:
            storage.replace(place, pointer, expected=found[1] if found else None)
            return standing
        except storage.Conflict:
            # Each conflict means that some run got through, so a crowd of any size comes to its end.
            if time.monotonic() > deadline:
                raise UserError(f"Other runs keep changing {place}; promote again when they are done.") from None
            tried = standing
            time.sleep(random.uniform(0, pause))
            pause = min(_LONGEST_PAUSE, 2 * pause)


def _pointer(card: VersionCard) -> dict[str, Any]:
    """What one wants to know of the champion at a glance."""
    evaluation = card.evaluation
    return {
        "version": card.version,
        "promoted_at": card.created,
        "metric": evaluation.gate.metric,
        "value": evaluation.gate.value,
        "fingerprint": evaluation.data.fingerprint,
        "test_set": evaluation.data.test_set,
    }


def _compare(
    card: VersionCard, pointer: bytes | None, card_of: Callable[[str], VersionCard | None], replace: Replace
) -> Standing:
    """What a promotion does that found this pointer."""
    if pointer is None:
        return Standing("promoted", "It is the first champion of this registry.")
    old = named_version(pointer)
    if old == card.version:
        return Standing("stands", "It is the champion already.")
    rival = card_of(old) if old else None
    if not old or rival is None:
        why = f"{old} is not complete" if old else "its pointer names no version"
        return Standing("promoted", f"It replaces a champion that cannot be used: {why}.")
    metric = card.evaluation.gate.metric
    value = card.evaluation.gate.value or 0.0  # what passed the gate has one
    rival_metric = rival.evaluation.metrics.averages.get(metric)
    standard = rival_metric.value if rival_metric else None
    against = "no metric" if standard is None else f"{standard:.4f}"
    metrics = f"{AVERAGES.get(metric, metric)} {value:.4f} against {against}"
    note = _note(card, rival)
    # Metrics of made-up images say nothing about skin, however high they are.
    made_up, rival_made_up = card.evaluation.data.synthetic, rival.evaluation.data.synthetic
    if rival_made_up and not made_up:
        return Standing("promoted", f"It replaces {old}, which was trained on synthetic data.", old, standard)
    if replace == "always":
        return Standing("promoted", f"It replaces {old}, better or not ({metrics}).{note}", old, standard)
    if made_up and not rival_made_up:
        kept = f"It was published, but {old} stays the champion: that was trained on real data, this on synthetic."
        return Standing("published", kept, old, standard)
    if (ours := card.evaluation.taxonomy.codes) != (theirs := rival.evaluation.taxonomy.codes):
        kept = (
            f"It was published, but {old} stays the champion: that knows the classes {', '.join(theirs)}, this "
            f"{', '.join(ours)}, so whoever uses the champion would get other answers. {_ALL_THE_SAME}"
        )
        return Standing("published", kept, old, standard)
    if standard is None or value > standard:
        return Standing("promoted", f"It is better than {old} ({metrics}).{note}", old, standard)
    than = "no better than that" if value == standard else "worse"
    return Standing(
        "published",
        f"It was published, but {old} stays the champion: the new one is {than} ({metrics}).{note} {_ALL_THE_SAME}",
        old,
        standard,
    )


def _note(card: VersionCard, rival: VersionCard) -> str:
    """What limits the comparison, as sentences with a space before each."""
    note = ""
    metric, other = card.evaluation.gate.metric, rival.evaluation.gate.metric
    if other != metric:
        note += f" The champion was judged by {AVERAGES.get(other, other)}."
    ours, theirs = card.evaluation.data, rival.evaluation.data
    if ours.test_set != theirs.test_set:
        note += " The two were measured on different test sets, so their metrics do not really compare."
    return note
