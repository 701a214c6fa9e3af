"""Health: everything that is stale now, for a monitoring system; Redis may be dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import StateError
from yse_ingest.state import State
from yse_ingest.times import iso_of_unix
from yse_ingest.watch.bounded import within
from yse_ingest.watch.condition import Condition
from yse_ingest.watch.conditions import conditions
from yse_ingest.watch.secrets import blanked
from yse_ingest.watch.sight import look
from yse_ingest.watch.words import counted, lasting

if TYPE_CHECKING:
    from yse_ingest.clients import Clients
    from yse_ingest.settings import Settings
    from yse_ingest.watch.sight import Sight

LINES_PER_KIND = 10
SUMMARY_LENGTH = 160


@dataclass(frozen=True)
class Health:
    """What a look at the service found."""

    summary: str
    failures: tuple[Condition, ...]
    """What has lasted longer than it may and does not follow from another one."""
    hidden: int
    """Failures that follow from those."""
    now_ms: int | None
    """Time of Redis [Unix ms]; None: it was not reached."""

    @property
    def is_well(self) -> bool:
        """Tell whether nothing is stale."""
        return not self.failures

    @property
    def lines(self) -> list[str]:
        """Return the summary, then one line for each failure, of one kind no more than ten."""
        lines, shown = [self.summary], dict[str, int]()
        for failure in self.failures:
            shown[failure.kind] = shown.get(failure.kind, 0) + 1
            if shown[failure.kind] <= LINES_PER_KIND:
                lines.append(" ".join(str(failure).split()))
        lines += [
            f"{kind}: and {count - LINES_PER_KIND} more"
            for kind, count in shown.items()
            if count > LINES_PER_KIND
        ]
        if self.hidden:
            lines.append(f"{counted(self.hidden, 'failure')} more follow from these")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "healthy": self.is_well,
            "summary": self.summary,
            "now": _iso(self.now_ms),
            "failures": [
                {
                    "key": failure.key,
                    "fact": failure.fact,
                    "since": _iso(failure.since_ms),
                    "limit_s": failure.limit_s,
                    "safe": failure.safe,
                    "remedy": failure.remedy,
                }
                for failure in self.failures
            ],
            "hidden": self.hidden,
        }


def examine(clients: Clients, *, timeout_s: float) -> Health:
    """Look at everything, writing nothing; it ends within ``timeout_s`` [s].

    An unreachable Redis is a finding like any other.
    """
    settings = clients.settings
    try:
        sight, found = within(
            timeout_s, lambda: _look(clients, timeout_s=timeout_s), what="looking at the state"
        )
    except StateError as error:
        return _dark(settings, error.fact, error.remedy or "Run `yse-ingest doctor`.")
    except TimeoutError as error:
        return _dark(settings, str(error), "See whether Redis is up, and the way to it.")
    due = [each for each in found if each.failure and each.is_due(sight.now_ms)]
    failures = tuple(each for each in due if not each.explained)
    return Health(
        summary=blanked(_summary(sight, failures), settings.environment),
        failures=failures,
        hidden=len(due) - len(failures),
        now_ms=sight.now_ms,
    )


def _look(clients: Clients, *, timeout_s: float) -> tuple[Sight, list[Condition]]:
    settings = clients.settings
    state = State.look_at(
        settings.service_state_url, namespace=settings.namespace, timeout_s=timeout_s
    )
    with state:
        sight = look(clients, state)
        return sight, conditions(sight)


def _dark(settings: Settings, fact: str, remedy: str) -> Health:
    found = Condition("redis", blanked(fact, settings.environment), remedy=remedy)
    return Health(_failing((found,)), (found,), hidden=0, now_ms=None)


def _summary(sight: Sight, failures: tuple[Condition, ...]) -> str:
    if failures:
        return _failing(failures)
    owed = counted(sight.owed.points, "point")
    limit = lasting(sight.settings.limit_heartbeat_s)
    followed = counted(sight.followed_count, "target")
    return f"OK: {followed} followed, {owed} owed; beat and all workers at work within {limit}"


def _failing(failures: tuple[Condition, ...]) -> str:
    first = " ".join(failures[0].fact.split())
    if len(first) > SUMMARY_LENGTH:
        first = first[: SUMMARY_LENGTH - 3] + "..."
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    return f"FAILING: {first}{more}"


def _iso(time_ms: int | None) -> str | None:
    return iso_of_unix(time_ms / 1000) if time_ms else None
