"""People are told once for each change of state: what, since when, what is safe, what to do."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.watch.smtp import Fault as MailFault
from tests.watch.smtp import wait_for
from yse_ingest.sandbox.faults import Fault
from yse_ingest.state import CREDENTIALS, Present
from yse_ingest.state.notices import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.watch.conftest import Deployment
    from yse_ingest.clients import Hint
    from yse_ingest.service import Service

NAMES = ("2019np", "ZTF20aaypcrt")
SHORT_WAITS = {
    "YSE_INGEST_OWED_WAIT": "0.05",
    "YSE_INGEST_OWED_WAIT_MAX": "0.1",
    "YSE_INGEST_PROBE_WAIT": "0.05",
    "YSE_INGEST_PROBE_WAIT_MAX": "0.1",
}
PAUSE_S = 0.03
"""Longer than a condition must hold here."""


@pytest.fixture
def service(deployment: Deployment) -> Service:
    return deployment.service()


def look(service: Service, times: int = 3) -> None:
    """Watch several times, further apart than a condition must hold."""
    for _ in range(times):
        service.watch()
        time.sleep(PAUSE_S)


def subjects(deployment: Deployment) -> list[str]:
    return [str(seen.mail["Subject"]) for seen in deployment.mail.taken]


@pytest.fixture
def quiet(deployment: Deployment, service: Service) -> Deployment:
    """Return a service of which nothing is wrong, watched for a while."""
    deployment.work(service)
    look(service)
    assert not deployment.mail.taken
    return deployment


def test_ysepz_down_for_many_retries_is_two_messages(quiet: Deployment) -> None:
    """One message that it is away, one that it is back, however many tries failed."""
    service = quiet.service(**SHORT_WAITS)
    names = [each.name for each in _supernovae()[:6]]
    quiet.follow(service, *names)
    hints = service.refresh(names)
    quiet.ysepz.faults.add(Fault("status", status=503))
    refused = len(quiet.ysepz.log)
    for _ in range(40):
        _deliver(service, hints)
        look(service, 1)
        hints = service.drain()
    refused = len(quiet.ysepz.log) - refused
    assert refused > 15
    (away,) = quiet.mail.taken
    assert away.mail["Subject"] == "yse_ingest: YSE-PZ does not answer"
    assert re.search(r"safe: \d+ points of 6 transients wait; none is lost\.", away.text)
    assert "do:   Ask who runs it." in away.text

    quiet.ysepz.faults.clear()
    for _ in range(200):
        _deliver(service, hints)
        hints = service.drain()
        if not service.state.outbox.rows(1):
            break
        time.sleep(PAUSE_S)
    look(service)
    _, back = quiet.mail.taken
    assert back.mail["Subject"] == "yse_ingest: over: YSE-PZ answers again"
    assert "it lasted" in back.text
    assert "0 points owed" in back.text


def _deliver(service: Service, hints: Sequence[Hint]) -> None:
    """Upload, with the retries of Celery."""
    for hint in hints:
        for attempt in range(1, 9):
            outcome = service.upload(hint.name, hint.key, hint.fence, attempt=attempt)
            if outcome.state != "retry":
                break


def _supernovae() -> Any:
    from yse_ingest.sandbox import supernovae

    return supernovae.load()


def test_many_watchers_tell_once(quiet: Deployment) -> None:
    """Eight at the same moment, as on eight hosts: one message for each change."""
    watchers = [quiet.service() for _ in range(8)]
    watchers[0].state.outbox.hold("the disk is changed")

    def together() -> None:
        barrier = threading.Barrier(len(watchers))

        def run(one: Service) -> None:
            barrier.wait(10)
            for _ in range(3):
                one.watch()

        threads = [threading.Thread(target=run, args=(one,)) for one in watchers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    together()
    wait_for(lambda: len(quiet.mail.taken) == 1)
    watchers[0].state.outbox.unhold()
    together()
    time.sleep(PAUSE_S)
    together()
    assert subjects(quiet) == [
        "yse_ingest: writing is held: the disk is changed",
        "yse_ingest: over: writing goes on",
    ]


def present(key: str = "away", **changes: Any) -> Present:
    values = {"fact": "it is away", "remedy": "Wait.", "safe": "", "over": "it is back"}
    return Present(key, **{**values, "since_ms": None, "limit_ms": 0, **changes})


def compare(service: Service, now_ms: int, *holding: Present) -> list[str]:
    return service.state.notices.compare(
        holding, channels=["mail"], hold_s=10, now_ms=1_800_000_000_000 + now_ms
    )


def test_what_comes_and_goes_is_not_told(service: Service) -> None:
    """A condition must hold for a while, and be over for a while."""
    for now_ms in range(0, 60_000, 4000):
        assert not compare(service, now_ms, *([present()] if now_ms % 8000 else []))
    for now_ms in (60_000, 64_000, 68_000):
        assert not compare(service, now_ms, present())
    assert compare(service, 74_000, present()) == ["away"]
    for now_ms in range(78_000, 120_000, 4000):
        assert not compare(service, now_ms, *([present()] if now_ms % 8000 else []))
    assert not compare(service, 120_000)
    assert compare(service, 131_000) == ["away"]
    changes = [change for _, change in service.state.notices.pending("mail")]
    assert [(change.what, change.since_ms - 1_800_000_000_000) for change in changes] == [
        ("began", 60_000),
        ("over", 60_000),
    ]


def test_a_condition_is_told_when_it_lasted_as_long_as_it_may(service: Service) -> None:
    """Not before its limit; and with a known beginning, counted from there."""
    slow = present(limit_ms=60_000)
    known = present("known", since_ms=1_799_999_950_000, limit_ms=60_000)
    for now_ms in (0, 9000):
        assert not compare(service, now_ms, slow, known)
    assert compare(service, 10_000, slow, known) == ["known"]
    assert not compare(service, 59_000, slow, known)
    assert compare(service, 60_000, slow, known) == ["away"]


def test_a_consequence_is_not_told_beside_its_cause(service: Service) -> None:
    """When the cause is over and it still holds, it is told."""
    assert not compare(service, 0, present(explained=True))
    assert not compare(service, 20_000, present(explained=True))
    assert compare(service, 30_000, present()) == ["away"]
    # What was told is not over because a cause turned up.
    assert not compare(service, 50_000, present(explained=True))
    assert not compare(service, 90_000, present(explained=True))


def test_at_most_so_many_an_hour_and_the_rest_in_the_next(deployment: Deployment) -> None:
    """What came meanwhile stands in the next message, summed up; nothing is left out."""
    service = deployment.service(YSE_INGEST_NOTIFY_PER_HOUR="2")
    deployment.work(service)
    hold = service.state.outbox.hold
    for number in range(6):
        hold(f"for reason {number}")
        look(service, 1)
        service.state.outbox.unhold()
        look(service, 3)
    assert len(deployment.mail.taken) == 2

    _an_hour_passes(service)
    look(service, 1)
    assert len(deployment.mail.taken) == 3
    last = deployment.mail.taken[-1]
    assert "OVER   writing goes on." in last.text
    assert "10 changes since" in last.text
    look(service, 2)
    assert len(deployment.mail.taken) == 3


def _an_hour_passes(service: Service) -> None:
    """Make the messages of this hour those of the hour before."""
    state = service.state
    key = state._keys("notices", "mail", "sent")
    for stamp in state._connection.call("ZRANGE", key, 0, -1):
        state._connection.call("ZADD", key, int(stamp) - HOUR_MS, stamp)


def test_a_hanging_mail_server_delays_nothing(deployment: Deployment) -> None:
    """Watching ends within its limit and raises nothing; the other work goes on beside it."""
    service = deployment.service(YSE_INGEST_NOTIFY_TIMEOUT="1", YSE_INGEST_NOTIFY_RETRY="0.2")
    deployment.work(service)
    deployment.mail.faults = [MailFault("CONNECT", hang=True)]
    service.state.outbox.hold("the disk is changed")
    begun = time.monotonic()
    watching = threading.Thread(target=service.watch)
    watching.start()
    wait_for(lambda: deployment.mail.connections == 1)
    # While it hangs: a second watcher does not wait for it, and the ticks do their work.
    other = deployment.service(YSE_INGEST_NOTIFY_TIMEOUT="1", YSE_INGEST_NOTIFY_RETRY="0.2")
    other.watch()
    other.dispatch()
    other.drain()
    other.sweep()
    assert watching.is_alive()
    assert deployment.mail.connections == 1
    watching.join(10)
    assert not watching.is_alive()
    assert time.monotonic() - begun < 10

    assert service.state.notices.delivery("mail", now_ms=service.state.now_ms()).failures == 1
    deployment.mail.faults = []
    time.sleep(0.4)
    look(service)
    assert subjects(deployment)[:1] == ["yse_ingest: writing is held: the disk is changed"]
    assert len(deployment.mail.taken) == 1


def test_a_message_that_cannot_be_sent_waits_longer_each_time(
    deployment: Deployment, service: Service
) -> None:
    """A dead mail server is not asked at each tick."""
    deployment.work(service)
    deployment.mail.faults = [MailFault("MAIL", "451 later")]
    service.state.outbox.hold("the disk is changed")
    look(service, 5)
    delivery = service.state.notices.delivery("mail", now_ms=service.state.now_ms())
    assert deployment.mail.connections == 1
    assert delivery.failures == 1
    assert delivery.pending
    assert 55_000 < delivery.next_ms - service.state.now_ms() < 91_000


def test_one_dead_channel_does_not_stop_the_other(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Where the mail server is dead the command still tells, and says that mail is dead."""
    told = tmp_path / "told"
    service = deployment.service(
        YSE_INGEST_NOTIFY_COMMAND=f"sh -c 'cat >> {told}'", YSE_INGEST_NOTIFY_RETRY="60"
    )
    deployment.work(service)
    deployment.mail.faults = [MailFault("CONNECT", drop=True)]
    service.state.outbox.hold("the disk is changed")
    look(service)
    assert "WRONG  writing is held: the disk is changed." in told.read_text()
    assert "WRONG  messages cannot be sent by mail" in told.read_text()
    # When mail works again, it does not tell by mail that mail was dead.
    deployment.mail.faults = []
    service.state._connection.call("DEL", service.state._keys("notices", "mail", "failing"))
    look(service)
    assert subjects(deployment) == ["yse_ingest: writing is held: the disk is changed"]


