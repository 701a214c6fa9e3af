"""A lost state: nothing is sent too early, and what people decided is there again."""

from __future__ import annotations

import json
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import StateError, StateVersionError
from yse_ingest.ledger import Ledger
from yse_ingest.state import State
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.state.store import LAYOUT
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Connect = Callable[..., State]
    Curve = Callable[..., Any]
    Until = Callable[[Callable[[], Any]], Any]

LEASE_S = 60.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where decisions are kept; the folder is not there yet."""
    return tmp_path / "var" / "decisions.jsonl"


def owe(state: State, key: str, points: Any) -> None:
    state.outbox.owe(key, points, target="2019np", gaps={}, tolerance_ms=1)


def flush(state: State) -> None:
    state._connection.call("FLUSHDB")


def age(state: State, seq: int) -> None:
    """Make Redis look like a copy from before the decisions after ``seq``."""
    state._connection.call("HSET", state._keys("installed"), "seq", seq)


# ------------------------------------------------------------------ first start


def test_a_first_start_has_nothing_to_wait_for(
    connect: Connect, file: Path, curve: Curve
) -> None:
    """Neither Redis nor file know anything: work begins at once."""
    state = connect(decisions=file)
    assert state.quiet_until_ms() == 0
    assert not state.notice_loss(30)
    owe(state, "7", curve())
    assert len(state.outbox.claim(1, lease_s=LEASE_S, cap=1)) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [line] = file.read_text().splitlines()
    assert json.loads(line)["what"] == "installed"


def test_another_process_finds_everything_in_order(connect: Connect, file: Path) -> None:
    """Starting a second process, or the same again, is no loss."""
    connect(decisions=file).targets.put(Target("a"), origin="adhoc")
    again = connect(decisions=file)
    assert again.quiet_until_ms() == 0
    assert not again.notice_loss(30)
    assert connect().quiet_until_ms() == 0


def test_processes_that_start_together_agree(
    connect: Connect, file: Path, curve: Curve
) -> None:
    """The first names the installation, the others are part of it."""
    states: list[State] = []
    threads = [
        threading.Thread(target=lambda: states.append(connect(decisions=file)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({state._installation.id for state in states}) == 1
    assert {state.quiet_until_ms() for state in states} == {0}
    for number, state in enumerate(states):
        owe(state, str(number), curve([1]))
        assert state.outbox.claim_key(str(number), lease_s=LEASE_S, cap=9)


# ------------------------------------------------------------------ the loss


@pytest.mark.parametrize("begun_anew", [False, True])
def test_a_loss_is_discovered_by_the_first_claim(
    connect: Connect, curve: Curve, begun_anew: bool
) -> None:
    """A flushed Redis is no first start for a process that worked before.

    Not even when somebody who knows nothing has begun anew on it.
    """
    state = connect()
    owe(state, "7", curve())
    old = state.outbox.claim_key("7", lease_s=LEASE_S, cap=9)
    assert old is not None
    flush(state)
    assert not state.outbox.start(*old, 1, lease_s=LEASE_S)
    if begun_anew:
        assert connect().quiet_until_ms() == 0
    owe(state, "7", curve())
    before_ms = state.now_ms()
    assert state.outbox.claim(9, lease_s=LEASE_S, cap=9) == []
    assert state.quiet_until_ms() >= before_ms + 30_000
    assert state.outbox.claim(9, lease_s=LEASE_S, cap=9) == []
    assert not state.notice_loss(30)


def test_after_a_loss_nothing_is_sent_for_the_request_limit(
    connect: Connect, curve: Curve, until: Until
) -> None:
    """A request may be under way that nobody remembers; its fence never comes again."""
    state = connect()
    owe(state, "7", curve())
    old = state.outbox.claim_key("7", lease_s=LEASE_S, cap=9)
    assert old is not None
    flush(state)
    assert state.notice_loss(0.7)
    assert not state.notice_loss(0.7)
    assert state.quiet_until_ms() >= state.now_ms() + 600
    owe(state, "7", curve())
    mark = state.unheard()
    assert mark is not None
    assert not state.heard("an older loss", 0.001)
    assert state.outbox.claim_key("7", lease_s=LEASE_S, cap=9) is None
    before_ms = state.now_ms()
    assert state.heard(mark, 0.7)
    assert state.unheard() is None
    assert state.outbox.claim_key("7", lease_s=LEASE_S, cap=9, early=True) is None
    [claim] = until(lambda: state.outbox.claim(9, lease_s=LEASE_S, cap=9))
    assert state.now_ms() >= before_ms + 700
    assert claim.fence > old.fence
    assert claim.fence >= before_ms * 1000
    assert not state.outbox.start(*old, 1, lease_s=LEASE_S)
    assert not state.outbox.finish(
        *old, sent=state.outbox.owed("7") or pytest.fail("nothing owed"), result="done"
    )


def test_decisions_are_restored_after_a_loss(connect: Connect, file: Path) -> None:
    """Targets added by hand, pauses, cadences, rejections and a hold come back."""
    state = connect(decisions=file)
    kept = Target("2019np", ra=157.3415, dec=29.5106667, creation={"status": "Ignore"})
    state.targets.put(kept, origin="adhoc")
    state.targets.put(Target("gone"), origin="adhoc")
    state.targets.put(Target("from-file"), origin="file")
    state.targets.remove("gone")
    state.targets.set_cadence("2019np", 60.0)
    state.targets.pause("2019np", "wrong host")
    state.targets.pause("b", "for a while")
    state.targets.resume("b")
    state.quarantine.reject("2019np", "17", "satellite")
    state.quarantine.reject("2019np", "18", "satellite")
    state.quarantine.accept("2019np", "18")
    state.outbox.hold("moving")
    flush(state)

    found = connect(decisions=file, limit_s=20.0)
    assert found.quiet_until_ms() > found.now_ms() + 15_000
    [(target, origin)] = found.targets.all()
    assert (target.name, target.cadence_s, origin) == ("2019np", 60.0, "adhoc")
    assert (target.ra, target.creation) == (kept.ra, kept.creation)
    assert found.targets.paused() == {"2019np": "wrong host"}
    assert found.quarantine.rejections() == {"2019np": {"17": "satellite"}}
    assert found.outbox.held() == "moving"
    lines = len(file.read_text().splitlines())
    assert found.outbox.unhold()
    assert len(file.read_text().splitlines()) == lines + 1
    assert not found.notice_loss(30)


def test_an_older_copy_of_redis_is_recognised(
    connect: Connect, file: Path, curve: Curve
) -> None:
    """It does not know the last decisions: claims become unclear, ledgers are derived anew."""
    state = connect(decisions=file)
    state.targets.put(Target("a"), origin="adhoc")
    owe(state, "7", curve())
    claim = state.outbox.claim_key("7", lease_s=LEASE_S, cap=9)
    assert claim is not None
    state.ledgers.put(7, Ledger.empty(), name="a", slug="a")
    state.targets.pause("a", "later decision")
    state._connection.call("HDEL", state._keys("targets", "paused"), "a")
    age(state, 2)

    assert state.notice_loss(30)
    assert state.targets.paused() == {"a": "later decision"}
    assert state.ledgers.count() == 0
    row = state.outbox.owed("7")
    assert row is not None
    assert (row.state, row.settle) == ("settling", {"stage": "ping"})
    assert not state.outbox.start(*claim, 1, lease_s=LEASE_S)
    assert state.outbox.claim(9, lease_s=LEASE_S, cap=9) == []
    assert not state.notice_loss(30)


def test_a_loss_is_not_hidden_by_a_new_decision(connect: Connect, file: Path) -> None:
    """A decision noted before the loss was noticed does not make Redis look complete."""
    state = connect(decisions=file)
    state.targets.put(Target("a"), origin="adhoc")
    flush(state)
    state.targets.put(Target("b"), origin="adhoc")
    assert state.notice_loss(30)
    assert state.targets.names() == ["a", "b"]


def test_an_older_copy_is_not_hidden_by_a_new_decision(connect: Connect, file: Path) -> None:
    """Nor does it make an older copy look complete, or that of somebody else."""
    state = connect(decisions=file)
    state.targets.put(Target("a"), origin="adhoc")
    state.targets.put(Target("b"), origin="adhoc")
    state._connection.call("HDEL", state._keys("targets"), "b")
    age(state, 2)
    state.targets.put(Target("c"), origin="adhoc")
    assert state.notice_loss(30)
    assert state.targets.names() == ["a", "b", "c"]
    state._connection.call("HSET", state._keys("installed"), "id", "another", "seq", 9)
    state.targets.put(Target("d"), origin="adhoc")
    assert state._connection.call("HGET", state._keys("installed"), "seq") == "9"


def test_a_loss_is_not_hidden_by_a_process_without_the_file(
    connect: Connect, file: Path
) -> None:
    """Somebody without the file began anew on the emptied Redis: the file still decides."""
    connect(decisions=file).targets.put(Target("a"), origin="adhoc")
    flush(connect())
    assert connect().quiet_until_ms() == 0
    state = connect(decisions=file)
    assert state.quiet_until_ms() > 0
    assert state.targets.names() == ["a"]


def test_the_redis_of_another_installation_is_refused(
    connect: Connect, file: Path, tmp_path: Path
) -> None:
    """Two deployments on one namespace would undo each other: the second is told so."""
    connect(decisions=file)
    other = tmp_path / "other.jsonl"
    connect(decisions=other, namespace="elsewhere")
    with pytest.raises(StateError, match="another installation") as caught:
        connect(decisions=other)
    assert caught.value.remedy


def test_a_lost_file_begins_with_what_redis_knows(connect: Connect, file: Path) -> None:
    """The file is the whole backup, also when it was begun late."""
    state = connect()
    state.targets.put(Target("a"), origin="adhoc")
    state.targets.put(Target("f"), origin="file")
    state.targets.set_cadence("a", 60.0)
    state.targets.pause("a", "why")
    state.targets.sync_file([])
    state.quarantine.reject("a", "17", "satellite")
    state.outbox.hold("moving")
    with_file = connect(decisions=file)
    assert with_file.quiet_until_ms() == 0
    whats = [entry.what for entry in with_file.decisions.entries()]
    assert whats == ["installed", "target_added", "cadence", "paused", "rejected", "held"]
    flush(with_file)
    restored = connect(decisions=file)
    assert restored.targets.names() == ["a"]
    assert restored.targets.paused() == {"a": "why"}


def test_a_restart_of_redis_may_have_lost_its_last_second(tmp_path: Path, curve: Curve) -> None:
    """What was claimed in it is unknown: nothing is begun or claimed, and claims settle."""
    with EmbeddedRedis(tmp_path / "redis") as redis:
        state = State.connect(redis.url(), namespace="n", decisions=None, request_limit_s=30)
        for key in ("7", "8"):
            owe(state, key, curve())
        state.ledgers.put(7, Ledger.empty(), name="a", slug="a")
        begun = state.outbox.claim_key("7", lease_s=LEASE_S, cap=9)
        assert begun is not None
        assert state.outbox.start(*begun, 1, lease_s=LEASE_S)
        assert state.restarted_ms() == 0
        before_ms = state.now_ms()
        redis.kill()
        redis.start()

        assert not state.outbox.start(*begun, 2, lease_s=LEASE_S)
        assert state.outbox.claim_key("8", lease_s=LEASE_S, cap=9) is None
        assert state.quiet_until_ms() > state.now_ms() + 20_000
        row = state.outbox.owed("7")
        assert row is not None
        assert row.settle == {"stage": "ping"}
        assert state.ledgers.count() == 1
        assert not state.notice_loss(30)
        again = State.connect(redis.url(), namespace="n", decisions=None)
        known_ms = again.restarted_ms()
        assert not again.notice_loss(30)
        assert before_ms < known_ms == state.restarted_ms() <= state.now_ms()
        for each in (state, again):
            each.close()


# ------------------------------------------------------------------ the file


def test_only_decisions_of_people_are_noted(connect: Connect, file: Path) -> None:
    """The targets file and what changes nothing leave no line."""
    state = connect(decisions=file)
    state.targets.put(Target("f"), origin="file")
    state.targets.sync_file([Target("g")])
    state.targets.remove("f")
    state.targets.put(Target("a"), origin="adhoc")
    state.targets.put(Target("a"), origin="adhoc", due_ms=5)
    state.targets.resume("a")
    state.outbox.unhold()
    entries = state.decisions.entries()
    assert [entry.what for entry in entries] == ["installed", "target_added"]
    assert [entry.seq for entry in entries] == [1, 2]
    assert connect(namespace="none").decisions.entries() == []


def test_half_a_line_is_skipped_and_not_glued_to(
    connect: Connect, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a power cut the other decisions still hold."""
    state = connect(decisions=file)
    state.targets.put(Target("a"), origin="adhoc")
    with file.open("a") as handle:
        handle.write('{"seq": 3, "what": "pau')
    state.targets.put(Target("b"), origin="adhoc")
    assert "decision unreadable" in caplog.text
    assert len(file.read_text().splitlines()) == 4
    flush(state)
    assert connect(decisions=file).targets.names() == ["a", "b"]


