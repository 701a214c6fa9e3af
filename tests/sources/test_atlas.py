"""ATLAS forced photometry: what its results mean, and that no question is put twice."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests

from yse_ingest.errors import SettingsError, SourceRefusedError
from yse_ingest.sandbox.atlas import AtlasStandIn
from yse_ingest.sandbox.atlas.result import Exposure, result_text
from yse_ingest.sandbox.atlas.stand_in import TOKEN
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import (
    SOURCES,
    Ask,
    Kind,
    ProcessMemory,
    Status,
    Timeouts,
    Trail,
    build_source,
)
from yse_ingest.targets import Rules, Target
from yse_ingest.times import format_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yse_ingest.sandbox.server import Request
    from yse_ingest.sources import Answer, Source

GOLDEN = Path(__file__).parent / "golden"
RA, DEC = 150.1, 2.2
BANDS = {"c": "cyan-ATLAS", "o": "orange-ATLAS"}
WANTED = frozenset({Kind.FORCED})
DISCOVERY_MS = 1_754_870_400_000
"""2025-08-11, MJD 60898."""
QUICK = Timeouts(connect_s=2, get_s=2, post_s=2, fetch_s=20)


class Memory(ProcessMemory):
    """A memory that survives the source, as that in Redis, with a clock to be set."""

    lasting = True

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + round(1000 * self.ahead_s)


@pytest.fixture
def atlas() -> Iterator[AtlasStandIn]:
    with AtlasStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def connect(atlas: AtlasStandIn, memory: Memory) -> Iterator[Callable[..., Source]]:
    """Return a function that makes a source: each is another process of the same service."""
    made: list[Source] = []

    def source(**environment: str) -> Source:
        env = {"ATLAS_URL": atlas.api_url, "ATLAS_TOKEN": TOKEN, **environment}
        made.append(build_source("atlas", env, timeouts=QUICK, memory=lambda: memory))
        return made[-1]

    yield source
    for each in made:
        each.close()


@pytest.fixture
def source(connect: Callable[..., Source]) -> Source:
    return connect()


def ask(
    name: str = "2025abc", *, ra: float = RA, rules: dict[str, Any] | None = None, **fields: Any
) -> Ask:
    target = {key: fields.pop(key) for key in ("since",) if key in fields}
    return Ask(
        Target(name, ra=ra, dec=DEC, **target),
        Rules(instrument="ACAM1", obs_group="ATLAS", band_map=BANDS, **(rules or {})),
        **{"kinds": WANTED, "discovery_ms": DISCOVERY_MS, **fields},
    )


def one(source: Source, question: Ask | None = None) -> Answer:
    (answer,) = source.fetch([question or ask()])
    return answer


def collected(source: Source, question: Ask | None = None) -> Answer:
    """Submit, then collect."""
    first = one(source, question)
    assert first.status is Status.PENDING, first.error or first.reason
    return one(source, question)


def count(stand_in: AtlasStandIn, method: str, path: str = "/queue/") -> int:
    return sum(entry.method == method and path in entry.path for entry in list(stand_in.log))


def until(true: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def golden(**question: Any) -> Answer:
    """Return what becomes of the golden result."""
    text = (GOLDEN / "atlas_result.txt").read_bytes()

    class Recorded(AtlasStandIn):
        def handle(self, request: Request) -> Reply:
            reply = super().handle(request)
            return Reply(200, text, "text/plain") if "results" in request.path else reply

    with Recorded() as server:
        server.add(RA, DEC, 60900.5, "o", 99, 6)
        env = {"ATLAS_URL": server.api_url, "ATLAS_TOKEN": TOKEN}
        source = build_source("atlas", env, timeouts=QUICK)
        answer = collected(source, ask(**question))
        source.close()
    return answer


# What its rows mean ---------------------------------------------------------------------------


def test_the_golden_result_reads_as_it_always_did() -> None:
    """Times, signed fluxes and ids of what is good, counts by reason of what is not."""
    expected = json.loads((GOLDEN / "atlas_result_expected.json").read_text())

    answer = golden()

    forced = answer.forced
    assert answer.status is Status.OK
    assert len(answer.alerts) == len(answer.limits) == 0
    assert forced.native_id.tolist() == expected["native_id"]
    assert format_time_ms(forced.time_ms).tolist() == expected["obs_date"]
    assert forced.band.tolist() == expected["band"]
    assert forced.flux == pytest.approx(np.array(expected["flux"]), abs=5e-3)
    assert forced.flux_err == pytest.approx(np.array(expected["flux_err"]), abs=5e-3)
    assert answer.dropped == expected["dropped"]
    assert [str(refusal) for refusal in answer.refused] == expected["refused"]


def test_the_worked_numbers() -> None:
    """99 +- 6 uJy are 2726.7 +- 165.3 at 27.5, which is 18.911 mag; -33 uJy keep their sign."""
    forced = golden().forced

    assert (forced.flux[0], forced.flux_err[0]) == pytest.approx((2726.7, 165.3), abs=0.06)
    assert 27.5 - 2.5 * np.log10(forced.flux[0]) == pytest.approx(18.911, abs=5e-4)
    assert forced.flux[1] == pytest.approx(-33 * 27.5423, abs=0.01)


def test_the_cleaning_can_be_switched_off() -> None:
    """Then only what is no photometry of ours stays out: other filters, failed exposures."""
    answer = golden(rules={"atlas_cleaning": False})

    assert answer.dropped == {"filter H": 1, "photometry failed (mag5sig below 10)": 1}
    assert len(answer.forced) == 8


def test_a_quad_is_four_exposures(atlas: AtlasStandIn, source: Source) -> None:
    """Four exposures about 15 min apart, four points, each with the name of its exposure."""
    ids = [atlas.add(RA, DEC, 60900.5 + 0.0104 * number, "o", 50, 6) for number in range(4)]

    forced = collected(source).forced

    assert forced.native_id.tolist() == ids
    gaps_ms = np.diff(forced.time_ms)
    assert gaps_ms.min() > 2 * 1000 * SOURCES["atlas"].capabilities.exposure_tolerance_s


def test_a_changed_header_is_told_by_column(atlas: AtlasStandIn, source: Source) -> None:
    """Columns are found by their names; one that is missing is named, and nothing is taken."""
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)
    atlas.faults.add(
        Fault(
            "garbage", path="results", body="###MJD m dm flux duJy F err\n60900.5 1 2 3 4 o 0"
        )
    )

    answer = collected(source)

    assert answer.status is Status.ERROR
    assert "format changed: column Obs missing" in answer.reason


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("uJy", "nan"),
        ("uJy", "1e308"),
        ("duJy", "-5"),
        ("duJy", "inf"),
        ("MJD", "2460900.5"),
        ("MJD", "***"),
        ("x", "***"),
    ],
)
def test_a_row_that_cannot_be_is_refused_alone(
    atlas: AtlasStandIn, source: Source, column: str, value: str
) -> None:
    """It goes to quarantine with its reason; the other one stays."""
    good, bad = (Exposure(60900.5 + n, "o", 99, 6, obs=f"02a6090{n}o") for n in range(2))
    header, *lines = result_text([good, bad], ra=RA, dec=DEC).splitlines()
    columns = header.lstrip("#").split()
    values = lines[1].split()
    values[columns.index(column)] = value
    body = "\n".join([header, lines[0], " ".join(values)])
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)
    atlas.faults.add(Fault("garbage", path="results", body=body))

    answer = collected(source)

    assert answer.forced.native_id.tolist() == ["02a60900o"]
    (refusal,) = answer.refused
    assert [fault.field for fault in refusal.faults] == [column]


# What is asked --------------------------------------------------------------------------------


def test_what_is_declared() -> None:
    """Forced photometry of places, later, for a token; exposures begin at their times."""
    able = SOURCES["atlas"].capabilities
    assert able.kinds == {Kind.FORCED}
    assert able.survey.band_map == BANDS
    assert (able.by_id, able.by_position, able.since) == (False, True, "server")
    assert (able.asynchronous, able.needs_token) == (True, True)
    assert (able.time_scale, able.time_of, able.exposure_tolerance_s) == ("utc", "start", 16.0)


def test_many_targets_are_one_request(atlas: AtlasStandIn, source: Source) -> None:
    """Differences of the sky, no e-mail, the names in the comment, answers in their order."""
    asks = [ask(f"2025a{letter}", ra=10.0 + n) for n, letter in enumerate("abcdefgh")]
    for n in range(8):
        atlas.add(10.0 + n, DEC, 60900.5 + n, "c", 100 + n, 5)

    first = list(source.fetch(asks))
    second = list(source.fetch(asks[::-1]))

    assert {answer.status for answer in first} == {Status.PENDING}
    assert count(atlas, "POST") == 1
    assert [task.wanted.use_reduced for task in atlas.tasks.values()] == [False] * 8
    assert atlas.mails == []
    assert "2025aa, 2025ab" in atlas.tasks[4200001].wanted.comment
    assert [answer.target_name for answer in second] == [a.target.name for a in asks[::-1]]
    assert [round(float(a.forced.flux[0] / 27.5423)) for a in second] == [
        107,
        106,
        105,
        104,
        103,
        102,
        101,
        100,
    ]


def test_private_targets_go_without_their_names(atlas: AtlasStandIn, source: Source) -> None:
    """A comment names the targets, but not those that only some groups may see."""
    list(source.fetch([ask("2025aa", rules={"groups": ("YSE",)}), ask("2025ab", ra=20.0)]))

    comments = {task.wanted.comment for task in atlas.tasks.values()}
    assert len(comments) == 1
    assert comments.pop().endswith(": 2025ab")


def test_a_comment_is_never_too_long(atlas: AtlasStandIn, source: Source) -> None:
    """A hundred long names are one request all the same."""
    asks = [ask(f"{n:03d}{'x' * 50}", ra=1.0 + n) for n in range(100)]

    answers = list(source.fetch(asks))

    assert {answer.status for answer in answers} == {Status.PENDING}
    assert len(atlas.tasks) == 100
    assert count(atlas, "POST") == 1


@pytest.mark.parametrize(
    ("days", "fields", "mjd_min"),
    [
        ("", {}, 60865.0),
        ("3", {}, 60895.0),
        ("all", {}, None),
        ("", {"since_ms": DISCOVERY_MS}, 60895.0),
        ("all", {"since": "2025-08-01"}, 60885.0),
        ("", {"since": "2025-08-20", "since_ms": DISCOVERY_MS}, 60905.0),
    ],
    ids=["30 days", "3 days", "everything", "what is new", "since", "since and new"],
)
def test_where_a_question_begins(
    atlas: AtlasStandIn,
    connect: Callable[..., Source],
    days: str,
    fields: dict[str, Any],
    mjd_min: float | None,
) -> None:
    """30 d before discovery, or as set; with what is new; never before the target's since."""
    one(connect(ATLAS_DAYS=days), ask(**fields))

    (task,) = atlas.tasks.values()
    assert task.wanted.mjd_min == mjd_min


