"""`yse-ingest sources`: how every source stands, what was kept, and the probe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceLsstStandIn, AlerceStandIn
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console
    from yse_ingest.sandbox.server import StandIn

PLACE = (157.3415, 29.5106667)
TOKEN = "a-token-that-nobody-may-see"


def renamed(field: str) -> Fault:
    return Fault("drifted", edits={f'"{field}"': f'"{field}_new"'})


def told(console: Console, *arguments: str, code: int, **changes: str) -> Any:
    result = console.run("sources", *arguments, "--json", **changes)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def skies(console: Console) -> Iterator[dict[str, tuple[StandIn, dict[str, str]]]]:
    """Return stand-ins of the sources that serves 2019np, and the setting that points there."""
    first = supernovae.load()[:1]
    with AlerceStandIn() as alerce, AlerceLsstStandIn() as lsst, FinkStandIn() as fink:
        supernovae.fill_alerce(alerce, first)
        supernovae.fill_fink(fink, first)
        for night in range(4):
            lsst.add_detection(170587116732400001, 61217.4 + night, "r", 5e3, 100.0, *PLACE)
        yield {
            "alerce-lsst": (lsst, {"ALERCE_LSST_URL": lsst.url}),
            "mars": (console.mars, {}),
            "alerce": (alerce, {"ALERCE_URL": alerce.api_url}),
            "fink": (fink, {"FINK_URL": fink.api_url}),
        }


# The table ------------------------------------------------------------------------------------


def test_every_installed_source_is_one_entry(console: Console) -> None:
    """Before anything was asked: configured or not, what it can do, what it may be asked."""
    lines = told(console, code=0, MARS_RATE="2/s,500/h")

    assert set(lines) == set(SOURCES)
    mars, files = lines["mars"], lines["files"]
    assert (mars["configured"], mars["health"], mars["last_answer"]) == (
        True,
        "never asked",
        None,
    )
    assert (mars["survey"], mars["instrument"], mars["kinds"]) == (
        "ZTF",
        "ZTF-Cam",
        ["detection"],
    )
    assert mars["budget"]["allowed"] == ["2/s", "500/h"]
    assert mars["budget"]["rates"] == {"2/s": 0, "500/h": 0}
    assert mars["token"] == "not needed"
    assert (files["configured"], files["health"]) == (False, "not configured")
    assert files["reason"] == "YSE_INGEST_FILES is not set"


def test_it_tells_what_was_asked_and_answered(console: Console) -> None:
    """One target, one fetch: counted, dated, and the change from nothing to ok."""
    console.cycle()

    mars = told(console, code=0)["mars"]

    assert (mars["health"], mars["reason"], mars["targets"]) == ("ok", "", 1)
    assert mars["last_answer"]["answer"] == "ok"
    assert mars["last_change"]["to"] == "ok"
    assert mars["budget"]["requests_hour"] == len(console.mars.log)
    text = console.run("sources").output
    assert "mars" in text
    assert "never asked" in text
    assert "not configured" in text


def test_a_changed_format_is_shown_with_its_field_and_reply(console: Console) -> None:
    """Exit code 1, the field, since when, when it is tried again, and the reply itself."""
    console.mars.faults.add(renamed("magpsf"))
    console.cycle()
    fact = "format changed: field candidate.magpsf missing"

    mars = told(console, code=1)["mars"]
    assert (mars["health"], mars["reason"]) == ("format changed", fact)
    assert mars["breaker"]["open"]
    assert mars["since"]
    assert mars["next_try"]
    table = console.run("sources")
    assert table.exit_code == 1
    assert f"mars: {fact}; it is tried again" in table.output

    shown = told(console, "show", "mars", code=0)
    (kept,) = shown["replies"]
    assert kept["fact"] == fact
    assert kept["asked"].startswith("GET http://127.0.0.1:")
    body = console.run("sources", "show", "mars", "--reply", "1").output
    assert '"magpsf_new"' in body
    assert console.run("sources", "show", "mars", "--reply", "2").exit_code == 1

    assert f"mars: {fact}; it is tried again" in console.run("status").output
    health = console.run("health").output
    assert f"format:mars: mars: {fact}. " in health


def test_a_budget_that_is_spent_is_shown(console: Console) -> None:
    """The source is held back, not down: nothing is wrong."""
    service = console.service(MARS_RATE="1/h")
    service.meter("mars").take(patience_s=1.0)
    console.cycle(MARS_RATE="1/h")

    mars = told(console, code=0, MARS_RATE="1/h")["mars"]
    assert mars["budget"]["rates"] == {"1/h": 1}
    assert mars["budget"]["waiting"] == 1
    status = console.run("status", MARS_RATE="1/h").output
    assert "mars is held back: 1 target waits for its budget, 1 of 1/h used" in status
    one = console.run("status", "2019np", MARS_RATE="1/h").output
    assert "mars is held back: its budget of 1/h is spent" in one


def test_no_token_is_ever_shown(console: Console) -> None:
    """Whether one is set, not which."""
    for arguments in (("sources",), ("sources", "--json"), ("sources", "show", "mars")):
        result = console.run(*arguments, MARS_TOKEN=TOKEN, LASAIR_TOKEN=TOKEN)
        assert TOKEN not in result.output


def test_it_works_without_redis(console: Console) -> None:
    """What only Redis knows stays open; the rest is shown, and said so."""
    lines = told(console, code=0, YSE_INGEST_STATE_URL="redis://127.0.0.1:9/0")
    assert lines["mars"]["configured"]
    assert lines["mars"]["health"] == "not known"
    text = console.run("sources", YSE_INGEST_STATE_URL="redis://127.0.0.1:9/0").output
    assert "Redis gives no answer" in text


def test_an_unknown_source_is_wrong_usage(console: Console) -> None:
    """The names that are known are told."""
    result = console.run("sources", "show", "nobody")
    assert result.exit_code == 2
    assert "Known are alerce, " in result.output


# The probe ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["mars", "alerce", "alerce-lsst", "fink"])
def test_a_probe_finds_every_field_as_agreed(
    console: Console, skies: dict[str, tuple[StandIn, dict[str, str]]], source: str
) -> None:
    """Asked about nothing in particular, each source shows every field of its contract."""
    _, changes = skies[source]

    found = told(console, "probe", source, code=0, **changes)

    assert found["as_agreed"]
    assert found["problems"] == []
    assert found["tables"]
    for table in found["tables"]:
        for field in table["fields"]:
            assert field["present"] == table["rows"] or not field["required"], field
            assert field["differs"] is False
    assert (
        "Every field is as it was agreed."
        in console.run("sources", "probe", source, **changes).output
    )


@pytest.mark.parametrize(
    ("source", "field", "problem"),
    [
        (
            "mars",
            "magpsf",
            "alert: candidate.magpsf is missing (it may be called candidate.magpsf_new now)",
        ),
        ("mars", "objectId", "alert: objectId is missing (it may be called objectId_new now)"),
        ("alerce", "magpsf", "detection: magpsf is missing (it may be called magpsf_new now)"),
        (
            "alerce-lsst",
            "psfFlux",
            "detection: psfFlux is missing (it may be called psfFlux_new now)",
        ),
        ("alerce-lsst", "oid", "object: oid is missing (it may be called oid_new now)"),
        ("fink", "i:jd", "alert: i:jd is missing (it may be called i:jd_new now)"),
    ],
)
def test_a_probe_names_a_field_that_was_renamed(
    console: Console,
    skies: dict[str, tuple[StandIn, dict[str, str]]],
    *,
    source: str,
    field: str,
    problem: str,
) -> None:
    """By its name on the wire, and what it may be called now."""
    stand_in, changes = skies[source]
    stand_in.faults.add(renamed(field))

    found = told(console, "probe", source, code=1, **changes)

    assert problem in found["problems"]
    text = console.run("sources", "probe", source, **changes)
    assert text.exit_code == 1
    assert f"differs: {problem}" in text.output


def test_a_probe_names_another_type_and_scale(console: Console) -> None:
    """With the value that came, and in how many rows where it is not in all."""
    console.mars.faults.add(
        Fault(
            "drifted",
            edits={r'"jd":24[\d.]+': '"jd":58493.9', r'"magpsf":([\d.]+)': r'"magpsf":"\1"'},
        )
    )

    found = told(console, "probe", "mars", "--object", "ZTF19aacgslb", code=1)

    reported = {each["field"]: each for each in found["tables"][0]["fields"]}
    assert reported["candidate.jd"]["problem"] == ("is 58493.9, outside 2447892.5 to 2488069.5")
    assert reported["candidate.jd"]["example"] == 58493.9
    assert "which is not a number" in reported["candidate.magpsf"]["problem"]
    assert reported["candid"]["problem"] == ""


def test_bad_rows_among_good_ones_do_not_differ(console: Console) -> None:
    """They are counted, and the contract holds."""
    console.mars.add_alert(
        "ZTF19aacgslb", 2458600.5, "g", 18.0, 0.05, 157.3415, 29.5106667, isdiffpos="x"
    )

    found = told(console, "probe", "mars", code=0)

    reported = {each["field"]: each for each in found["tables"][0]["fields"]}
    assert "in 1 of " in reported["candidate.isdiffpos"]["problem"]


def test_a_probe_without_rows_compares_nothing(console: Console) -> None:
    """It says so, and what to name; every expected field is still listed in JSON."""
    found = told(console, "probe", "mars", "--ra", "1", "--dec", "2", code=1)

    assert (found["as_agreed"], found["problems"], found["status"]) == (False, [], "empty")
    assert {each["field"] for each in found["tables"][0]["fields"]} >= {
        "candid",
        "candidate.jd",
    }
    text = console.run("sources", "probe", "mars", "--ra", "1", "--dec", "2").output
    assert "No row came" in text


def test_a_probe_of_something_else_says_what_it_answered(console: Console) -> None:
    """HTML instead of JSON, or no list at all, is the problem itself."""
    console.mars.faults.add(Fault("garbage", times=1))
    (problem,) = told(console, "probe", "mars", code=1)["problems"]
    assert problem.startswith("answered something that is not JSON")

    console.mars.faults.add(renamed("results"))
    (problem,) = told(console, "probe", "mars", code=1)["problems"]
    assert problem == "format changed: field results missing"


def test_a_probe_needs_no_redis(console: Console) -> None:
    """One that is away costs the probe nothing; a fetch by hand neither."""
    away = {"YSE_INGEST_STATE_URL": "redis://127.0.0.1:9/0"}
    assert told(console, "probe", "mars", code=0, **away)["as_agreed"]
    fetched = console.run(
        "fetch", "2019np", "--ra", "157.3415", "--dec", "29.5106667", YSE_PZ_URL=None, **away
    )
    assert (fetched.exit_code, "33 detections fetched" in fetched.output) == (0, True)


def test_a_targets_file_that_cannot_be_read_hides_no_source(console: Console) -> None:
    """The sources are shown; how many targets ask them is not known."""
    console.cycle()
    path = console.targets_file("source = 3 = 4")

    lines = told(console, code=0, YSE_INGEST_TARGETS=path)

    assert lines["mars"]["targets"] is None
    assert lines["mars"]["health"] == "ok"


def test_half_a_place_is_wrong_usage(console: Console) -> None:
    """RA without Dec is no place."""
    result = console.run("sources", "probe", "mars", "--ra", "1")
    assert result.exit_code == 2
    assert "--ra and --dec go together" in result.output
