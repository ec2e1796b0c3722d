"""What a cluster does wrong, as opposed to what its user does."""


class ClusterError(Exception):
    """The cluster, or the way to it, is broken. The message is one sentence for a person.

    The command line prints it without a traceback and exits with code 1: the same command may
    well succeed later. A mistake of the user's is a `lesionflow.errors.UserError` instead.
    """
