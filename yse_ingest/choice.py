"""Choice: whom to ask for one target, in the operator's order.

Sources of one survey are alternatives. Each round the first of them that works is asked; the
others are asked as a cross-check every `YSE_INGEST_UNION_EVERY`, and fill what it lacks
(`yse_ingest.union`). Sources of different surveys see different things: all are asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from yse_ingest.errors import SettingsError, TargetError
from yse_ingest.ledger import merge_gaps
from yse_ingest.photometry import LightCurve, PointKind
from yse_ingest.sources import SOURCES, ZTF, Status
from yse_ingest.times import iso_of_unix
from yse_ingest.union import Sightings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from yse_ingest.pipeline import Fetched
    from yse_ingest.sources import Answer
    from yse_ingest.state import Choice, Clock
    from yse_ingest.union import Disagreement


UNCLEAR_ELSEWHERE = "not clear at"
"""How the reason begins why nothing is taken of a source that is clear itself."""
LACKS = "lacks the newest"
"""How the reason begins why a source that answers is passed over."""


@dataclass(frozen=True)
class Group:
    """Sources of one survey, in the operator's order."""

    survey: str
    sources: tuple[str, ...]

    @property
    def has_choice(self) -> bool:
        """Tell whether there is another source when one fails."""
        return len(self.sources) > 1

    def speaks(self, choice: Choice | None) -> str:
        """Return the source whose answers hold: the first, where nobody answered yet."""
        speaks = None if choice is None else choice.speaks
        return speaks if speaks in self.sources else self.sources[0]


@dataclass(frozen=True)
class Course:
    """Whom to ask in one round."""

    ask: tuple[str, ...]
    """Now: the first that works, and those whose cross-check is due."""
    spare: tuple[str, ...] = ()
    """One after the other, as long as nobody gave a usable answer."""
    out: Mapping[str, str] = field(default_factory=dict)
    """Who would be asked and cannot be, and why."""


def groups_of(names: Sequence[str]) -> list[Group]:
    """Return the sources by survey, in the order in which each survey is first named."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found.setdefault(_survey_of(name), []).append(name)
    return [Group(survey, tuple(sources)) for survey, sources in found.items()]


def _survey_of(name: str) -> str:
    try:
        capabilities = SOURCES[name].capabilities
    except (KeyError, SettingsError):
        return name  # told when it is asked
    # Files hold what somebody wrote, of whatever survey: nothing else can stand in for them.
    anywhere = capabilities.by_id or capabilities.by_position
    return capabilities.survey.name if anywhere else name


def course(
    order: Sequence[str],
    *,
    out: Callable[[str], str | None],
    lagging: Collection[str],
    due: Collection[str],
) -> Course:
    """Return whom to ask in one round.

    Parameters
    ----------
    order
        The sources of one survey, the first first.
    out
        Tells why a source is not to be asked at all now; None: it may be. It is called only
        for those that would be asked.
    lagging
        Sources whose answers lack what others have: asked last.
    due
        Sources whose cross-check is due.
    """
    ask: list[str] = []
    spare: list[str] = []
    unasked: dict[str, str] = {}
    for name in sorted(order, key=lambda each: each in lagging):
        if ask and name not in due:
            spare.append(name)
        elif (why := out(name)) is not None:
            unasked[name] = why
        else:
            ask.append(name)
    return Course(tuple(sorted(ask, key=order.index)), tuple(spare), unasked)


def outcome(
    order: Sequence[str], usable: Collection[str], reasons: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return who answered, the one whose answer holds first, and who was passed over for it.

    Parameters
    ----------
    order
        The sources of one survey, the first first.
    usable
        Who gave usable answers.
    reasons
        Why a source was not asked, gave no usable answer, or lacks what others have.
    """
    answered = sorted(usable, key=lambda each: (each in reasons, order.index(each)))
    ahead = order[: order.index(answered[0])] if answered else order
    passed = {name: reasons[name] for name in ahead if name in reasons}
    return tuple(answered), passed


def is_usable(answer: Answer) -> bool:
    """Tell whether nobody else need be asked: the target is known there, or is worked on."""
    if answer.error is not None or answer.status is Status.UNKNOWN:
        return False
    # Nothing, of everything that it has; or rows, none of which can be read.
    return not (answer.status is Status.EMPTY and (answer.full or answer.refused))


def seen_with(
    known: Sightings, fetched: Fetched, group: Group, *, now_ms: int = 0
) -> Sightings:
    """Return what all sources of a survey reported, after one more answer.

    Parameters
    ----------
    known
        What they reported before.
    fetched
        The answer.
    group
        The sources: rows of others are forgotten.
    now_ms
        The time [Unix ms].
    """
    answer = fetched.answer
    known = known.by(group.sources)
    if answer.status not in {Status.OK, Status.EMPTY}:
        return known
    told = Sightings.of(
        fetched.source,
        answer.alerts,
        answer.forced,
        answer.limits,
        band_map=fetched.rules.band_map,
    )
    return known.with_answer(
        told,
        source=fetched.source,
        full=answer.full,
        now_ms=now_ms,
        tolerance_ms=fetched.tolerance_ms,
        alerts_of_ztf=group.survey == ZTF.name,
    )


def part_of(known: Sightings, fetched: Fetched, group: Group) -> LightCurve:
    """Return the exposures of an answer for which its rows stand.

    Upper limits that another source's first detection precedes are left out: only what lies
    before the first detection known is wanted.
    """
    curve = known.part_of(fetched.curve, fetched.source, group.sources)
    first_ms = known.first_ms
    if first_ms is None:
        return curve
    return curve.take((curve.kind != PointKind.LIMIT) | (curve.time_ms < first_ms))


