"""What takes the place of kfp.local's own functions does what it is for, and kfp's are still those that it was for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local
from kfp.local import docker_task_handler, task_dispatcher
from kfp.local.orchestrator import enhanced_dag_orchestrator, task_executor, task_spec_utils
from kfp.local.task_handler_interface import ITaskHandler
from replaced import unchanged

from lesionflow.compat.kfp_local import EndedTask, containers_run_by, loops_given_outputs, loops_in_turn, tasks_told

MODULE = "lesionflow.compat.kfp_local"


@pytest.mark.parametrize(
    ("part", "digest", "stands_in"),
    [
        (task_executor.execute_single_task, "ee78ffed032b", "tasks_told"),
        (task_dispatcher.run_single_task_implementation, "352b81d11542", "tasks_told"),
        (enhanced_dag_orchestrator.ParallelExecutor, "3920fabfc5d8", "loops_in_turn"),
        (enhanced_dag_orchestrator.execute_task, "652a78d0084c", "loops_in_turn"),
        (task_spec_utils.create_parameter_loop_iteration_task_spec, "5dc1f5e907c0", "loops_given_outputs"),
        (docker_task_handler.DockerTaskHandler, "172e8507d73f", "containers_run_by"),
        (docker_task_handler.run_docker_container, "63183d16a5ae", "containers_run_by"),
        (ITaskHandler, "852eb34f64f1", "containers_run_by"),
    ],
)
def test_kfps_own_are_as_they_were(part: Callable[..., Any], digest: str, stands_in: str) -> None:
    unchanged("kfp", part, digest, f"{MODULE}.{stands_in}")


@dsl.component(base_image="python", install_kfp_package=False)
def double(number: int) -> int:
    return number * 2


@dsl.component(base_image="python", install_kfp_package=False)
def refuse(number: int) -> int:
    raise SystemExit(number)


@dsl.pipeline(name="doubled")
def doubled(number: int):
    double(number=double(number=number).output)


@dsl.pipeline(name="in-loops")
def in_loops():
    with dsl.ParallelFor([1, 2, 3]) as number:
        double(number=number)


@dsl.component(base_image="python", install_kfp_package=False)
def add(number: int, to: int) -> int:
    return number + to


@dsl.pipeline(name="added-in-loops")
def added_in_loops():
    before = double(number=12)
    with dsl.ParallelFor([1, 2, 100]) as number:
        add(number=number, to=before.output)


@dsl.pipeline(name="refused-in-loops")
def refused_in_loops():
    with dsl.ParallelFor([1, 2, 3]) as number:
        refuse(number=number)


@pytest.fixture
def kfp_local(tmp_path: Path) -> None:
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(tmp_path),
        raise_on_error=False,
        enable_caching=True,
        cache_root=str(tmp_path / "cache"),
    )


def test_each_task_is_told_with_its_outputs_and_whether_it_was_reused(kfp_local: None) -> None:
    begun: list[str] = []
    told: list[EndedTask] = []

    with tasks_told(begun.append, told.append):
        doubled(number=3)
        doubled(number=3)
    doubled(number=3)

    assert begun == ["double", "double-2"] * 2
    assert [(task.name, dict(task.outputs), task.reused) for task in told] == [
        ("double", {"Output": 6}, False),
        ("double-2", {"Output": 12}, False),
        ("double", {"Output": 6}, True),
        ("double-2", {"Output": 12}, True),
    ]


def test_iterations_run_in_turn_and_the_rest_is_left_after_one_has_failed(kfp_local: None) -> None:
    begun: list[tuple[int, int]] = []
    ended: list[str] = []

    with loops_in_turn(lambda number, count: begun.append((number, count)), lambda: ended.append("all")):
        in_loops()
        assert (begun, ended) == ([(1, 3), (2, 3), (3, 3)], ["all"])
        begun.clear()
        refused_in_loops()

    assert (begun, ended) == ([(1, 3)], ["all"])


def test_an_iteration_receives_what_a_task_before_the_loop_gave_out(kfp_local: None) -> None:
    told: list[Any] = []

    with loops_given_outputs(), tasks_told(lambda _: None, lambda task: told.append(task.outputs["Output"])):
        added_in_loops()

    assert sorted(told) == [24, 25, 26, 124]


class _Client:
    """Of Docker, as far as kfp's handler asks it."""

    def info(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("code", "told"), [(0, ["double"]), (3, [])])
def test_a_container_is_run_by_ours_whose_exit_code_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, told: list[str]
) -> None:
    monkeypatch.setattr("docker.from_env", _Client)
    begun: list[str] = []
    ended: list[EndedTask] = []
    asked: list[dict[str, Any]] = []

    def run(client: Any, image: str, command: list[str], volumes: dict[str, Any], **settings: Any) -> int:
        asked.append({"image": image, "sees": str(tmp_path) in volumes, **settings})
        output = Path(command[command.index("--executor_input") + 1].split('"outputFile": "')[-1].split('"')[0])
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text('{"parameterValues": {"Output": 6}}')
        return code

    runner = local.DockerRunner(read_only=True, environment={"A": "b"})
    local.init(runner=runner, pipeline_root=str(tmp_path), raise_on_error=False)
    with containers_run_by(run), tasks_told(begun.append, ended.append):
        doubled(number=3)

    assert begun[0] == "double"
    assert [task.name for task in ended][:1] == told
    assert asked[0] == {"image": "python", "sees": True, "read_only": True, "environment": {"A": "b"}}
