"""Errors whose message is meant for a person, not for a programmer."""

PASSED, FAILED, BAD_INPUT, REFUSED = 0, 1, 2, 3
"""Exit codes of the command, and of the process of a step."""


class UserError(Exception):
    """Bad input. The message is one sentence: what, where, expected, received, how to fix it.

    The command line prints it without a traceback and exits with code 2.
    """


class GateRefused(Exception):
    """The model was evaluated and judged not good enough. The command exits with code 3."""


class Preempted(Exception):
    """The step was told to end (SIGTERM) and saved where it stood, so that its retry goes on there.

    The task exits with code 143.
    """


class ClusterError(Exception):
    """The cluster, or the way to it, is broken. The message is one sentence for a person.

    The command line prints it without a traceback and exits with code 1: the same command may well succeed later.
    """
