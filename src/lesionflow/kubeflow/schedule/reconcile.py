"""From what the server has to what the file says, one safe step at a time.

Recurring runs cannot be changed, only enabled and disabled (kfp#3789), so a changed schedule is a new one in the
old one's place. Between any two requests the command may be killed, and an answer may be lost. So after every step
the server is looked at anew, and the next step follows from what is there: a repeated or a later `apply`, also of
another file, goes on from wherever the last one stopped.

There are never two active schedules of a name because of us: a new one is created disabled, and a schedule is
enabled only when it is the only one of its name. The others are disabled and then deleted before, so a request to
enable one of them that is still on its way, or comes from someone else's `apply`, finds nothing to enable.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from lesionflow.errors import ClusterError, UserError
from lesionflow.kubeflow.client import transport
from lesionflow.kubeflow.client.transport import Refused, Unanswered
from lesionflow.kubeflow.schedule.desired import Desired, Observed
from lesionflow.kubeflow.schedule.recurring import Server

_MOST_STEPS = 200
"""Far more than a healthy server needs; so that two who apply different files in turns come to an end."""


@dataclass(frozen=True)
class Step:
    """One request that changes something."""

    verb: Literal["create", "disable", "delete", "enable"]
    target: Observed | None = None
    """The schedule that is changed; None to create one."""


def next_step(digest: str, paused: bool, observed: Sequence[Observed]) -> Step | None:
    """The one thing to do now.

    Args:
        digest: of what the file says.
        paused: whether the file says so.
        observed: all schedules of the name.

    Returns:
        None if all is as the file says.
    """
    equal = [each for each in observed if each.digest == digest]
    if not equal:
        return Step("create")
    kept = min(equal, key=lambda each: (not each.active, each.created_at, each.id))
    if kept.active and paused:
        return Step("disable", kept)
    others = sorted((each for each in observed if each.id != kept.id), key=lambda each: not each.active)
    if others:
        return removal(others[0])
    if not kept.active and not paused:
        return Step("enable", kept)
    return None


def removal(schedule: Observed) -> Step:
    """The first step to remove a schedule, then the second.

    Disabled first: what is deleted goes on for as long as Kubernetes takes to collect it, and sometimes the server
    forgets a schedule whose resource stays behind and starts runs for ever (kfp#5348, kfp#10123).
    """
    return Step("disable" if schedule.active else "delete", schedule)


def plan(desired: Desired, observed: Sequence[Observed]) -> list[Step]:
    """All steps from `observed` to `desired`, if nothing goes wrong and nobody else changes anything."""
    now, steps = list(observed), list[Step]()
    while step := next_step(desired.digest, desired.schedule.paused, now):
        steps.append(step)
        match step:
            case Step("delete", Observed() as target):
                now.remove(target)
            case Step("enable" | "disable", Observed() as target):
                now[now.index(target)] = replace(target, active=step.verb == "enable")
            case _:
                run = desired.body(replacing=bool(now))
                name = desired.schedule.name
                now.append(Observed("new", name, desired.digest, False, datetime.now(UTC), run))
    return steps


Decision = Callable[[Sequence[Observed]], Step | None]
"""From all schedules of a name to the one thing to do now; None if there is nothing."""


def reconcile(server: Server, desired: Desired, done: Callable[[Step], None]) -> Observed:
    """Make the server have exactly what `desired` says.

    Args:
        server: where.
        desired: what, with its experiment.
        done: told of each step that was taken.

    Returns:
        The schedule.

    Raises:
        UserError: the server refuses a step.
        ClusterError: it gives no answer, again and again, or someone else changes the schedule meanwhile.
    """

    def decide(observed: Sequence[Observed]) -> Step | None:
        return next_step(desired.digest, desired.schedule.paused, observed)

    return settle(server, desired.schedule.name, decide, done, desired)[0]


def settle(
    server: Server, name: str, decide: Decision, done: Callable[[Step], None], desired: Desired | None = None
) -> list[Observed]:
    """Look, do one thing, look again, until there is nothing to do.

    Args:
        server: where.
        name: of the schedule.
        decide: what to do.
        done: told of each step that was taken.
        desired: what a step "create" creates.

    Returns:
        All schedules of that name.

    Raises:
        UserError: the server refuses a step, or `decide` raises it.
        ClusterError: see `apply`.
    """
    changed = False
    failures = 0
    try:
        for _ in range(_MOST_STEPS):
            observed = server.observed(name)
            step = decide(observed)
            if step is None:
                return observed
            try:
                _take(server, step, desired, replacing=bool(observed))
            except (Unanswered, Refused) as error:
                gone = isinstance(error, Refused) and error.status == 404 and step.target
                if failures == len(transport.PAUSES) or not (gone or isinstance(error, Unanswered)):
                    raise
                time.sleep(transport.PAUSES[failures])
                failures += 1
                continue  # whether it took effect is seen by looking
            failures = 0
            changed = True
            done(step)
    except (Unanswered, Refused) as error:
        if not changed:
            raise
        kind = UserError if isinstance(error, UserError) else ClusterError
        raise kind(
            f"{error.sentence} The schedule {name} is half changed and may not run; the same command goes on."
        ) from None
    raise ClusterError(f"The schedule {name} keeps changing; does someone else change it as well?")


def _take(server: Server, step: Step, desired: Desired | None, replacing: bool) -> None:
    match step:
        case Step("enable", Observed(id=identifier)):
            server.enable(identifier)
        case Step("disable", Observed(id=identifier)):
            server.disable(identifier)
        case Step("delete", Observed(id=identifier)):
            server.delete(identifier)
        case _:
            assert desired is not None  # whoever decides to create says what
            server.create(desired, replacing)
