"""`hold`, `resume`, `reconcile`, `targets resume`, `quarantine release|reject`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from yse_ingest.reconcile import Auditor
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from click.testing import Result

    from tests.cli.conftest import Console

DAY = "2019-03-{:02d}T00:00:00.000"
WHY = "maintenance until 14 UTC"


def told(result: Result, *, code: int = 0) -> Any:
    """Return the JSON document of a command that ended with this code."""
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def remove(console: Console, pk: int) -> None:
    with console.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_transientphotdata WHERE id = ?", [pk])


def stranger(console: Console) -> None:
    """Store a row as another installation of the same account would."""
    row = {"obs_date": DAY.format(29), "band": "g-ZTF", "mag": 18.0, "mag_err": 0.05}
    console.ysepz.add_photometry("2019np", [row], user="ingest")


def audit(console: Console) -> None:
    service = console.service()
    hint = Auditor(service).claim("1", Target("2019np"), early=True)
    assert hint is not None
    service.upload(hint.name, hint.key, hint.fence, attempt=1)


# hold and resume -------------------------------------------------------------------------


def test_hold_stops_all_writing_until_resume(console: Console) -> None:
    """While held nothing but GET goes out; what is new waits, and is sent after `resume`."""
    assert told(console.run("hold", WHY, "--json"))["held"] == WHY
    console.cycle()
    assert console.writes() == []

    assert told(console.run("resume", "--json"))["was_held"] == WHY
    service = console.service()
    for hint in service.drain():
        service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert len(console.ysepz.rows("2019np")) == 33


def test_a_hold_is_seen_in_status_and_doctor(console: Console) -> None:
    """Both say why, and how it ends."""
    console.run("hold", WHY)
    console.cycle()
    assert f"All uploads are held: {WHY}" in console.run("status").stdout
    assert told(console.run("status", "--json"), code=1)["machinery"]["held"] == WHY
    doctor = console.start("doctor").stdout
    assert f"held: {WHY}" in doctor
    assert "`yse-ingest resume` when it is over" in doctor


def test_a_hold_outlives_restart_and_flushall(console: Console) -> None:
    """It is a decision: a new process, and a Redis that lost everything, know it."""
    console.run("hold", WHY)
    console.service().state._connection.call("FLUSHALL")
    assert WHY in console.run("status").stdout
    assert console.run("resume").exit_code == 0
    console.service().state._connection.call("FLUSHALL")
    assert WHY not in console.run("status").stdout


def test_resume_without_a_hold_says_so(console: Console) -> None:
    """Nothing was held: exit code 1, and nothing happens."""
    result = console.run("resume")
    assert (result.exit_code, result.stdout.strip()) == (1, "nothing was held")


def test_push_with_a_state_respects_a_hold(console: Console) -> None:
    """With the service's Redis it refuses at once, names the reason, and sends nothing."""
    url = console.service().settings.service_state_url
    console.run("hold", WHY)

    pushed = told(
        console.run("push", "2019np", "--json", YSE_INGEST_STATE_URL=url or ""), code=1
    )

    assert pushed["state"] == "held"
    assert WHY in pushed["error"]["fact"]
    assert console.writes() == []


# second installation ---------------------------------------------------------------------


def test_targets_resume_takes_the_rows_of_a_second_installation(console: Console) -> None:
    """Status and doctor name the stop; `targets resume` ends it, and nothing is sent twice."""
    console.cycle()
    stranger(console)
    audit(console)
    line = told(console.run("status", "2019np", "--json"), code=1)
    assert line["state"] == "stopped"
    assert "another one shares the account" in line["reason"]
    assert "second installation" in console.start("doctor").stdout
    reconciled = told(console.run("reconcile", "2019np", "--json"), code=1)
    assert reconciled[0]["state"] == "stopped"

    assert console.run("targets", "resume", "2019np").exit_code == 0
    console.cycle()

    assert told(console.run("status", "2019np", "--json"))["state"] == "idle"
    assert len(console.ysepz.rows("2019np")) == 34


