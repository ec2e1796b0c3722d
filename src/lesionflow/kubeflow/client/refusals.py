"""Why Kubeflow Pipelines refuses a caller, and what helps: each way to sign in and each missing permission its own."""

import re

from lesionflow.kubeflow.kube.permissions import KFP, PERMISSIONS

KUBECONFIG = "it was sent the credentials of your kubeconfig"
"""What was sent to prove who asks, where the Kubernetes API server passes requests on."""
NOTHING = "it was sent no credentials"

RBAC = re.compile(
    r"ResourceAttributes\{Namespace:(?P<namespace>[^,]*),Verb:(?P<verb>[^,]*),Group:[^,]*,Version:[^,]*,"
    r"Resource:(?P<resource>[^,]*),"
)
"""How KFP words what it asked Kubernetes for; a message with it in it says nothing else worth reading."""
_USER = re.compile(r"User '([^']+)'")


def why_unknown(credential: str, said: str) -> str:
    """What to do after a 401.

    Args:
        credential: what was sent, in words.
        said: the server's whole message.
    """
    if credential == KUBECONFIG:
        if "user identity" in said.lower():
            return (
                "the Kubernetes API server keeps your credentials to itself, and a Kubeflow of several users wants to "
                "know who asks; set --endpoint to its own address and sign in there"
            )
        return "log in to the cluster again, as its tool does; see `kubectl auth whoami`"
    if credential == NOTHING:
        return "sign in: set KFP_EXISTING_TOKEN, `token_file`, `dex_username` or `iap_client_id`"
    if "invalid bearer token" in said.lower():
        return (
            "the token has expired, is of another cluster, or is not for KFP; get one with `kubectl create token "
            f"lesionflow-submitter --namespace NAMESPACE --audience {KFP}`"
        )
    return "get a new token, or see `token_file`, KFP_EXISTING_TOKEN and the other ways to sign in"


def why_forbidden(credential: str, said: str) -> str:
    """What is missing after a 403, and what grants it; arguments as of `why_unknown`."""
    if "services/proxy" in said or (credential == KUBECONFIG and "ml-pipeline:http" in said):
        return (
            "your kubeconfig may not pass requests on to KFP (services/proxy); an administrator grants it with "
            "`kubectl apply -k manifests/kubeconfig-access`, or set --endpoint to KFP's own address"
        )
    if not (found := RBAC.search(said)):
        return "check the namespace, and ask its owner for the permissions in manifests/base/submitter.yaml"
    verb, resource, namespace = found["verb"], found["resource"], found["namespace"]
    user = _USER.search(said)
    who = f"{user[1]} lacks" if user else "you lack"
    missing = f"{who} the verb {verb} on {resource} ({KFP}) in namespace {namespace}"
    if any((one.group, one.resource, one.verb) == (KFP, resource, verb) for one in PERMISSIONS):
        return (
            f"{missing}; the Role in manifests/base/submitter.yaml grants it: apply it there again, be a subject of "
            "its RoleBinding, or check --namespace"
        )
    return f"{missing}; ask its owner for it, or check --namespace"
