"""`push`, `enqueue`, `status`, `targets`, `quarantine`, `vocab` on the stand-ins."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from click.testing import Result

    from tests.cli.conftest import Console

RA, DEC = "157.3415", "29.5106667"
KEYS = {
    *("target", "source", "fetched", "quarantined", "negative", "new", "changed", "same"),
    *("adopted", "sent", "verified", "state"),
}


def told(result: Result, *, code: int = 0) -> Any:
    """Return the JSON document of a command that ended with this code."""
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


# push ------------------------------------------------------------------------------------


def test_push_sends_once_and_then_nothing(console: Console) -> None:
    """33 detections are sent and verified; a second push writes nothing at all."""
    first = told(console.run("push", "SN2019np", "--json"))
    before = len(console.writes())
    second = told(console.run("push", "2019np", "--json"))

    assert set(first) >= KEYS
    assert (first["target"], first["source"], first["state"]) == ("2019np", "mars", "verified")
    assert (first["fetched"], first["new"], first["sent"], first["verified"]) == (33,) * 4
    assert (second["same"], second["sent"], second["verified"]) == (33, 0, 33)
    assert len(console.writes()) == before
    assert len(console.ysepz.rows("2019np")) == 33


def test_what_the_cuts_leave_out_is_told_everywhere(console: Console) -> None:
    """`fetch`, `push` and `status` name the reason, and the number of the rows."""
    strict = {"YSE_INGEST_MIN_RB": "0.99"}
    left_out = "33 rows, rb is below 0.99"

    assert f"left out: {left_out}" in console.run("fetch", "2019np", **strict).stdout
    assert f"left out: {left_out}" in console.run("push", "2019np", **strict).stdout
    assert told(console.run("push", "2019np", "--json", **strict))["dropped"] == {
        "rb is below 0.99": 33
    }
    console.cycle(**strict)
    assert "left out   rb is below 0.99 33" in console.run("status", "2019np").stdout
    assert console.ysepz.rows("2019np") == []


def test_push_says_what_ysepz_answered(console: Console) -> None:
    """`-v` prints YSE-PZ's own answers, and what is being done."""
    result = console.run("push", "2019np", "-v")
    assert result.exit_code == 0
    assert "2019np: YSE-PZ answered: success" in result.stderr
    assert "asking mars for 2019np" in result.stderr


def test_push_without_a_state_says_what_that_risks(console: Console) -> None:
    """Without Redis a service could upload at the same moment: it is said, and how it ends."""
    assert "targets resume NAME" in console.run("push", "2019np").stderr
    leased = console.run(
        "push", "2019np", YSE_INGEST_STATE_URL=console.service().settings.service_state_url
    )
    assert leased.exit_code == 0, leased.output
    assert "targets resume" not in leased.stderr


@pytest.mark.parametrize("wrong", ["password", "host"])
def test_push_with_a_state_says_why_it_could_not_send(console: Console, wrong: str) -> None:
    """The fact at fault is told at once, not that it waits; put right, the next push sends."""
    console.cycle()
    url = {"YSE_INGEST_STATE_URL": str(console.service().settings.service_state_url)}
    changes = {
        "password": {"YSE_PZ_PASSWORD": "wrong"},
        "host": {"YSE_PZ_URL": "http://127.0.0.1:9", "YSE_INGEST_RETRY_WAIT": "0.01"},
    }[wrong]
    fact = {"password": "is not accepted", "host": "127.0.0.1"}[wrong]

    started = time.monotonic()
    failed = told(console.run("push", "2019np", "--json", **url, **changes), code=1)
    right = told(console.run("push", "2019np", "--json", **url))

    assert (failed["state"], failed["error"]["service"]) == ("owed", "YSE-PZ")
    assert fact in failed["error"]["fact"]
    assert (right["state"], right["verified"]) == ("verified", 33)
    assert time.monotonic() - started < 20


def test_push_with_a_state_does_not_wait_for_a_worker(console: Console) -> None:
    """A transient whose lease a worker holds is refused at once, with the reason."""
    console.cycle()
    service = console.service()
    console.mars.add_alert("ZTF19aacgslb", 2459500.5, "r", 18.0, 0.1, float(RA), float(DEC))
    service.enqueue(Target("2019np"))
    (hint,) = service.refresh(["2019np"])

    pushed = told(
        console.run(
            "push",
            "2019np",
            "--json",
            YSE_INGEST_STATE_URL=str(service.settings.service_state_url),
        ),
        code=1,
    )

    assert pushed["error"]["fact"] == "this transient is being uploaded by the service"
    assert service.state.outbox.release(hint.key, hint.fence)


