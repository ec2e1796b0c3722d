"""What promote and evaluate would stumble over after all the training, asked before it."""

from lesionflow import storage
from lesionflow.errors import UserError
from lesionflow.policy import load_policy
from lesionflow.registry.versions import champion_version
from lesionflow.runtime.progress import report


def preflight(registry: str, policy: str = "default") -> str:
    """Try the model registry, and look up the version in use if the policy compares with it.

    That is asked for once in a run, here, so that evaluate is reused exactly as long as the champion is the same.

    Args:
        registry: folder, gs:// or s3:// prefix that will receive the model.
        policy: of the gate, as `load_policy` understands it.

    Returns:
        The version; empty if there is none yet, or if the policy does not ask.

    Raises:
        UserError: the policy is none, there is no registry, its champion cannot be used, or its store cannot keep two
            promotions at once apart.
    """
    if not registry:
        raise UserError("There is no registry to promote to; give a folder, or a gs:// or s3:// prefix.")
    version = (champion_version(registry) or "") if load_policy(policy).compares else ""
    storage.check_swaps(registry)
    report("headline", text=f"the champion is {version}" if version else "the model registry is ready")
    return version
