"""What a user is told when Kubeflow Pipelines, or Kubernetes before it, refuses: who, what is missing, what helps."""

import json
from typing import Any

import pytest
from kfp_server_api import ApiException
from recordings import KFP, recorded

from lesionflow.kubeflow.client.refusals import KUBECONFIG, NOTHING
from lesionflow.kubeflow.client.transport import Origin, explain

TOKEN = "it was sent the token in KFP_EXISTING_TOKEN"


def told(status: int, body: Any, credential: str) -> str:
    """The sentence for an answer."""
    error: Any = ApiException(status=status, reason="")
    error.body = json.dumps(body).encode()
    sentence = str(explain(error, Origin("https://kubeflow.example.com", credential, lambda: ["s3cr3t"])))
    assert ". " not in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 700
    return sentence


def forbidden(name: str) -> Any:
    return json.loads((KFP / "api" / name).read_text().partition("\n\n")[2])


def test_a_missing_verb_is_named_with_the_manifest_that_grants_it() -> None:
    sentence = told(403, forbidden("terminate-forbidden.http"), TOKEN)
    assert "system:serviceaccount:lesionflow:lesionflow-submitter lacks the verb terminate on runs" in sentence
    assert "in namespace lesionflow; the Role in manifests/base/submitter.yaml grants it" in sentence
    assert "ResourceAttributes" not in sentence


def test_a_namespace_of_somebody_else() -> None:
    sentence = told(403, recorded("api/run-other-namespace.json"), TOKEN)
    assert "lacks the verb list on runs (pipelines.kubeflow.org) in namespace kubeflow" in sentence
    assert "check --namespace" in sentence


def test_a_kubeconfig_without_access_to_the_service() -> None:
    """The words are the Kubernetes API server's."""
    message = (
        'services "ml-pipeline:http" is forbidden: User "jane" cannot get resource "services/proxy" in API group "" in '
        'the namespace "kubeflow"'
    )
    sentence = told(403, {"kind": "Status", "status": "Failure", "message": message, "code": 403}, KUBECONFIG)
    assert 'User "jane" cannot get resource "services/proxy"' in sentence
    assert "kubectl apply -k manifests/kubeconfig-access" in sentence


@pytest.mark.parametrize(
    ("answer", "credential", "says"),
    [
        (
            "badtoken",
            TOKEN,
            "kubectl create token lesionflow-submitter --namespace NAMESPACE --audience pipelines.kube",
        ),
        (
            "unauthenticated",
            NOTHING,
            "sign in: set KFP_EXISTING_TOKEN, `token_file`, `dex_username` or `iap_client_id`",
        ),
        (
            "unauthenticated",
            KUBECONFIG,
            "keeps your credentials to itself, and a Kubeflow of several users wants to know",
        ),
        ("unauthenticated", "it was sent the Dex session of jane", "get a new token"),
    ],
)
def test_an_unknown_caller(answer: str, credential: str, says: str) -> None:
    sentence = told(401, recorded(f"api/{answer}.json"), credential)
    assert f"does not know who asks (401): {credential}; " in sentence
    assert says in sentence


def test_a_kubeconfig_that_has_expired() -> None:
    sentence = told(401, {"kind": "Status", "message": "Unauthorized", "code": 401}, KUBECONFIG)
    assert "log in to the cluster again" in sentence


def test_a_refusal_without_a_reason() -> None:
    assert "manifests/base/submitter.yaml" in told(403, {}, TOKEN)


def test_no_secret_is_repeated() -> None:
    message = (
        "User 's3cr3t' ... (request: &ResourceAttributes{Namespace:s3cr3t,Verb:get,Group:g,Version:v,Resource:runs,"
    )
    assert "s3cr3t" not in told(403, {"message": message}, TOKEN)


def test_a_verb_that_no_manifest_of_ours_grants() -> None:
    message = "User 'jane' ... (request: &ResourceAttributes{Namespace:n,Verb:delete,Group:g,Version:v,Resource:runs,"
    sentence = told(403, {"message": message}, TOKEN)
    assert "jane lacks the verb delete on runs (pipelines.kubeflow.org) in namespace n; ask its owner" in sentence
    assert "manifests" not in sentence