def check_readers(answers: Sequence[Fetched]) -> None:
    """Refuse answers that are for different groups: one light curve has one set of readers.

    Raises
    ------
    TargetError
        When they are.
    """
    if len({each.rules.groups for each in answers}) > 1:
        raise TargetError(
            f"{' and '.join(each.source for each in answers)} are for different groups, "
            "and what they have is sent together",
            service="targets",
            target=answers[0].target.name,
            field="groups",
            remedy="Take one source at a time (--source), or give them the same groups.",
        )


def union_of(
    answers: Sequence[Fetched], group: Group
) -> tuple[Fetched, tuple[Disagreement, ...]]:
    """Return what several sources of a survey say of one target as one light curve.

    It is the first answer with photometry, with the exposures of all of them, each once, and
    with it come the disagreements. Where it is not clear at one of them which object is meant,
    that is the answer. `yse_ingest.fetch.Fetch` does the same over several rounds.

    Parameters
    ----------
    answers
        Full answers, at least one, without an error.
    group
        The sources in their order.
    """
    best = min(answers, key=lambda each: _standing(each.answer))
    sightings = Sightings.empty()
    for each in answers:
        sightings = seen_with(sightings, each, group)
    parts = [
        part_of(sightings, each, group) for each in answers if each.answer.status is Status.OK
    ]
    if len(answers) == 1 or best.answer.status is not Status.OK:
        return best, ()
    gaps: Mapping[str, int] = {}
    for each in answers:
        gaps = merge_gaps(gaps, each.gaps)
    curve = replace(LightCurve.concatenate(parts), source=best.source).by_time()
    union = replace(best, curve=curve, gaps=gaps)
    return union, tuple(sightings.disagreements(group.sources))


def shares_of(answers: Sequence[Fetched], group: Group) -> dict[str, int]:
    """Return for how many exposures of the union the rows of each source stand."""
    sightings = Sightings.empty()
    for each in answers:
        sightings = seen_with(sightings, each, group)
    return {
        each.source: len(part_of(sightings, each, group))
        for each in answers
        if each.answer.status is Status.OK
    }


def _standing(answer: Answer) -> int:
    """Return which of several answers is told; the lowest is."""
    first = {Status.AMBIGUOUS: 0, Status.OK: 1}
    return first.get(answer.status, 2 if is_usable(answer) else 3)


def due_for_check(
    order: Sequence[str], clocks: Mapping[str, Clock], *, now_ms: int, every_s: float
) -> set[str]:
    """Return the sources that were not asked for so long, or never, or are not clear."""
    asked = {name: clocks[name].asked_ms if name in clocks else None for name in order}
    return {
        name
        for name, asked_ms in asked.items()
        if asked_ms is None
        or now_ms - asked_ms >= 1000 * every_s
        or clocks[name].status == Status.AMBIGUOUS
    }


def unclear_at(order: Sequence[str], source: str, clocks: Mapping[str, Clock]) -> str | None:
    """Return what another source says against taking this one's object; None: nothing.

    Where one sees several objects that could be meant, nothing is taken from any of them.
    """
    for name in order:
        clock = clocks.get(name)
        if name == source or clock is None or clock.status != Status.AMBIGUOUS:
            continue
        reason = str(clock.detail.get("reason") or "")
        if not reason.startswith(UNCLEAR_ELSEWHERE):
            return f"{UNCLEAR_ELSEWHERE} {name}: {reason}"
    return None


def lagging(
    order: Sequence[str],
    sightings: Sightings,
    clocks: Mapping[str, Clock],
    *,
    silent_after_s: float,
) -> dict[str, str]:
    """Return the sources that are silent while another has news, with the reason.

    A source is silent for a target when it lacks exposures that another one has, later than
    everything that it has itself, and still does so long after the other reported them.
    """
    found = {}
    for name, answered_ms in _answered(order, clocks):
        count = sightings.lacking(name, before_ms=answered_ms - 1000 * silent_after_s)
        if count:
            plural = "" if count == 1 else "s"
            found[name] = f"{LACKS} {count} exposure{plural} of others"
    return found


def known_objects(
    order: Sequence[str], source: str, clocks: Mapping[str, Clock]
) -> tuple[str, ...]:
    """Return the object ids that a source accepted, else those of the first that did."""
    for name in (source, *order):
        clock = clocks.get(name)
        if clock is not None and (found := clock.detail.get("object_ids")):
            return tuple(found)
    return ()


def first_ms(order: Sequence[str], clocks: Mapping[str, Clock]) -> int | None:
    """Return the earliest detection that any of these sources knows, Unix time [ms]."""
    known = [clocks[name].detail.get("first_ms") for name in order if name in clocks]
    return min((each for each in known if each is not None), default=None)


def _answered(order: Iterable[str], clocks: Mapping[str, Clock]) -> Iterator[tuple[str, int]]:
    for name in order:
        clock = clocks.get(name)
        if clock is not None and clock.answered_ms is not None:
            yield name, clock.answered_ms


def down_since(since_ms: int | None, reason: str) -> str:
    """Return why a source that does not answer is passed over."""
    since = f" since {iso_of_unix(since_ms / 1000)}" if since_ms else ""
    return f"is down{since}{f': {reason}' if reason else ''}"
