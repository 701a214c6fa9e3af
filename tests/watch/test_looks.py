"""A tick looks at the targets that may be late, and misses none of those that are."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from yse_ingest.state import Choice, Look
from yse_ingest.targets import Target
from yse_ingest.watch.conditions import conditions
from yse_ingest.watch.sight import look
from yse_ingest.watch.targets import STALE_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.watch.conftest import Deployment
    from yse_ingest.service import Service
    from yse_ingest.watch.sight import Sight

FRESHNESS_S = 0.3
OF_TARGETS = ("stale", "unclear", "disagreement", "lacking", "source", "format")


@pytest.fixture
def service(deployment: Deployment) -> Service:
    """Return one whose targets are late soon; private ones are told by count."""
    return deployment.service(
        YSE_INGEST_CADENCE="0.05",
        YSE_INGEST_FRESHNESS=str(FRESHNESS_S),
        YSE_INGEST_SOURCE="alerce,fink",
        YSE_INGEST_NOTIFY_TO="",
    )


def told(sight: Sight) -> set[str]:
    """Return what is wrong with targets and sources."""
    return {each.key for each in conditions(sight) if each.kind.split("-")[0] in OF_TARGETS}


def everything(service: Service) -> Sight:
    """Look at every target, whatever was noted."""
    service.state.looks.note((), basis="none")
    sight = look(service, service.state)
    service.state.looks.note((), basis=sight.basis)
    return sight


def answer(service: Service, name: str, **noted: object) -> None:
    """Have a source answer now."""
    now_ms = service.state.now_ms()
    given = {"answered_ms": now_ms, "status": "ok", **noted}
    service.state.clocks.record(name, "alerce", asked_ms=now_ms, **given)  # type: ignore[arg-type]
    word = "error" if given["answered_ms"] is None else "ok"
    service.state.source_records.note("alerce", answer=word, condition="ok", reason="")


EVENTS: dict[str, Callable[[Service, str, random.Random], object]] = {
    "answers": lambda service, name, _: answer(service, name),
    "answers soon": lambda service, name, draw: answer(
        service, name, detail={"every_s": draw.choice((0.05, 0.4)), "next_s": draw.random()}
    ),
    "fails": lambda service, name, _: answer(
        service, name, answered_ms=None, status="error", error="it is away"
    ),
    "unclear": lambda service, name, _: answer(service, name, status="ambiguous"),
    "unasked": lambda service, name, _: service.state.clocks.unasked(
        name, "alerce", reason="no place"
    ),
    "works": lambda service, name, _: service.state.clocks.pending(
        name, "alerce", asked_ms=service.state.now_ms()
    ),
    "forgotten": lambda service, name, _: service.state.clocks.forget(name, "alerce"),
    "disagrees": lambda service, name, draw: service.state.choices.put(
        name,
        "ZTF",
        Choice(
            asked=("alerce",),
            passed=draw.choice(({}, {"fink": "lacks the newest"})),
            disagreements=draw.choice(((), ("magnitude of 1",))),
        ),
    ),
    "changed": lambda service, name, draw: service.state.targets.put(
        Target(
            name,
            cadence_s=draw.choice((None, 0.2, "adaptive")),
            freshness_s=draw.choice((None, 0.05, 1.0)),
            overrides=draw.choice(({}, {}, {"groups": ["YSE"]})),
        ),
        origin="adhoc",
    ),
    "new cadence": lambda service, name, draw: service.state.targets.set_cadence(
        name, draw.choice((None, 0.01, 1.0))
    ),
    "paused": lambda service, name, _: service.state.targets.pause(name, "by hand"),
    "resumed": lambda service, name, _: service.state.targets.resume(name),
    "removed": lambda service, name, _: service.state.targets.remove(name),
    "renamed": lambda service, name, _: service.state.targets.rename(name, f"{name}x"),
}


@pytest.mark.parametrize("seed", range(4))
def test_a_look_at_some_finds_what_a_look_at_all_finds(service: Service, seed: int) -> None:
    """Whatever happened to whom; what grows late between two looks may be in one alone."""
    draw = random.Random(seed)
    names = [f"2026aa{letter}" for letter in "abcdefghijkl"]
    for name in names:
        service.state.targets.put(Target(name), origin="adhoc")
    service.watch()
    seen: set[str] = set()
    for _ in range(60):
        for _ in range(draw.randint(0, 3)):
            EVENTS[draw.choice(sorted(EVENTS))](service, draw.choice(names), draw)
        time.sleep(draw.choice((0.0, 0.0, 0.02, 0.1)))
        before = told(everything(service))
        service.watch()
        some = told(look(service, service.state))
        after = told(everything(service))
        assert before & after <= some <= before | after
        seen |= {key.partition(":")[0] for key in some}
    assert "stale" in seen
    assert len(seen) >= 3


def test_who_is_well_is_not_looked_at(deployment: Deployment) -> None:
    """Of many targets that have just answered none is read again before it can be late."""
    service = deployment.service(YSE_INGEST_FRESHNESS="1h")
    names = [f"2026a{number:04}" for number in range(300)]
    service.state.targets.put_many([Target(name) for name in names], origin="adhoc")
    assert len(look(service, service.state).targets) == 300
    service.watch()
    now_ms = service.state.now_ms()
    for name in names:
        service.state.clocks.record(
            name, "mars", asked_ms=now_ms, answered_ms=now_ms, status="ok"
        )
    sight = look(service, service.state)
    assert not sight.targets
    assert sight.followed_count == 300
    looks = service.state.looks.known(names)
    assert now_ms + 2_600_000 < min(looks.values()) < now_ms + 2_900_000
    assert now_ms + 3_400_000 < max(looks.values()) < now_ms + 3_700_000
    # One that fails, one that is changed, one that goes on.
    service.state.clocks.record(
        names[0], "mars", asked_ms=now_ms, status="error", error="it is away"
    )
    service.state.targets.put(Target(names[1], ra=1.0, dec=2.0), origin="adhoc")
    service.state.targets.pause(names[2], "by hand")
    service.watch()
    service.state.targets.resume(names[2])
    seen = {target.name for target in look(service, service.state).targets}
    assert seen == {names[0], names[2]}


def test_what_changes_during_a_look_is_looked_at_again(service: Service) -> None:
    """A target that is changed after it was read keeps its early look."""
    service.state.targets.put(Target("2026abc"), origin="adhoc")
    service.watch()
    answer(service, "2026abc")
    sight = look(service, service.state)
    service.state.targets.put(Target("2026abc", freshness_s=0.01), origin="adhoc")
    later_ms = service.state.now_ms() + 60_000
    known_ms = sight.looks.get("2026abc")
    service.state.looks.note([Look("2026abc", known_ms or 1, later_ms)])
    assert service.state.looks.known(["2026abc"]) == {"2026abc": 0}


def test_other_limits_have_every_target_looked_at(deployment: Deployment) -> None:
    """A shorter freshness in the settings makes targets late that were not."""
    first = deployment.service(YSE_INGEST_FRESHNESS="1h", YSE_INGEST_CADENCE="0.01")
    first.state.targets.put(Target("2026abc"), origin="adhoc")
    first.watch()
    first.state.clocks.record(
        "2026abc",
        "mars",
        asked_ms=first.state.now_ms(),
        answered_ms=first.state.now_ms(),
        status="ok",
    )
    first.watch()
    assert not told(look(first, first.state))
    second = deployment.service(YSE_INGEST_FRESHNESS="0.02", YSE_INGEST_CADENCE="0.01")
    time.sleep(0.1)
    assert told(look(second, second.state)) == {"stale:2026abc"}
    second.watch()
    assert told(look(second, second.state)) == {"stale:2026abc"}


@pytest.mark.parametrize(
    "event",
    ["changed", "disagrees", "fails", "forgotten", "new cadence", "unasked", "unclear"],
)
def test_what_may_make_a_target_late_sooner_has_it_looked_at(
    deployment: Deployment, event: str
) -> None:
    """At the next tick, not when its freshness is over."""
    service = deployment.service(YSE_INGEST_FRESHNESS="1h", YSE_INGEST_SOURCE="alerce,fink")
    service.state.targets.put(Target("2026abc"), origin="adhoc")
    answer(service, "2026abc")
    service.watch()
    assert not look(service, service.state).targets
    EVENTS[event](service, "2026abc", random.Random(4))
    assert [target.name for target in look(service, service.state).targets] == ["2026abc"]


def test_those_that_are_late_for_longest_are_named_and_the_rest_counted(
    deployment: Deployment,
) -> None:
    """So that a service that was away for a day tells what a person can read."""
    service = deployment.service(YSE_INGEST_FRESHNESS="0.01", YSE_INGEST_CADENCE="0.001")
    names = [f"2026a{number:04}" for number in range(STALE_MAX)]
    for some in (names, ["2026zz", "2026zy", "2026zx"]):
        service.state.targets.put_many([Target(name) for name in some], origin="adhoc")
        time.sleep(0.02)
    late = [each for each in conditions(look(service, service.state)) if "stale" in each.kind]
    assert {each.key for each in late} == {f"stale:{name}" for name in names} | {"stale-more"}
    (more,) = (each for each in late if each.key == "stale-more")
    assert more.fact == "3 more targets had no answer within the limit"


def test_what_an_older_version_added_or_removed_is_found(deployment: Deployment) -> None:
    """It knows of no looks: a target without one has all looked at, one too many is dropped."""
    service = deployment.service(YSE_INGEST_FRESHNESS="1h", YSE_INGEST_SOURCE="alerce")
    state = service.state
    state.targets.put_many([Target("2026abc"), Target("2026abd")], origin="adhoc")
    for name in ("2026abc", "2026abd"):
        answer(service, name)
    service.watch()
    assert not look(service, state).targets
    state._connection.call("ZREM", state._keys("watch", "looks"), "2026abd")
    state._connection.call(
        "ZADD", state._keys("watch", "looks"), 10**15, "2026gone", 1, "2026x"
    )
    assert {target.name for target in look(service, state).targets} == {"2026abc", "2026abd"}
    service.watch()
    assert set(state.looks.due()) == {"2026abc", "2026abd"}
    assert not look(service, state).targets