def test_without_a_channel_changes_wait_until_there_is_one(deployment: Deployment) -> None:
    """Who sets up mail later hears of what is wrong then."""
    mute = deployment.service(YSE_INGEST_NOTIFY_TO="")
    deployment.work(mute)
    mute.state.outbox.hold("the disk is changed")
    look(mute)
    look(deployment.service())
    assert subjects(deployment) == ["yse_ingest: writing is held: the disk is changed"]


def test_a_silent_source_is_told_once_and_when_it_answers(
    quiet: Deployment,
) -> None:
    """Its targets are counted; that they are stale follows from it, and is not told."""
    service = quiet.service(YSE_INGEST_LIMIT_SOURCE="0.05")
    quiet.follow(service, *NAMES, freshness_s=0.5)
    time.sleep(0.6)
    quiet.mars.faults.add(Fault("status", status=503))
    for _ in range(2):
        service.refresh(NAMES)
        # So that they are stale for want of an answer, not of a question.
        _ask_now(service)
        time.sleep(0.1)
        look(service, 2)
    assert subjects(quiet) == [
        next(
            each for each in subjects(quiet) if each.startswith("yse_ingest: mars answers not")
        )
    ]
    assert "(2 targets wait for it: MARS: " in quiet.mail.taken[0].text
    assert "stale" not in quiet.mail.taken[0].text

    quiet.mars.faults.clear()
    fresh = quiet.service(YSE_INGEST_LIMIT_SOURCE="0.05")
    fresh.refresh(NAMES)
    look(fresh)
    assert subjects(quiet)[1:] == ["yse_ingest: over: mars answers again"]


