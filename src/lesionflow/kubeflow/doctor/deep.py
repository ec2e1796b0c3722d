"""`lesionflow doctor --deep`: what really works on a cluster, found by running the product's own steps there."""

from lesionflow.kubeflow.client.connection import connect
from lesionflow.kubeflow.doctor.deep_checks import CLEANING, of_first_run, of_second_run, without_second_run
from lesionflow.kubeflow.doctor.deep_run import DeepRuns, prepare_contract
from lesionflow.kubeflow.doctor.findings import Finding, Status, fine
from lesionflow.kubeflow.doctor.show import DoctorDisplay
from lesionflow.kubeflow.doctor.subject import Subject
from lesionflow.kubeflow.runs.run_reader import RunReader
from lesionflow.kubeflow.submission import check_pinned
from lesionflow.pipelines import contract


def examine_deeply(subject: Subject, display: DoctorDisplay) -> int:
    """Run the contract pipeline twice, say what works, and delete what was made.

    Returns:
        The exit code: 0 if everything works, 1 otherwise.

    Raises:
        UserError: KFP cannot be reached, refuses the run, or the images are not pinned.
        ClusterError: it gives no answer.
    """
    submission = prepare_contract(subject, contract.new_nonce())
    check_pinned(submission)
    client = connect(subject.settings)
    runs = DeepRuns(client, RunReader(client, subject.settings), submission, display.starting, [])
    found: dict[str, Finding] = {}

    def show(name: str, finding: Finding) -> None:
        found[name] = finding
        display.finished(name, finding)

    try:
        first = runs.run("first", fail_once=False)
        for name, finding in of_first_run(first).items():
            show(name, finding)
        if any(task.status == "done" for task in first.state.of("contract-2")):
            findings = of_second_run(runs.run("second", fail_once=True))
        else:
            findings = without_second_run("the first run did not come to its end")
        for name, finding in findings.items():
            show(name, finding)
    finally:
        display.starting("deleting what was made")
        show(CLEANING, _cleaned(*runs.clean()))
    return display.summary(found.values())


def _cleaned(gone: list[str], left: list[str]) -> Finding:
    artifacts = "; the artifacts stay in the pipeline root"
    if not left:
        return fine(f"deleted: {', '.join(gone) or 'nothing'}{artifacts}")
    hint = "delete them in Kubeflow's pages, or with an account that may; they are in nobody's way"
    return Finding(Status.FINE, f"left: {'; '.join(left)}{artifacts}", hint)
