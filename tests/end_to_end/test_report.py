"""The report of a run, opened in a real browser."""

import json

import pytest
from browser import DESKTOP, PHONE, axe_core, browser
from command import summary_of


@pytest.mark.browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_report_opens_in_chromium_without_messages_requests_or_barriers(unbroken, tmp_path, size):
    report = unbroken / "latest" / "report.html"

    with browser(tmp_path / "profile") as page:
        page.open(report.as_uri(), size)
        text = page.run("document.body.innerText")
        wide, screen = page.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        violations = page.violations(axe_core())

    assert [address for address in page.requests[1:] if not address.startswith("data:")] == []
    assert page.messages == []
    assert wide <= screen
    assert violations == []
    assert f"{summary_of(unbroken)['metrics']['averages']['macro_f1']['value']:.3f}" in text


def test_the_report_says_that_its_data_is_synthetic(unbroken):
    report = (unbroken / "latest" / "report.html").read_text()

    assert summary_of(unbroken)["data"]["synthetic"] is True
    assert "synthetic" in report.lower()


def test_summary_json_is_strict_json(unbroken):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    json.loads((unbroken / "summary.json").read_text(), parse_constant=refuse)