def test_beginnings_that_lie_apart_are_requests_of_their_own(
    atlas: AtlasStandIn, source: Source
) -> None:
    """Nobody's whole archive is asked for because of somebody else."""
    late = DISCOVERY_MS + 40 * 86_400_000
    list(source.fetch([ask("2025aa"), ask("2025ab", ra=20.0, since_ms=late)]))

    assert [task.wanted.mjd_min for task in atlas.tasks.values()] == [60865.0, 60935.0]
    assert count(atlas, "POST") == 2


def test_nothing_before_the_targets_since_is_taken(atlas: AtlasStandIn, source: Source) -> None:
    """Questions begin a few days early; what lies before is counted, not kept."""
    for mjd in (60890.5, 60891.5):
        atlas.add(RA, DEC, mjd, "o", 50, 5)

    answer = collected(source, ask(since="2025-08-04"))

    assert len(answer.forced) == 1
    assert answer.dropped == {"before the target's since": 1}


def test_a_target_without_a_place_is_refused_alone(atlas: AtlasStandIn, source: Source) -> None:
    """It knows places only; the others of the batch are asked for."""
    nowhere = Ask(Target("2025zz", object_id="ZTF25aaaaaaa"), Rules(), kinds=WANTED)

    first, second = source.fetch([nowhere, ask()])

    assert first.status is Status.ERROR
    assert "no coordinates" in first.reason
    assert second.status is Status.PENDING


