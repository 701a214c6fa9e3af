"""The outbox against a model of a few lines, under any order of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from yse_ingest.state import Claim, OwedRow, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.state.embedded import EmbeddedRedis

KEYS = st.sampled_from(["1", "2", "name:x"])
RESULTS = st.sampled_from(["done", "later", "settling", "refused"])
LEASE_S = 600.0


class Events(RuleBasedStateMachine):
    """Fetches, claims, uploads, crashes and sweeps in any order."""

    url = ""
    curve: Callable[..., Any]
    runs = 0

    @initialize()
    def connect(self) -> None:
        type(self).runs += 1
        self.state = State.connect(
            self.url, namespace=f"model-{type(self).runs}", decisions=None
        )
        self.owed: dict[str, dict[int, float]] = {}
        self.claims: list[Claim] = []
        self.holder: dict[str, int] = {}
        self.started: dict[int, int] = {}
        self.fences: set[int] = set()
        self.news: set[str] = set()

    @rule(key=KEYS, time_ms=st.integers(1, 4), mag=st.sampled_from([18.0, 19.0]))
    def fetch(self, key: str, time_ms: int, mag: float) -> None:
        known = self.owed.setdefault(key, {})
        changed = self.state.outbox.owe(
            key, self.curve([time_ms], [mag]), target="t", gaps={}, tolerance_ms=1
        )
        assert changed == (known.get(time_ms) != mag)
        if changed and key in self.holder:
            self.news.add(key)
        known[time_ms] = mag

    @rule()
    def fetch_all(self) -> None:
        for key in ("1", "2", "name:x"):
            self.fetch(key, 1, 19.0)
            self.fetch(key, 2, 18.0)

    @rule(cap=st.integers(1, 3))
    def drain(self, cap: int) -> None:
        before = len(self.holder)
        for claim in self.state.outbox.claim(3, lease_s=LEASE_S, cap=cap):
            self._took(claim)
        assert len(self.holder) <= max(before, cap)

    @rule(key=KEYS)
    def fetch_claims(self, key: str) -> None:
        claim = self.state.outbox.claim_key(key, lease_s=LEASE_S, cap=3)
        if claim is not None:
            self._took(claim)

    def _took(self, claim: Claim) -> None:
        assert claim.key not in self.holder
        assert claim.key in self.owed
        assert claim.fence not in self.fences
        self.fences.add(claim.fence)
        self.holder[claim.key] = claim.fence
        self.news.discard(claim.key)
        self.claims.append(claim)

    @rule(pick=st.integers(0, 99), attempt=st.integers(1, 3))
    def start(self, pick: int, attempt: int) -> None:
        if claim := self._any(pick):
            may = self._current(claim) and self.started.get(claim.fence, 0) + 1 == attempt
            assert self.state.outbox.start(*claim, attempt, lease_s=LEASE_S) == may
            if may:
                self.started[claim.fence] = attempt
                self.news.discard(claim.key)

    @rule(pick=st.integers(0, 99))
    def renew(self, pick: int) -> None:
        if claim := self._any(pick):
            assert self.state.outbox.renew(*claim, lease_s=LEASE_S) == self._current(claim)

    @rule(pick=st.integers(0, 99))
    def release(self, pick: int) -> None:
        if claim := self._any(pick):
            may = self._current(claim) and claim.fence not in self.started
            assert self.state.outbox.release(*claim) == may
            if may:
                del self.holder[claim.key]

    @rule(key=KEYS, result=RESULTS, news=st.booleans())
    def upload(self, key: str, result: Any, news: bool) -> None:
        if key not in self.holder:
            self.fetch(key, 1, 19.0)
            self.fetch_claims(key)
        if key in self.holder:
            self.claims.append(Claim(key, self.holder[key]))
            self.start(0, self.started.get(self.holder[key], 0) + 1)
            self.finish(0, result, news)

    @rule(pick=st.integers(0, 99), result=RESULTS, news=st.booleans())
    def finish(self, pick: int, result: Any, news: bool) -> None:
        claim = self._any(pick)
        row = self.state.outbox.owed(claim.key) if claim else None
        if claim is None or row is None:
            return
        if news:
            self.fetch(claim.key, 1, 17.0)
        ended = self.state.outbox.finish(*claim, sent=row, result=result)
        assert ended == self._current(claim)
        if ended:
            del self.holder[claim.key]
            if result != "done":
                again = result == "refused" and claim.key in self.news
                expected = "owed" if result == "later" or again else result
                assert self._row(claim.key).state == expected
            if result == "done":
                self._delivered(claim.key, row)

    def _row(self, key: str) -> OwedRow:
        row = self.state.outbox.owed(key)
        assert row is not None
        return row

    def _delivered(self, key: str, row: OwedRow) -> None:
        points = self.owed[key]
        for _, curve in row.curves:
            for time_ms, mag in zip(curve.time_ms.tolist(), curve.mag.tolist(), strict=True):
                if points.get(time_ms) == mag:
                    del points[time_ms]
        if not points:
            del self.owed[key]

    @rule(key=KEYS)
    def worker_dies(self, key: str) -> None:
        inflight = self.state._keys("outbox", "inflight")
        if key in self.holder:
            self.state._connection.call("ZADD", inflight, "XX", 1, key)
            fence = self.holder.pop(key)
            self.state.outbox.sweep()
            assert self._row(key).state == "settling" or fence not in self.started

    @rule(key=KEYS)
    def person_releases(self, key: str) -> None:
        self.state.outbox.release_refused(key)

    @rule()
    def sweep(self) -> None:
        assert self.state.outbox.sweep() == 0

    def _any(self, pick: int) -> Claim | None:
        """Return the last claim more often than not, else any that ever was."""
        at = -1 if pick < 60 else pick % max(len(self.claims), 1)
        return self.claims[at] if self.claims else None

    def _current(self, claim: Claim) -> bool:
        return self.holder.get(claim.key) == claim.fence

    @invariant()
    def nothing_is_lost_and_each_row_is_in_one_place(self) -> None:
        outbox = self.state.outbox
        rows = {row.key: row for row in outbox.rows(99)}
        assert set(rows) == set(self.owed)
        for key, points in self.owed.items():
            row = self._row(key)
            found = {
                time_ms: mag
                for _, curve in row.curves
                for time_ms, mag in zip(curve.time_ms.tolist(), curve.mag.tolist(), strict=True)
            }
            assert found == points
            assert row.fence == self.holder.get(key)
            assert (rows[key].place == "inflight") == (key in self.holder)
            assert rows[key].place != "nowhere"
            assert rows[key].points == len(points)
        counts = outbox.counts()
        assert counts["due"] + counts["inflight"] + counts["refused"] == len(self.owed)
        assert counts["points"] == sum(map(len, self.owed.values()))

    def teardown(self) -> None:
        self.state.close()


def test_any_order_of_events_keeps_the_outbox_whole(
    server: EmbeddedRedis, curve: Callable[..., Any]
) -> None:
    """What was not delivered stays owed, in one place, with one holder at most."""

    class OnThisServer(Events):
        url = server.url(9)

    OnThisServer.curve = staticmethod(curve)
    run_state_machine_as_test(
        OnThisServer,
        settings=settings(
            max_examples=50,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Shrinking a story of fifty steps takes minutes: add Phase.shrink by hand.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )
