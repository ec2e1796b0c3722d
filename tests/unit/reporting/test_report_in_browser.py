"""The reports in a real browser: nothing fetched, nothing complained about, nothing too wide, and usable by everybody.

Must stay so on a desktop and on a phone, in light and dark; axe-core judges contrast, names, headings and roles.
"""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from browser import DESKTOP, PHONE, Page, axe_core, browser
from judged import World, make_world, probabilities_for

from lesionflow.taxonomy import HAM10000

pytestmark = pytest.mark.browser

TRUTH = [label for label in HAM10000.codes for _ in range(6)]
ANSWERS = {
    "some mistakes": probabilities_for(["mel" if row % 4 == 0 else dx for row, dx in enumerate(TRUTH)]),
    "not numbers": np.full((len(TRUTH), len(HAM10000.codes)), np.nan, np.float32),
}
SCREENS = {
    "desktop": (DESKTOP, "light"),
    "phone": (PHONE, "light"),
    "dark": (DESKTOP, "dark"),
    "dark phone": (PHONE, "dark"),
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a model of each kind."""
    made: dict[str, Path] = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, probabilities in ANSWERS.items():
            world: World = make_world(tmp_path_factory.mktemp("world"), TRUTH, synthetic=True)
            world.describe()
            world.evaluate(patch, probabilities)
            made[name] = world.out("report").rename(world.folder / "report.html")
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Generator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(params=[(report, screen) for report in ANSWERS for screen in SCREENS], ids=" on ".join)
def shown(request: pytest.FixtureRequest, page: Page, reports: dict[str, Path]) -> Page:
    """Each report on each screen."""
    report, screen = request.param
    size, scheme = SCREENS[screen]
    page.requests.clear()
    page.messages.clear()
    page.open(reports[report].as_uri(), size, prefers_color_scheme=scheme)
    return page


def test_it_asks_for_nothing_says_nothing_and_is_as_wide_as_the_screen(shown: Page):
    assert [address for address in shown.requests[1:] if not address.startswith("data:")] == []
    assert shown.messages == []
    wide, screen = shown.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= screen


def test_axe_finds_nothing(shown: Page):
    assert shown.violations(axe_core()) == []