def _ask_now(service: Service) -> None:
    """Have the failed questions been asked just now: each takes seconds of tries."""
    clocks = service.state.clocks
    for name in NAMES:
        known = clocks.get(name)["mars"]
        clocks.record(
            name, "mars", asked_ms=service.state.now_ms(), status="error", error=known.error
        )


def test_a_changed_format_is_told(quiet: Deployment, service: Service) -> None:
    """A source that answers something else is not silent: that is another message."""
    quiet.follow(service, "2019np")
    quiet.mars.faults.add(Fault("garbage"))
    service.refresh(["2019np"])
    look(service)
    (subject,) = subjects(quiet)
    assert subject.startswith(
        "yse_ingest: mars answers something that cannot be read (1 target"
    )


def test_a_field_that_is_missing_is_told_and_when_it_is_back(
    quiet: Deployment, service: Service
) -> None:
    """One message names the field and what to do, another says that it is over."""
    quiet.follow(service, "2019np")
    quiet.mars.faults.add(Fault("drifted", edits={'"magpsf"': '"mag_psf"'}))
    service.refresh(["2019np"])
    look(service)
    (subject,) = subjects(quiet)
    assert subject == ("yse_ingest: mars: format changed: field candidate.magpsf missing")
    (message,) = quiet.mail.taken
    assert "yse-ingest sources probe NAME" in message.text

    quiet.mars.faults.clear()
    service.state.source_breaker("mars").record(ok=True)
    service.refresh(["2019np"])
    look(service)
    assert subjects(quiet)[1:] == ["yse_ingest: over: its rows can be read again"]


