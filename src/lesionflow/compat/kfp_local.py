"""Where kfp.local (2.17.0) has no seam: what is put in place of its own functions for the time of one run.

Each says why. tests/unit/compat/test_kfp_local.py holds what is replaced to kfp's present source.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import docker
from kfp.local import docker_task_handler, task_dispatcher
from kfp.local.docker_task_handler import DockerTaskHandler
from kfp.local.orchestrator import enhanced_dag_orchestrator, task_executor, task_spec_utils
from kfp.local.status import Status


@dataclass(frozen=True)
class EndedTask:
    """A task of a local run that succeeded."""

    name: str
    """kfp's."""
    outputs: Mapping[str, Any]
    """By name: values of parameters, and artifacts, which have a `path`."""
    reused: bool
    """Whether its result was known, so that nothing ran."""


@contextmanager
def tasks_told(begin: Callable[[str], None], tell: Callable[[EndedTask], None]) -> Generator[None]:
    """Learn of each task that begins and of each that succeeds, in the order in which they do.

    kfp.local tells of a task's outputs to nobody, unless the whole run succeeds and they are the pipeline's own; and
    of a cache hit only to the root logger, in words. Both are asked for where all tasks pass, importers too.

    Args:
        begin: called with kfp's name of each task, before anything of it runs.
        tell: called with each task that succeeded.
    """
    executor: Any = task_executor
    dispatcher: Any = task_dispatcher
    kfps_own, dispatch = executor.execute_single_task, dispatcher.run_single_task_implementation
    ran: list[str] = []

    def execute(task_name: str, **given: Any) -> tuple[dict[str, Any], Status]:
        ran.clear()
        begin(task_name)
        outputs, status = kfps_own(task_name=task_name, **given)
        if status is Status.SUCCESS:
            tell(EndedTask(task_name, outputs, reused=not ran))
        return outputs, status

    def note(**given: Any) -> tuple[dict[str, Any], Status]:
        ran.append(given["component_name"])
        return dispatch(**given)

    executor.execute_single_task, dispatcher.run_single_task_implementation = execute, note
    try:
        yield
    finally:
        executor.execute_single_task, dispatcher.run_single_task_implementation = kfps_own, dispatch


@contextmanager
def loops_in_turn(begin: Callable[[int, int], None], end: Callable[[], None]) -> Generator[None]:
    """Have a loop's iterations run in this thread, in turn.

    kfp.local gives them to a pool of threads, also with parallelism 1, which goes through all that are left, hours of
    work, after one has failed or the run was interrupted. And of two at a time nobody could tell whose output is whose.

    Args:
        begin: called before each iteration, with its number from 1 and how many there are.
        end: called after the last one, if all succeeded.
    """

    def execute(_: object, tasks: Sequence[tuple[str, Any]], parallelism_limit: int = 0, **options: Any) -> Any:
        outputs: dict[str, Any] = {}
        for number, (name, task) in enumerate(tasks, start=1):
            begin(number, len(tasks))
            outputs[name], status = enhanced_dag_orchestrator.execute_task(task_name=name, task_spec=task, **options)
            if status is not Status.SUCCESS:
                options["fail_stack"].append(name)
                return {}, status
            for key, value in outputs[name].items():
                options["io_store"].put_task_output(name, key, value)
        end()
        return outputs, Status.SUCCESS

    executor: Any = enhanced_dag_orchestrator.ParallelExecutor
    kfps_own = executor.execute_parallel_tasks
    executor.execute_parallel_tasks = execute
    try:
        yield
    finally:
        executor.execute_parallel_tasks = kfps_own


@contextmanager
def loops_given_outputs() -> Generator[None]:
    """Have a loop's iterations receive the parameters that tasks before the loop gave out.

    kfp.local gives the loop's item in place of each of them, whatever the loop goes over; so a fold got its own number
    for the digest of the data, and the cache of its steps did not see a change of what that digest covers.
    """
    utils: Any = task_spec_utils
    kfps_own = utils.create_parameter_loop_iteration_task_spec

    def create(original_task_spec: Any, loop_item: Any, loop_task_name: str) -> Any:
        iteration = kfps_own(original_task_spec, loop_item, loop_task_name)
        for name, given in original_task_spec.inputs.parameters.items():
            if given.HasField("task_output_parameter"):
                iteration.inputs.parameters[name].CopyFrom(given)
        return iteration

    utils.create_parameter_loop_iteration_task_spec = create
    try:
        yield
    finally:
        utils.create_parameter_loop_iteration_task_spec = kfps_own


class RunContainer(Protocol):
    """Runs one container to its end."""

    def __call__(
        self, client: docker.DockerClient, image: str, command: list[str], volumes: dict[str, Any], **settings: Any
    ) -> int:
        """Run it with these arguments of Docker's `run`, and return the exit code."""
        ...


@contextmanager
def containers_run_by(run_container: RunContainer) -> Generator[None]:
    """Have each container of a DockerRunner run by a task handler of ours.

    kfp's own asks Docker to remove the container by itself, and takes one that is gone before its exit code was read
    for a success (kfp#13332). A handler is kfp's interface, `ITaskHandler`; which one a runner gets is no setting:
    the table of them is local to a function, keyed by the runner's very class. So ours takes the place of kfp's.
    """

    class Handler(DockerTaskHandler):
        def run(self) -> Status:
            with closing(docker.from_env()) as client:
                settings = {**self.runner.container_run_args, "environment": self.env_vars}
                volumes = self.get_volumes_to_mount(client)
                code = run_container(client, self.image, self.full_command, volumes, **settings)
            return Status.SUCCESS if code == 0 else Status.FAILURE

    handlers: Any = docker_task_handler
    handlers.DockerTaskHandler = Handler
    try:
        yield
    finally:
        handlers.DockerTaskHandler = DockerTaskHandler