# Waiting --------------------------------------------------------------------------------------


def test_a_question_is_pending_until_it_is_finished(
    atlas: AtlasStandIn, source: Source, memory: Memory
) -> None:
    """Each fetch looks once and returns; the wait grows with the age of the question."""
    atlas.finish_after_polls = 3
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)

    waits = []
    for age_s in (0, 10, 400, 100_000):
        memory.ahead_s = age_s
        answer = one(source)
        assert answer.status is Status.PENDING
        waits.append(answer.ask_again_s)
    last = one(source)

    assert waits == pytest.approx([10, 10, 100, 1800], abs=1)
    assert last.status is Status.OK
    assert count(atlas, "POST") == 1


def test_no_data_is_empty_and_not_forever_pending(atlas: AtlasStandIn, source: Source) -> None:
    """Finished, an error message, no address: asked, and nothing there."""
    answer = collected(source)
    assert (answer.status, answer.error) == (Status.EMPTY, None)
    answer.clean_up()
    assert [task.deleted for task in atlas.tasks.values()] == [True]


def test_a_task_that_failed_is_told_and_submitted_anew(
    atlas: AtlasStandIn, source: Source
) -> None:
    """The reason is ATLAS's own; the task is deleted; the next fetch asks again."""
    one(source)
    atlas.fail(4200001, "MPC name not found")

    answer = one(source)

    assert answer.status is Status.ERROR
    assert isinstance(answer.error, SourceRefusedError)
    assert "MPC name not found" in answer.reason
    assert one(source).status is Status.PENDING
    assert [task.deleted for task in atlas.tasks.values()] == [True, False]