def test_refused_credentials_are_told_and_when_they_work(quiet: Deployment) -> None:
    """Two messages; neither holds the password."""
    wrong = quiet.service(YSE_PZ_PASSWORD="wrong-and-secret")
    quiet.follow(wrong, *NAMES)
    for _ in range(3):
        wrong.refresh(NAMES)
        look(wrong, 2)
    (message,) = quiet.mail.taken
    assert "YSE_PZ_PASSWORD" not in message.text
    assert "do:   Check YSE_PZ_USERNAME" in message.text
    assert b"wrong-and-secret" not in message.content

    right = quiet.service()
    right.refresh(NAMES)
    look(right)
    assert subjects(quiet)[1:] == ["yse_ingest: over: YSE-PZ accepts the account again"]


def test_an_upload_that_is_taken_ends_refused_credentials(
    quiet: Deployment, service: Service
) -> None:
    """Also where no look-up is needed any more."""
    quiet.follow(service, "2019np")
    hints = service.refresh(["2019np"])
    service.state.troubles.note(CREDENTIALS, fact="refused")
    _deliver(service, hints)
    assert not service.state.troubles.all()


@pytest.mark.parametrize("limit", ["0.1", "3600"])
def test_a_stale_target_is_named_with_its_limit(quiet: Deployment, limit: str) -> None:
    """By its own limit, whatever the global one says."""
    service = quiet.service(YSE_INGEST_CADENCE="0.01", YSE_INGEST_FRESHNESS="3600")
    quiet.follow(service, "2019np", freshness_s=float(limit))
    quiet.follow(service, "ZTF20aaypcrt")
    quiet.cycle(service, *NAMES)
    time.sleep(0.2)
    look(service)
    if limit == "3600":
        assert not quiet.mail.taken
        return
    (message,) = quiet.mail.taken
    assert str(message.mail["Subject"]).startswith("yse_ingest: 2019np: mars: not asked since")
    assert "ZTF20aaypcrt" not in message.text
    service.refresh(["2019np"])
    service.watch()
    assert "2019np is fresh again" in _next_text(quiet, service)


def _next_text(deployment: Deployment, service: Service) -> str:
    """Return the text of the message that tells what is over, with the target kept fresh."""
    for _ in range(40):
        service.refresh(["2019np"])
        service.watch()
        if len(deployment.mail.taken) > 1:
            return deployment.mail.taken[-1].text
        time.sleep(PAUSE_S)
    raise AssertionError("nothing was told")


def test_private_targets_are_counted_only(quiet: Deployment, tmp_path: Path) -> None:
    """Neither text nor JSON nor what is stored to be told has their names."""
    told = tmp_path / "told"
    service = quiet.service(
        YSE_INGEST_NOTIFY_COMMAND=f"sh -c 'cat >> {told}'",
        YSE_INGEST_NOTIFY_FORMAT="json",
        YSE_INGEST_CADENCE="0.01",
        YSE_INGEST_FRESHNESS="0.1",
        YSE_INGEST_LIMIT_OWED="0.05",
        YSE_INGEST_LIMIT_SOURCE="0.05",
    )
    quiet.follow(service, *NAMES, overrides={"groups": ["YSE"]})
    service.refresh(NAMES)
    quiet.mars.faults.add(Fault("status", status=503))
    service.refresh(NAMES)
    time.sleep(0.2)
    look(service)
    texts = [seen.text for seen in quiet.mail.taken] + [told.read_text()]
    for text in texts:
        assert not any(name in text for name in NAMES)
    assert any("of 2 transients are owed since" in text for text in texts)
    assert any("mars answers nothing (2 targets wait for it)" in text for text in texts)