def test_a_decision_of_a_newer_version_is_left_alone(
    connect: Connect, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be understood stays in the file, and the rest is restored."""
    state = connect(decisions=file)
    state.decisions.append("tombstone", pk=5)
    state.decisions.append("target_added", target={"name": ""})
    state.decisions.append("paused", wrong=True)
    state.targets.put(Target("a"), origin="adhoc")
    flush(state)
    assert connect(decisions=file).targets.names() == ["a"]
    assert caplog.text.count("decision not understood") == 2
    assert len(file.read_text().splitlines()) == 5


def test_decisions_are_exported_and_imported(
    connect: Connect, file: Path, tmp_path: Path
) -> None:
    """One file carries them to another machine; importing twice changes nothing."""
    state = connect(decisions=file)
    state.targets.put(Target("a"), origin="adhoc")
    state.targets.pause("a", "why")
    copy = tmp_path / "copy.jsonl"
    assert state.decisions.export(copy) == 3
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600

    other_file = tmp_path / "other.jsonl"
    other = connect(decisions=other_file, namespace="other-machine")
    flush_namespace = other.targets.names()
    assert flush_namespace == []
    assert other.import_decisions(copy) == 2
    assert other.import_decisions(copy) == 2
    assert other.targets.names() == ["a"]
    assert other.targets.paused() == {"a": "why"}
    assert not other.notice_loss(30)
    other.targets.remove("a")
    assert other.restore_decisions() == 5
    assert other.targets.names() == []

    without = connect(namespace="no-file")
    assert without.import_decisions(copy) == 2
    assert without.targets.names() == ["a"]


def test_a_file_that_cannot_be_used_is_named(connect: Connect, tmp_path: Path) -> None:
    """The message says which file, and what to do."""
    with pytest.raises(StateError, match="cannot be used") as caught:
        connect(decisions=tmp_path)
    assert str(tmp_path) in str(caught.value)
    state = connect(decisions=tmp_path / "d.jsonl")
    with pytest.raises(StateError, match="cannot be exported"):
        state.decisions.export(tmp_path / "nowhere" / "copy")
    with pytest.raises(StateError, match="cannot be imported"):
        state.import_decisions(tmp_path / "nowhere")
    with pytest.raises(StateError, match="no file for decisions"):
        connect(namespace="none").decisions.export(tmp_path / "copy")


# ------------------------------------------------------------------ versions and namespaces


def test_a_newer_state_is_refused(connect: Connect) -> None:
    """Older code does not touch what it would misread."""
    state = connect()
    state._connection.call("SET", state._keys("version"), 99)
    with pytest.raises(StateVersionError, match="newer version") as caught:
        connect()
    assert caught.value.remedy


def test_an_older_state_is_rebuilt(connect: Connect) -> None:
    """Newer code derives what can be derived, and keeps the rest."""
    state = connect()
    state.targets.put(Target("a"), origin="adhoc")
    state.ledgers.put(7, Ledger.empty(), name="a", slug="a")
    state._connection.call("SET", state._keys("version"), -1)
    again = connect()
    assert again.ledgers.count() == 0
    assert again.targets.names() == ["a"]
    assert again._connection.call("GET", again._keys("version")) == str(LAYOUT)


def test_namespaces_know_nothing_of_each_other(connect: Connect, curve: Curve) -> None:
    """Two deployments may share a Redis."""
    one, other = connect(namespace="one"), connect(namespace="one.two")
    for state in (one, other):
        flush(state)
        state.notice_loss(0.001)
    one.targets.put(Target("a"), origin="adhoc")
    owe(one, "7", curve())
    one.ledgers.put(7, Ledger.empty(), name="a", slug="a")
    one.quarantine.put("a", [{"native_id": "1", "reason": "x"}])
    assert other.targets.names() == []
    assert other.outbox.owed("7") is None
    assert other.ledgers.get(7) is None
    assert other.quarantine.list() == []
    assert other.outbox.claim(9, lease_s=LEASE_S, cap=9) == []
    assert one.ledgers.count() == 1
