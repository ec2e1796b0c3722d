"""A schedule's file: what it may say, and what is said about mistakes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lesionflow.errors import UserError
from lesionflow.kubeflow.schedule.parameters import check_parameters
from lesionflow.kubeflow.schedule.spec import Schedule, load_schedule

SAMPLE = Path(__file__).parents[3] / "docs" / "schedule.yaml"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load(text: str) -> tuple[Schedule, str]:
        file = tmp_path / "schedule.yaml"
        file.write_text(text, encoding="utf-8")
        return load_schedule(file)

    return load


def test_the_sample_is_read_and_names_every_field() -> None:
    schedule, translated = load_schedule(SAMPLE)
    assert schedule.cron == "0 0 3 * * 1"
    assert "six fields" in translated
    assert not schedule.catch_up
    uncommented = [line.lstrip("# ").split(":")[0] for line in SAMPLE.read_text().splitlines()]
    assert set(Schedule.model_fields) <= set(uncommented)


def test_the_sample_fits_the_pipeline_and_its_name() -> None:
    from google.protobuf import json_format

    from lesionflow.kubeflow.compile import uploaded_as
    from lesionflow.pipelines.training import define_training_pipeline
    from lesionflow.profile import load_profile

    schedule, _ = load_schedule(SAMPLE)
    assert schedule.pipeline_name() == uploaded_as(load_profile("generic"))
    pipeline = define_training_pipeline(load_profile("generic"))
    check_parameters(schedule.parameters, json_format.MessageToDict(pipeline.pipeline_spec), "sample")


def test_defaults_are_careful(load: Any) -> None:
    schedule, translated = load("name: weekly\ncron: 0 0 3 * * 1\n")
    assert (schedule.catch_up, schedule.concurrency, schedule.paused, schedule.version) == (False, 1, False, "latest")
    assert translated == ""


def test_times_and_intervals(load: Any) -> None:
    schedule, _ = load("name: n\ninterval: 1d12h\nstart: 2030-01-01T02:00:00+02:00\nend: '2031-01-01T00:00:00Z'\n")
    assert schedule.interval == timedelta(hours=36)
    assert schedule.start == datetime(2030, 1, 1, tzinfo=UTC)


@given(st.integers(1, 10**8))
def test_intervals_come_out_as_they_went_in(seconds: int) -> None:
    from lesionflow.kubeflow.schedule.view import _interval

    text = _interval(str(seconds))
    assert Schedule(name="n", interval=text).interval == timedelta(seconds=seconds)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- 1", "must hold the fields"),
        ("name: a: b", "not valid YAML: line 1"),
        ("name: n\ncron: * * * * *", "in quotes"),
        ("interval: 1h", "name: Field required"),
        ("name: n", "exactly one of cron and interval"),
        ("name: n\ncron: 0 0 3 * * 1\ninterval: 1h", "exactly one of cron and interval"),
        ("name: n\ninterval: 90", "with units"),
        ("name: n\ninterval: 0s", "with units"),
        ("name: ' n'\ninterval: 1h", "name: .* space, received ' n'"),
        ("name: n\ninterval: 1h\nconcurrency: 11", "concurrency: .* 10, received 11"),
        ("name: n\ninterval: 1h\nconcurrency: 0", "concurrency: .* 1, received 0"),
        ("name: n\ninterval: 1h\npaused: 'no'", "paused: .* received 'no'"),
        ("name: n\ninterval: 1h\nenable_caching: false", "unknown field enable_caching"),
        ("name: n\ninterval: 1h\nstart: 2030-01-01", "start: the time zone is missing"),
        ("name: n\ninterval: 1h\nstart: 20300101", "start: expected a time"),
        ("name: n\ninterval: 1h\nstart: 2030-01-01T00:00:00Z\nend: 2030-01-01T01:00:00+01:00", "not after start"),
        ("name: n\ninterval: 1h\nparameters: {day: 2030-01-01}", "day: .* received a date, 2030-01-01"),
        ("name: n\ninterval: 1h\nparameters: {a: [1, .nan]}", "a: .* a list"),
        ("name: n\ncron: 0 3 * * 8", "cron: day of week"),
    ],
)
def test_mistakes_are_explained(load: Any, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        load(text)
    assert "schedule.yaml" in str(error.value)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_schedule(tmp_path / "none.yaml")


SPEC = yaml.safe_load(
    """
    pipelineInfo: {name: training}
    root:
      inputDefinitions:
        parameters:
          source: {parameterType: STRING}
          seed: {parameterType: NUMBER_INTEGER, defaultValue: 0}
          share: {parameterType: NUMBER_DOUBLE, isOptional: true}
          deep: {parameterType: BOOLEAN, defaultValue: false}
    """
)


@pytest.mark.parametrize("spec", [SPEC, {"pipeline_spec": SPEC, "platform_spec": {}}])
def test_parameters_that_fit(spec: dict[str, Any]) -> None:
    check_parameters({"source": "s", "seed": 3, "share": 1, "deep": True}, spec, "file")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "needs the parameter source"),
        ({"source": "s", "sead": 1}, "no parameter 'sead'; did you mean seed?"),
        ({"source": 3}, "source of training takes text, received 3"),
        ({"source": "s", "seed": "3"}, "seed of training takes a whole number, received '3'"),
        ({"source": "s", "seed": True}, "takes a whole number, received True"),
        ({"source": "s", "deep": 1}, "takes true or false, received 1"),
    ],
)
def test_parameters_that_do_not_fit(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_parameters(given, SPEC, "file")