def test_a_task_that_is_gone_is_submitted_anew(atlas: AtlasStandIn, source: Source) -> None:
    """404 for the task: the same fetch asks again."""
    one(source)
    atlas.forget(4200001)

    assert one(source).status is Status.PENDING
    assert list(atlas.tasks) == [4200001, 4200002]
    assert one(source).status is Status.EMPTY


def test_a_task_that_lasts_too_long_is_submitted_anew(
    atlas: AtlasStandIn, source: Source, memory: Memory
) -> None:
    """After three days it is deleted, and asked for again."""
    atlas.finish_after_polls = 99
    one(source)
    memory.ahead_s = 2.9 * 86_400
    one(source)
    assert len(atlas.tasks) == 1
    memory.ahead_s = 3.1 * 86_400

    assert one(source).status is Status.PENDING
    assert [task.deleted for task in atlas.tasks.values()] == [True, False]


def test_a_target_that_was_moved_is_another_question(
    atlas: AtlasStandIn, source: Source
) -> None:
    """Photometry of the old place is of no use: its task goes, another comes."""
    one(source)

    assert one(source, ask(ra=RA + 2 / 3600)).status is Status.PENDING
    assert [task.deleted for task in atlas.tasks.values()] == [True, False]
    assert atlas.tasks[4200002].ra == RA + 2 / 3600


def test_a_question_for_more_is_another_one(atlas: AtlasStandIn, source: Source) -> None:
    """What comes of a question about what is new is not taken for everything."""
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)
    one(source, ask(since_ms=DISCOVERY_MS))

    assert one(source, ask()).status is Status.PENDING

    assert [task.deleted for task in atlas.tasks.values()] == [True, False]
    answer = one(source, ask(since_ms=DISCOVERY_MS))  # less than is under way
    assert answer.status is Status.OK
    assert answer.full
    assert [task.deleted for task in atlas.tasks.values()] == [True, False]