def test_push_creates_only_when_it_is_told_to(console: Console) -> None:
    """An unknown transient is a failure; with --create it is made, and gets its points."""
    name = ("push", "2019xyz", "--ra", "157.35", "--dec", "29.52", "--json")
    for night in range(3):
        console.mars.add_alert("ZTF19zzz", 2458500.5 + night, "r", 18.0, 0.1, 157.35, 29.52)
    refused = told(console.run(*name), code=1)
    assert refused["error"]["error"] == "UnknownTargetError"
    assert console.writes() == []

    made = told(console.run(*name, "--create", "--status", "New", "--obs-group", "ZTF"))

    assert (made["created"], made["sent"], made["state"]) == (True, 3, "verified")
    assert console.ysepz.transient_row("2019xyz")["status"] == "New"


def test_push_all_takes_the_targets_file(console: Console) -> None:
    """A crontab line serves every target; one that fails, or is misspelt, ends with 1."""
    path = console.targets_file('[[targets]]\nname = "2019np"\n[[targets]]\nname = "nosuch"\n')
    results = told(console.run("push", "--all", "--json", YSE_INGEST_TARGETS=path), code=1)
    assert {each["target"]: each["state"] for each in results} == {
        "2019np": "verified",
        "nosuch": "failed",
    }
    path = console.targets_file('[[targets]]\nname = "2019np"\nra = "10:29:22"\n')
    result = console.run("push", "--all", YSE_INGEST_TARGETS=path)
    assert result.exit_code == 1
    assert "line 3" in result.stderr
    path = console.targets_file('[[targets]]\nname = "2019np"\n')
    assert console.run("push", "--all", YSE_INGEST_TARGETS=path).exit_code == 0


def test_push_all_without_targets_says_where_they_would_stand(console: Console) -> None:
    """Nothing to do because nothing is configured is no success."""
    result = console.run("push", "--all")
    assert result.exit_code == 2
    assert "YSE_INGEST_TARGETS" in result.stderr


def test_push_tells_of_everything_that_was_not_taken(console: Console) -> None:
    """Negatives, refused rows and other objects are counted, none is dropped silently."""
    alert = console.mars.add_alert
    alert("ZTF19aacgslb", 2458900.5, "r", 18.0, 0.1, 157.3415, 29.5106667, isdiffpos="f")
    alert("ZTF19aacgslb", 2458901.5, "r", -999.0, 0.1, 157.3415, 29.5106667)
    alert("ZTF19other", 2458902.5, "r", 18.0, 0.1, 157.3415 + 4.5 / 3600, 29.5106667)
    result = console.run("push", "2019np")
    assert result.exit_code == 0, result.output
    assert "1 negative subtraction counted, no detections" in result.stdout
    assert "1 row quarantined" in result.stdout
    assert "set aside, of other objects: ZTF19other 1" in result.stdout


# targets, enqueue, status -----------------------------------------------------------------


def test_targets_come_and_go(console: Console) -> None:
    """A target is added, changed, paused, resumed and removed, each told in one line."""
    place = ("--ra", RA, "--dec", DEC, "--every", "2h", "--source", "alerce")
    assert told(console.run("targets", "add", "SN2019np", *place, "--json")) == {
        "target": "2019np",
        "changed": True,
        "paused": None,
    }
    assert not told(console.run("targets", "add", "2019np", *place, "--json"))["changed"]
    (row,) = told(console.run("targets", "list", "--json"))
    assert (row["target"], row["source"], row["cadence_s"]) == ("2019np", "alerce", 7200.0)
    assert console.run("targets", "pause", "2019np", "--reason", "host").exit_code == 0
    assert "host" in console.run("targets", "list").stdout
    assert "It is paused: host" in console.run("targets", "add", "2019np").stdout
    assert "no more, for it is paused: host" in console.start("enqueue", "2019np").stdout
    assert console.run("targets", "resume", "2019np").exit_code == 0
    assert console.run("targets", "resume", "2019np").exit_code == 1
    assert console.run("targets", "remove", "2019np").exit_code == 0
    assert console.run("targets", "remove", "2019np").exit_code == 1