def test_a_new_kind_of_refused_row_is_told_once(quiet: Deployment, service: Service) -> None:
    """Ten rows refused for one reason are one message; another reason is another."""

    def row(number: int, reason: str) -> dict[str, object]:
        return {"native_id": str(number), "field": "magpsf", "reason": reason, "source": "mars"}

    for number in range(10):
        service.state.quarantine.put("2019np", [row(number, f"is {number}.5, no magnitude")])
        look(service, 1)
    assert subjects(quiet) == [
        "yse_ingest: rows of mars are refused for a new reason: magpsf is #, no magnitude"
    ]
    service.state.quarantine.put("ZTF20aaypcrt", [row(11, "is missing")])
    service.state.quarantine.put("ZTF20aaypcrt", [row(12, "twin of 11: reported twice")])
    look(service)
    assert len(quiet.mail.taken) == 2
    assert not any("twin" in seen.text for seen in quiet.mail.taken)


def test_a_lost_state_is_told(quiet: Deployment, service: Service) -> None:
    """With what was restored; the loss itself is found by whoever meets it."""
    for key in service.state._connection.call("KEYS", service.state._keys("*")):
        service.state._connection.call("DEL", key)
    service.state.notice_loss(0.05)
    quiet.work(service)
    look(service)
    (message,) = quiet.mail.taken
    assert "Redis had lost the state" in message.text
    assert "decisions were restored" in message.text


def test_a_broken_targets_file_is_told_and_stops_nothing(
    deployment: Deployment, tmp_path: Path
) -> None:
    """The watcher itself does not fall over it."""
    path = tmp_path / "targets.toml"
    path.write_text("[[targets")
    service = deployment.service(YSE_INGEST_TARGETS=str(path))
    deployment.work(service)
    deployment.follow(service, "2019np")
    look(service)
    assert "the targets file cannot be used" in subjects(deployment)[0]


def test_what_others_note_is_told_with_their_words(quiet: Deployment, service: Service) -> None:
    """A trouble that is noted twice keeps its beginning, and is told once; so is its end."""
    note = service.state.troubles.note
    note("second-writer", "17", fact="another account writes to transient 17")
    first = service.state.troubles.all()
    note("second-writer", "17", fact="again")
    assert service.state.troubles.all() == first
    look(service)
    assert service.state.troubles.clear("second-writer", "17")
    look(service)
    assert subjects(quiet) == [
        "yse_ingest: another account writes to transient 17",
        "yse_ingest: over: nobody else writes there any more",
    ]


def test_the_command_gets_the_changes_as_json(deployment: Deployment, tmp_path: Path) -> None:
    """One document for each message, with everything the text has."""
    path = tmp_path / "told"
    service = deployment.service(
        YSE_INGEST_NOTIFY_TO="",
        YSE_INGEST_NOTIFY_COMMAND=f"sh -c 'cat > {path}'",
        YSE_INGEST_NOTIFY_FORMAT="json",
    )
    deployment.work(service)
    service.state.outbox.hold("the disk is changed")
    look(service)
    document = json.loads(path.read_text())
    (change,) = document["changes"]
    assert (change["what"], change["key"], change["fact"]) == (
        "began",
        "held",
        "writing is held: the disk is changed",
    )
    assert document["points_owed"] == 0


def test_secrets_are_taken_out(deployment: Deployment) -> None:
    """Whatever a fact quotes, passwords of the environment and of addresses are not in it."""
    service = deployment.service(YSE_INGEST_SMTP_PASSWORD="hunter22")
    deployment.work(service)
    service.state.outbox.hold("hunter22 sandbox-only redis://:letmein@host/0")
    look(service)
    (message,) = deployment.mail.taken
    for secret in (b"hunter22", b"sandbox-only", b"letmein"):
        assert secret not in message.content