def test_a_second_writer_is_named(console: Console) -> None:
    """Status and doctor name the account, the instrument, the group and the target."""
    console.cycle()
    row = {"obs_date": DAY.format(29), "band": "g-ZTF", "mag": 18.0, "mag_err": 0.05}
    console.ysepz.add_photometry("2019np", [row])
    audit(console)
    said = "othercron writes ZTF-Cam of ZTF too: 2019np"
    assert said in console.run("status").stdout
    assert said in console.start("doctor").stdout
    told_of = told(console.run("status", "--json"))["machinery"]["writers"]
    assert told_of[0]["targets"] == ["2019np"]


# reconcile -------------------------------------------------------------------------------


def test_reconcile_sends_what_is_missing_once(console: Console) -> None:
    """A row that is gone is found, and stands again when the command ends."""
    console.cycle()
    remove(console, console.ysepz.rows("2019np")[3]["pk"])

    (result,) = told(console.run("reconcile", "2019np", "--json"))
    again = told(console.run("reconcile", "--all", "--json"))[0]

    assert (result["state"], result["sent"]) == ("verified", 1)
    assert result["found"] == {"ours": 32, "gone": 1}
    assert len(console.ysepz.rows("2019np")) == 33
    assert (again["found"], again["sent"]) == ({"ours": 33}, 0)


def test_reconcile_sends_gone_rows_on_a_persons_word_alone(console: Console) -> None:
    """Gone twice it stays away and is told; `--send-gone` sends it."""
    console.cycle()
    for _ in range(2):
        remove(console, console.ysepz.rows("2019np")[-1]["pk"])
        console.run("reconcile", "2019np")
    assert len(console.ysepz.rows("2019np")) == 32
    assert "gone 1" in console.run("status", "2019np").stdout

    assert console.run("reconcile", "2019np", "--send-gone").exit_code == 0

    assert len(console.ysepz.rows("2019np")) == 33
    assert "gone" not in console.run("status", "2019np").stdout


def test_reconcile_reports_edits_and_leaves_them(console: Console) -> None:
    """A row of ours that somebody changed is counted, and stays as it is."""
    console.cycle()
    pk = console.ysepz.rows("2019np")[0]["pk"]
    console.ysepz.set_flag(pk, "Bad", "human")
    before = console.ysepz.rows("2019np")

    result = console.run("reconcile", "2019np")

    assert result.exit_code == 0, result.output
    assert console.ysepz.rows("2019np") == before
    told_of = told(console.run("reconcile", "2019np", "--json"))[0]
    assert told_of["found"] == {"ours": 32, "changed": 1}
    assert "changed 1" in console.run("status", "2019np").stdout


def test_reconcile_wants_followed_targets(console: Console) -> None:
    """A name that nobody follows, or none at all, is wrong usage or a named error."""
    assert console.run("reconcile").exit_code == 2
    result = told(console.run("reconcile", "2099xyz", "--json"), code=1)
    assert result["error"]["error"] == "UnknownTargetError"


# quarantine ------------------------------------------------------------------------------


def test_reject_and_release_of_one_row(console: Console) -> None:
    """A rejected detection is not sent, `explain` says why, and `release` sends it."""
    console.service().enqueue(Target("2019np"))
    service = console.service()
    candid = str(next(iter(service.source("mars").fetch([_ask()]))).alerts.native_id[0])
    rejected = told(
        console.run("quarantine", "reject", "2019np", candid, "--reason", "trail", "--json")
    )
    assert rejected["rejected"] == [candid]
    console.cycle()
    assert len(console.ysepz.rows("2019np")) == 32
    assert "trail" in console.run("quarantine", "explain", "2019np").stdout

    released = told(console.run("quarantine", "release", "2019np", candid, "--json"))
    assert released["released"] == 1
    console.cycle()

    assert len(console.ysepz.rows("2019np")) == 33
    assert console.run("quarantine", "release", "2019np", candid).exit_code == 1


def _ask() -> Any:
    from yse_ingest.sources import Ask
    from yse_ingest.targets import Rules

    return Ask(target=Target("2019np", ra=157.3415, dec=29.5106667), rules=Rules())