def test_a_target_of_the_file_is_removed_there(console: Console) -> None:
    """Removing it here would not last: the file would bring it back."""
    path = console.targets_file('[[targets]]\nname = "2019np"\n')
    result = console.run("targets", "remove", "2019np", YSE_INGEST_TARGETS=path)
    assert result.exit_code == 2
    assert path in result.stderr
    (row,) = told(console.run("targets", "list", "--json", YSE_INGEST_TARGETS=path))
    assert row["origin"] == "file"


def test_resume_releases_a_refused_upload(console: Console) -> None:
    """What was refused waits for a person; `targets resume` lets it be tried again."""
    console.cycle(YSE_INGEST_BAND_MAP="g=g-ZTF,r=R-ztf")
    assert told(console.run("status", "2019np", "--json"), code=1)["state"] == "refused"
    assert console.run("targets", "resume", "2019np").exit_code == 0
    assert told(console.run("status", "2019np", "--json"), code=1)["state"] == "owed"


def test_enqueue_leaves_a_due_target_and_a_hint(console: Console) -> None:
    """The command and `enqueue_target` are one: the target is written, the message sent."""
    ended = console.start("enqueue", "2019np", "--every", "2h", "--json")
    assert ended.returncode == 0, ended.stdout
    document = json.loads(ended.stdout)
    assert (document["target"], document["hinted"]) == ("2019np", True)
    assert console.service().state.targets.get("2019np") == Target("2019np", cadence_s=7200.0)
    machinery = told(console.run("status", "--json"))["machinery"]
    assert machinery["queues"]["fetch"] == 1


def test_status_tells_the_three_silences_apart(console: Console) -> None:
    """Never asked, asked and nothing new, asked and no answer are three different things."""
    console.run("targets", "add", "2019np")
    assert _answer(console) == "never asked"
    assert _silence(console) == "never asked"
    console.cycle()
    assert _answer(console) == "photometry"
    assert _silence(console) is None
    console.cycle()
    assert _answer(console) == "nothing new"
    assert _silence(console) == "nothing new"
    console.mars.faults.add(Fault("status", status=503))
    console.cycle()
    assert _answer(console, code=1).startswith("no answer: MARS: 2019np: ")
    assert _silence(console, code=1) == "no answer"
    begun = _status(console, code=1)["silent_since"]
    console.cycle()
    assert _status(console, code=1)["silent_since"] == begun
    shown = console.run("status", "2019np").output
    assert "silence    no answer since " in shown


def test_a_source_that_could_not_be_asked_is_not_called_silent(console: Console) -> None:
    """While YSE-PZ cannot say where a target is, nobody asks the source: status says so."""
    console.cycle(YSE_PZ_URL="http://127.0.0.1:9")
    assert _answer(console, code=1).startswith("never asked: YSE-PZ: ")
    assert _status(console, code=1)["last_asked"] is None
    console.cycle()
    before = _status(console)
    console.service().state.resolutions.drop("2019np")
    console.cycle(YSE_PZ_URL="http://127.0.0.1:9")
    after = _status(console, code=1)
    assert after["answer"].startswith("not asked: YSE-PZ: ")
    assert after["silence"] == "not asked"
    assert after["last_asked"] == before["last_asked"]
    console.cycle()
    assert _silence(console) == "nothing new"


def test_an_answer_that_cannot_be_read_is_not_called_silence(console: Console) -> None:
    """A source that answers something else is told as unreadable."""
    console.mars.faults.add(Fault("garbage"))
    console.cycle()
    assert _answer(console, code=1).startswith("unreadable: MARS: 2019np: ")


def test_status_says_which_target_is_stale_by_its_limit(console: Console) -> None:
    """The limit is the target's own, else the global one and 3 cadences at least."""
    console.cycle()
    long = _status(console)
    assert (long["stale"], long["freshness_limit_s"]) == (False, 6 * 3600.0)
    console.service().enqueue(Target("2019np", freshness_s=0.05))
    time.sleep(0.1)
    stale = _status(console, code=1)
    assert (stale["stale"], stale["freshness_limit_s"]) == (True, 0.05)
    assert "stale: its limit is 0 s" in console.run("status", "2019np").output
    console.service().enqueue(Target("2019np", cadence_s=86400.0))
    assert _status(console)["freshness_limit_s"] == 3 * 86400.0


