"""A run that is killed half-way goes on where it broke, and ends like one that was not."""

import signal
import time

import pytest
from command import alive_tasks, summary_of, wait_for_epoch


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_killed_in_its_second_finetune_step_resumes_to_the_same_metrics(site, unbroken, tmp_path, number):
    output = tmp_path / "out"
    process = site.start(output, "--min-f1", "0.05")
    wait_for_epoch(output, "finetune-partial", 2)

    process.send_signal(number)  # to the parent alone

    code = process.wait(timeout=30)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 5
    while alive_tasks(output) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive_tasks(output) == []
    if number != signal.SIGKILL:
        assert summary_of(output)["status"] == "interrupted"

    again = site.run(output, "--min-f1", "0.05")

    assert again.returncode == 0, again.stdout + again.stderr
    resumed, reference = summary_of(output), summary_of(unbroken)
    assert resumed["steps"]["finetune-head"]["status"] == "reused"
    assert "Going on after epoch" in (output / "latest" / "logs" / "finetune-partial.log").read_text()
    assert resumed["metrics"] == reference["metrics"]
