"""The report, opened in a real browser."""

import json
import re
import shutil
import subprocess

import pytest
from command import summary_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; CI installs it")
def test_the_report_opens_in_chromium_without_console_messages_or_requests(unbroken, tmp_path):
    report = unbroken / "latest" / "report.html"
    net_log = tmp_path / "net.json"

    result = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr", f"--log-net-log={net_log}", "--dump-dom", report.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip

    assert result.returncode == 0, result.stderr
    assert "CONSOLE" not in result.stderr, result.stderr
    requested = set(re.findall(r'"url":"(https?://[^"]+)"', net_log.read_text()))
    assert not {url for url in requested if "google" not in url}  # Chromium's own start-up calls
    assert f"{summary_of(unbroken)['metrics']['macro_f1']:.3f}" in result.stdout


def test_the_report_says_that_its_data_is_synthetic(unbroken):
    report = (unbroken / "latest" / "report.html").read_text()

    assert summary_of(unbroken)["data"]["synthetic"] is True
    assert "synthetic" in report.lower()


def test_summary_json_is_strict_json(unbroken):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads((unbroken / "summary.json").read_text(), parse_constant=refuse)