# Once -----------------------------------------------------------------------------------------


def test_a_result_is_kept_until_its_points_are(
    atlas: AtlasStandIn, connect: Callable[..., Source], memory: Memory
) -> None:
    """Who dies with a result leaves it: another reads the same; then it is deleted, once."""
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)
    lost = collected(connect())
    busy = one(connect())
    memory.ahead_s = 60.0

    found = one(connect())
    found.clean_up()
    found.clean_up()
    lost.clean_up()

    assert busy.status is Status.PENDING
    assert found.forced.native_id.tolist() == lost.forced.native_id.tolist()
    assert count(atlas, "DELETE") == 1
    assert len(atlas.tasks) == 1
    assert one(connect()).status is Status.PENDING
    assert len(atlas.tasks) == 2


def test_two_workers_at_once_submit_once_and_collect_once(
    atlas: AtlasStandIn, connect: Callable[..., Source]
) -> None:
    """Who comes second finds the note of the first, and leaves the task to it."""
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)
    first, second = connect(), connect()
    atlas.faults.add(Fault("slow", method="POST", times=1, seconds=0.3))
    answers: list[Answer] = []
    submitter = threading.Thread(target=lambda: answers.append(one(first)))
    submitter.start()
    until(lambda: atlas.in_flight)
    late = one(second)
    submitter.join()

    assert late.status is answers[0].status is Status.PENDING
    assert "another worker" in late.reason
    assert len(atlas.tasks) == 1

    atlas.faults.add(Fault("slow", path="results", times=1, seconds=0.3))
    collector = threading.Thread(target=lambda: answers.append(one(first)))
    collector.start()
    until(lambda: not len(atlas.faults))
    late = one(second)
    collector.join()

    assert answers[-1].status is Status.OK
    assert late.status is Status.PENDING
    assert atlas.tasks[4200001].downloads == 1


def test_a_submission_that_nobody_saw_answered_is_found_again(
    atlas: AtlasStandIn, connect: Callable[..., Source]
) -> None:
    """The connection is lost after ATLAS queued the tasks: they are found by their tag."""
    asks = [ask(f"2025a{letter}", ra=10.0 + n) for n, letter in enumerate("abc")]
    atlas.faults.add(Fault("drop_after", method="POST", times=1))

    lost = list(connect().fetch(asks))
    found = list(connect().fetch(asks))

    assert [answer.status for answer in lost] == [Status.ERROR] * 3
    assert [answer.status for answer in found] == [Status.PENDING] * 3
    assert len(atlas.tasks) == 3
    assert {answer.status for answer in connect().fetch(asks)} == {Status.EMPTY}


def test_a_submission_that_never_arrived_is_made_again(
    atlas: AtlasStandIn, connect: Callable[..., Source]
) -> None:
    """The queue does not hold it: then it is submitted, once."""
    atlas.faults.add(Fault("drop_before", method="POST", times=1))

    assert one(connect()).status is Status.ERROR
    assert one(connect()).status is Status.PENDING
    assert len(atlas.tasks) == 1


def test_a_worker_that_died_while_it_submitted(
    atlas: AtlasStandIn, connect: Callable[..., Source], memory: Memory
) -> None:
    """Its hold ends after the longest fetch; then the task that it left is found."""
    one(connect())
    note = memory.get("atlas", "2025abc")
    assert note is not None
    dying = {**note, "url": None, "held_ms": memory.now_ms() + 30_000}
    assert memory.put("atlas", "2025abc", dying, instead_of=note)

    assert "another worker" in one(connect()).reason
    memory.ahead_s = 31.0
    one(connect())

    found = memory.get("atlas", "2025abc")
    assert found is not None
    assert found["url"] == note["url"]
    assert len(atlas.tasks) == 1


