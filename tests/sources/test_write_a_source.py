"""The page that writes a source from scratch keeps its word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import SettingsError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import SOURCES, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.sandbox.server import Request

PAGE = Path(__file__).parents[2] / "docs" / "write-a-source.md"
PLACE = ("--ra", "157.3415", "--dec", "29.5106667")
ROW = {
    "id": 17,
    "object": "EX26a",
    "jd": 2461000.75,
    "filter": "g",
    "magnitude": 19.42,
    "error": 0.12,
    "sign": "+",
    "ra": 157.3415,
    "dec": 29.5106667,
}


def block(language: str, number: int = 0) -> str:
    """Return one example of the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return str(found[number])


class ExampleSurvey(StandIn):
    """The survey of the page: a list of rows, whatever is asked."""

    rows: list[dict[str, Any]]

    def handle(self, request: Request) -> Reply:
        assert request.path == "/detections"
        assert {key for key, _ in request.query} == {"ra", "dec", "radius"}
        return Reply.json(self.rows)


@pytest.fixture
def survey() -> Iterator[ExampleSurvey]:
    with ExampleSurvey() as server:
        server.rows = [
            ROW,
            ROW | {"id": 18, "jd": 2461001.75, "filter": "r", "sign": "-"},
            ROW | {"id": 19, "jd": 2461002.75, "magnitude": None},
        ]
        yield server


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Install the page's module and entry point as a package of its own."""
    site = tmp_path / "site"
    metadata = site / "example_survey-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "example_survey.py").write_text(block("python"), encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: example-survey\n")
    entry = block("toml").replace('[project.entry-points."yse_ingest.sources"]', "")
    (metadata / "entry_points.txt").write_text(
        "[yse_ingest.sources]\n" + entry.replace('"', "").strip() + "\n"
    )
    return site


def command(site: Path, survey: ExampleSurvey, *arguments: str, **environment: str) -> Any:
    """Run ``yse-ingest`` as a user who installed the package does."""
    done = subprocess.run(
        [Path(sys.executable).with_name("yse-ingest"), *arguments, "--json"],
        env={
            **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
            "PYTHONPATH": str(site),
            "EXAMPLE_URL": survey.url,
            "YSE_INGEST_STATE_DIR": str(site / "var"),
            **environment,
        },
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return json.loads(done.stdout) if done.stdout else done.stderr


def test_a_source_of_another_package_is_asked_by_name(
    package: Path, survey: ExampleSurvey
) -> None:
    """The example of the page, installed beside us, is asked over HTTP; nothing is bent."""
    shown = command(package, survey, "fetch", "2019np", *PLACE, "--source", "example")

    (point,) = shown["light_curve"]
    assert (point["obs_date"], point["band"]) == ("2025-11-21T06:00:00.000", "g-ZTF")
    assert point["flux"] == pytest.approx(1706.082, abs=5e-4)
    assert "magnitude is missing (null)" in json.dumps(shown)


def test_its_errors_are_told_as_ours(package: Path, survey: ExampleSurvey) -> None:
    """A survey that is down is named, with the target."""
    survey.faults.add(Fault("status", status=404))

    shown = command(package, survey, "fetch", "2019np", *PLACE, "--source", "example")

    assert (shown["error"]["service"], shown["error"]["target"]) == ("Example Survey", "2019np")
    assert shown["error"]["fact"].startswith("answered 404")


def test_it_can_be_probed(package: Path, survey: ExampleSurvey) -> None:
    """Its fields are read off its schema: nothing had to be written for it."""
    survey.rows = [{**ROW, "id": number} for number in (17, 18, 19)]
    found = command(package, survey, "sources", "probe", "example")
    assert (found["as_agreed"], found["problems"]) == (True, [])
    assert len(found["tables"][0]["fields"]) == 10

    survey.faults.add(Fault("drifted", edits={'"magnitude"': '"magnitude_ab"'}))
    found = command(package, survey, "sources", "probe", "example")
    assert found["problems"] == [
        "row: magnitude is missing (it may be called magnitude_ab now)"
    ]
    error = command(package, survey, "fetch", "2019np", *PLACE, "--source", "example")["error"]
    assert error["error"] == "FormatChangedError"
    assert error["fact"] == "format changed: field magnitude missing"


def test_how_often_it_may_be_asked_is_set_by_its_name(
    package: Path, survey: ExampleSurvey
) -> None:
    """``EXAMPLE_RATE`` is its setting; one that is no rate is refused by its name."""
    shown = command(package, survey, "sources", EXAMPLE_RATE="7/h")
    assert shown["example"]["budget"]["allowed"] == ["7/h"]
    refused = command(package, survey, "sources", EXAMPLE_RATE="often")
    assert refused["error"]["field"] == "EXAMPLE_RATE"


def test_the_example_is_short() -> None:
    """From scratch in under 60 lines of code."""
    assert len(block("python").splitlines()) < 60


def test_our_own_sources_are_registered_the_same_way() -> None:
    """Every source is found by its name, and calls itself by it."""
    assert {"alerce", "mars"} <= set(SOURCES)
    assert all(SOURCES[name].name == name for name in SOURCES)
    assert "nowhere" not in SOURCES


@pytest.mark.parametrize(
    ("name", "targets", "why"),
    [
        ("gone", ["no_such_module:Source"], "No module named 'no_such_module'"),
        ("lost", ["yse_ingest.sources.mars:NoSource"], "has no attribute 'NoSource'"),
        ("other", ["yse_ingest.sources.mars:MarsSource"], "it calls itself 'mars'"),
        ("mars", ["a:A", "b:B"], "b:B is registered under it, too"),
        ("path", ["pathlib:Path"], "it has no title, capabilities, options, from_setup, fetch"),
    ],
)
def test_a_broken_source_stops_only_itself(name: str, targets: list[str], why: str) -> None:
    """What cannot be used is named with the reason; its neighbours are still there."""
    found = [EntryPoint(name, target, "yse_ingest.sources") for target in targets]
    alerce = EntryPoint("alerce", "yse_ingest.sources.alerce:AlerceSource", "")
    registry = Registry([*found, alerce])

    with pytest.raises(SettingsError) as caught:
        registry[name]

    assert why in str(caught.value)
    assert registry["alerce"].title == "ALeRCE"
    assert list(registry) == sorted(["alerce", name])
    assert {"ALERCE_URL", "ALERCE_RATE"} <= {option.variable for option in registry.options()}