def _status(console: Console, *, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = told(console.run("status", "2019np", "--json"), code=code)
    return found


def _silence(console: Console, *, code: int = 0) -> str | None:
    silence: str | None = _status(console, code=code)["silence"]
    return silence


def _answer(console: Console, *, code: int = 0) -> str:
    answer: str = told(console.run("status", "2019np", "--json"), code=code)["answer"]
    return answer


def test_status_counts_what_stands_in_ysepz(console: Console) -> None:
    """Points per band come from the ledger; the last receipt says how they were proven."""
    console.cycle()
    line = told(console.run("status", "2019np", "--json"))
    assert line["stored"] == {"g-ZTF": 16, "r-ZTF": 17}
    assert (line["owed"], line["state"]) == (0, "idle")
    assert line["newest"] == "2020-01-05T11:54:33Z"
    assert line["receipt"]["counts"] == {"verified": 33}
    table = console.run("status")
    assert table.exit_code == 0
    assert "g-ZTF 16, r-ZTF 17" in table.stdout


def test_status_shows_counts_alone_of_private_photometry(console: Console) -> None:
    """What only some groups may see in YSE-PZ is not shown beside it either."""
    console.cycle(YSE_INGEST_GROUPS="YSE", YSE_INGEST_OBS_GROUP="YSE")
    private = {"YSE_INGEST_GROUPS": "YSE", "YSE_INGEST_OBS_GROUP": "YSE"}
    result = console.run("status", "2019np", "--json", **private)
    line = json.loads(result.stdout)
    assert line["newest"] == "private"
    assert line["stored"] in (0, 33)
    assert "obs_date" not in result.stdout
    assert "g-ZTF" not in console.run("status", **private).stdout


def test_status_of_what_nobody_follows(console: Console) -> None:
    """The message says how it would be followed."""
    result = console.run("status", "2019np")
    assert result.exit_code == 1
    assert "yse-ingest enqueue 2019np" in result.stderr


# quarantine, vocab ------------------------------------------------------------------------


def test_quarantine_explains_a_row(console: Console) -> None:
    """A refused row is listed with its reason, and shown as the source sent it."""
    candid = 738447634115099999
    console.mars.add_alert(
        "ZTF19aacgslb", 2458901.5, "r", -999.0, 0.1, float(RA), float(DEC), candid=candid
    )
    console.cycle()
    (row,) = told(console.run("quarantine", "list", "--json"))
    assert (row["target"], row["native_id"]) == ("2019np", str(candid))
    assert row["reason"] in console.run("quarantine", "list", "2019np").stdout
    explained = console.run("quarantine", "explain", "2019np", str(candid))
    assert explained.exit_code == 0
    assert f"2019np: mars: {candid}" in explained.stdout
    assert console.run("quarantine", "explain", "2019np", "1").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("bands", "--like", "ztf-cam"), "r-ZTF   ZTF-Cam"),
        (("statuses",), "Following"),
        (("instruments", "--like", "ztf"), "ZTF-Cam"),
        (("--like", "Folowing"), "Following"),
    ],
)
def test_vocab_lists_what_ysepz_knows(
    console: Console, arguments: tuple[str, ...], expected: str
) -> None:
    """The names that may be written, found by a part of them or nearly."""
    result = console.run("vocab", *arguments)
    assert result.exit_code == 0
    assert expected in result.stdout


@pytest.mark.parametrize(
    ("like", "fact", "bands"),
    [
        ("ztff", "the nearest are these", {"g-ZTF", "r-ZTF", "i-ZTF"}),
        ("qqqqqq", "and nothing is near it", set()),
    ],
)
def test_vocab_like_nothing_says_what_is_near(
    console: Console, like: str, fact: str, bands: set[str]
) -> None:
    """A misspelt text finds the names like it, whatever its capitals; or says that none is."""
    result = console.run("vocab", "bands", "--like", like, "--json")

    assert f'Nothing holds "{like}"; {fact}.' in result.stderr
    assert bands <= {row["band"] for row in told(result)["bands"]}
    assert bool(bands) is bool(told(result)["bands"])


def test_vocab_as_json_pairs_bands_with_instruments(console: Console) -> None:
    """A band's name alone says little: it comes with its instrument."""
    document = told(console.run("vocab", "--json"))
    assert {"band": "g-ZTF", "instrument": "ZTF-Cam"} in document["bands"]
    assert {"instruments", "obs_groups", "groups", "statuses", "tags"} <= set(document)