def test_a_task_that_could_not_be_deleted_is_deleted_first_of_all(
    atlas: AtlasStandIn, source: Source
) -> None:
    """The points are kept, ATLAS is away for a moment: the next fetch cleans up, then asks."""
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)
    found = collected(source)
    atlas.faults.add(Fault("drop_before", method="DELETE", times=1))
    found.clean_up()
    assert [task.deleted for task in atlas.tasks.values()] == [False]

    assert one(source).status is Status.PENDING
    assert [task.deleted for task in atlas.tasks.values()] == [True, False]
    assert atlas.tasks[4200001].downloads == 1


def test_a_job_at_another_server_is_no_job(
    atlas: AtlasStandIn, connect: Callable[..., Source], memory: Memory
) -> None:
    """Who sets another ATLAS_URL asks there, and nothing goes to the old one."""
    with AtlasStandIn() as old:
        one(connect(ATLAS_URL=old.api_url.replace("127.0.0.1", "localhost")))
        asked = len(old.log)

        assert one(connect()).status is Status.PENDING
        assert one(connect()).status is Status.EMPTY
        assert len(old.log) == asked
    assert len(atlas.tasks) == 1


def test_a_note_of_another_version_is_forgotten(
    atlas: AtlasStandIn, source: Source, memory: Memory
) -> None:
    """What cannot be read stops nobody: the question is asked anew."""
    memory.put("atlas", "2025abc", {"state": "asked", "task": 17}, instead_of=None)

    assert one(source).status is Status.PENDING
    assert len(atlas.tasks) == 1


# What goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wait_s"), [("23 seconds", 23.0), ("1 second", 10.0), ("2 minutes", 120.0)]
)
def test_who_asks_too_often_waits_as_long_as_the_text_says(
    atlas: AtlasStandIn, connect: Callable[..., Source], text: str, wait_s: float
) -> None:
    """429 without a header: what the text says holds, nobody sleeps, the job stays."""
    body = json.dumps({"detail": f"Request was throttled. Expected available in {text}."})
    throttled = Fault("status", times=1, status=429, body=body)
    atlas.finish_after_polls = 99

    atlas.faults.add(throttled)
    submitted = one(connect())
    assert one(connect()).status is Status.PENDING
    atlas.faults.add(throttled)
    looked = one(connect())

    assert (submitted.status, submitted.ask_again_s) == (Status.PENDING, wait_s)
    assert (looked.status, looked.ask_again_s) == (Status.PENDING, wait_s)
    assert one(connect()).status is Status.PENDING
    assert len(atlas.tasks) == 1


def test_a_full_queue_is_tried_again_later(
    atlas: AtlasStandIn, source: Source, memory: Memory
) -> None:
    """ATLAS works on 500 tasks of ours: that is no failure, and nothing is remembered."""
    atlas.queued_max = 0

    answer = one(source)

    assert (answer.status, answer.ask_again_s) == (Status.PENDING, 600.0)
    assert memory.get("atlas", "2025abc") is None
    atlas.queued_max = 500
    assert one(source).status is Status.PENDING
    assert len(atlas.tasks) == 1


def test_a_server_that_is_away_leaves_the_job(atlas: AtlasStandIn, source: Source) -> None:
    """No answer to a look is an error of this cycle; the task is looked at again."""
    one(source)
    atlas.faults.add(Fault("status", status=502, times=1))

    answer = one(source)

    assert answer.error is not None
    assert answer.error.retryable
    assert one(source).status is Status.EMPTY
    assert len(atlas.tasks) == 1


def test_an_address_that_is_none_is_not_followed(atlas: AtlasStandIn, source: Source) -> None:
    """The error stays with its target."""
    atlas.add(RA, DEC, 60900.5, "o", 99, 6)
    one(source)
    task = shown(atlas) | {"result_url": "http://[:x/"}
    atlas.faults.add(Fault("garbage", path="/queue/4", body=json.dumps(task)))

    assert "another server" in one(source).reason


def test_an_address_on_another_server_gets_no_token(
    atlas: AtlasStandIn, source: Source
) -> None:
    """A result elsewhere is not read: the token would go there."""
    with Thief() as thief:
        atlas.add(RA, DEC, 60900.5, "o", 99, 6)
        one(source)
        task = shown(atlas)
        task["result_url"] = thief.url.replace("127.0.0.1", "localhost") + "/job.txt"
        atlas.faults.add(Fault("garbage", path="/queue/4", body=json.dumps(task)))

        answer = one(source)

        assert "another server" in answer.reason
        assert len(thief.log) == 0


def shown(atlas: AtlasStandIn) -> dict[str, Any]:
    """Return the finished task as the stand-in shows it."""
    reply = requests.get(
        f"{atlas.api_url}/queue/4200001/",
        headers={"Authorization": f"Token {TOKEN}"},
        timeout=5,
    )
    task: dict[str, Any] = reply.json()
    return task


class Thief(StandIn):
    """Takes whatever comes."""

    def handle(self, request: Request) -> Reply:
        return Reply.text("thanks")


# Who asks -------------------------------------------------------------------------------------


def test_without_an_account_nothing_is_asked() -> None:
    """The setting to give is named."""
    with pytest.raises(SettingsError, match="Set ATLAS_TOKEN, or ATLAS_USERNAME and"):
        build_source("atlas", {})


def test_a_token_that_is_not_accepted_is_said(connect: Callable[..., Source]) -> None:
    """401: the remedy names the settings, and nothing is remembered of the question."""
    answer = one(connect(ATLAS_TOKEN="of-somebody-else"))

    assert answer.status is Status.ERROR
    assert "Check ATLAS_TOKEN" in str(answer.error)
    assert "of-somebody-else" not in str(answer.error)
    assert one(connect()).status is Status.PENDING


def test_a_password_is_exchanged_for_a_token_once(
    atlas: AtlasStandIn, connect: Callable[..., Source]
) -> None:
    """The first request logs in; a token that expired is got anew."""
    login = {"ATLAS_TOKEN": "", "ATLAS_USERNAME": "ingest", "ATLAS_PASSWORD": "sandbox-only"}
    source = connect(**login)

    collected(source).clean_up()
    assert count(atlas, "POST", "token-auth") == 1
    atlas.users["ingest"] = ("sandbox-only", "another-token")
    assert one(source).status is Status.PENDING
    assert count(atlas, "POST", "token-auth") == 2


def test_a_login_is_not_kept_for_inspection(atlas: AtlasStandIn) -> None:
    """What a source last answered is kept where it cannot be read: never a token."""
    trail = Trail()
    login = {"ATLAS_USERNAME": "ingest", "ATLAS_PASSWORD": "sandbox-only"}
    source = build_source(
        "atlas", {"ATLAS_URL": atlas.api_url, **login}, timeouts=QUICK, trail=trail
    )
    atlas.faults.add(Fault("drop_before", path="/queue/", times=1))

    assert one(source).status is Status.ERROR

    assert count(atlas, "POST", "token-auth") == 1
    assert trail.last() is None
    source.close()


def test_a_wrong_password_is_said_without_it(connect: Callable[..., Source]) -> None:
    """The message names the settings only."""
    login = {"ATLAS_TOKEN": "", "ATLAS_USERNAME": "ingest", "ATLAS_PASSWORD": "not-this-one"}

    answer = one(connect(**login))

    assert "gives no token for this user" in answer.reason
    assert "not-this-one" not in str(answer.error)


def test_the_token_stands_nowhere(
    atlas: AtlasStandIn,
    connect: Callable[..., Source],
    memory: Memory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in notes, addresses, bodies, comments, errors, logs, nor in any repr."""
    caplog.set_level(logging.DEBUG)
    source = connect()
    said: list[object] = [one(source), source, vars(source), memory.get("atlas", "2025abc")]
    for fault in (Fault("drop_after"), Fault("error_before"), Fault("garbage")):
        atlas.faults.add(replace(fault, times=1))
        answer = one(source)
        said += [answer, answer.error, repr(answer.error)]
    said += [entry.to_json(with_body=True) for entry in atlas.log]
    said += [task.wanted for task in atlas.tasks.values()]

    assert TOKEN not in repr(said)
    assert TOKEN not in caplog.text
