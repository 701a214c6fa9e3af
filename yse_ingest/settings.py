"""Settings: read once from a mapping, checked, and passed on as a value.

Every field of `Settings` is one setting; its metadata names the environment variable, the unit
and what it does, and ``docs/settings.md`` is printed from it. Secrets are read where they are
used and never stand in a ``repr``.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from yse_ingest.cadence import MAX_S, MIN_S
from yse_ingest.errors import SettingsError
from yse_ingest.limits import Hours, Limits
from yse_ingest.meter import parse_rates
from yse_ingest.redaction import forms, secrets_of
from yse_ingest.sources import SOURCES, rate_variable
from yse_ingest.sources.setup import Setup
from yse_ingest.sources.tns import RATE, Tns, bot_of
from yse_ingest.targets import Cadence, Rules, parse_cadence, source_names
from yse_ingest.times import parse_duration
from yse_ingest.ysepz import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE_MAX_S = 15.0
"""Longest wait for a turn to ask YSE-PZ [s]."""
DEFAULT_BROKER_URL = "redis://127.0.0.1:6379/0"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(value: str) -> str:
    return value


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(value: str) -> Any:
        return None if value.lower() in {"", "none", "null"} else parse(value)

    return parsed


def _positive(value: str) -> float:
    number = float(value)
    if not 0.0 < number < math.inf:
        raise ValueError("write a number above 0")
    return number


def _score(value: str) -> float:
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError("write a number from 0 to 1")
    return number


def _share(value: str) -> float:
    number, percent, rest = value.partition("%")
    share = float(number) / 100 if percent else float(number)
    if rest or not 0.0 <= share < math.inf:
        raise ValueError("write a share, as in 10% or 0.1")
    if share > 1 and not percent:
        raise ValueError("write what is more than all as percent, as in 150%")
    return share


def _hours(value: str) -> tuple[Hours, ...]:
    found = []
    for part in filter(None, map(str.strip, value.split(","))):
        times, equals, share = part.partition("=")
        begin, dash, end = times.partition("-")
        if not equals or not dash:
            raise ValueError("write hours UTC and their share, as in 22-6=50%,12:30-13=0")
        found.append(Hours(_minute(begin), _minute(end), _share(share)))
    return tuple(found)


def _minute(value: str) -> int:
    hour, _, minute = value.strip().partition(":")
    if not (0 <= int(hour) <= 24 and 0 <= int(minute or 0) < 60):
        raise ValueError("write times of the day as 22 or 22:30")
    return (60 * int(hour) + int(minute or 0)) % 1440


def _flag(value: str) -> bool:
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    if value.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("write true or false")


def _one_of(*choices: str) -> Callable[[str], str]:
    def parsed(value: str) -> str:
        if value not in choices:
            raise ValueError(f"write one of {', '.join(choices)}")
        return value

    return parsed


def _sources(value: str) -> str:
    names = source_names(value)
    if not names or not set(names) <= set(SOURCES):
        raise ValueError(f"write one of {', '.join(SOURCES)}, or several parted by commas")
    return ",".join(names)


def _band_map(value: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in value.split(",")]
    if not all(letter.strip() and name.strip() for letter, _, name in pairs):
        raise ValueError("write letter=name pairs, as in g=g-ZTF,r=r-ZTF")
    return {letter.strip(): name.strip() for letter, _, name in pairs}


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _setting(
    env: str,
    parse: Callable[[str], Any],
    default: Any,
    doc: str,
    *,
    unit: str = "",
) -> Any:
    metadata = {"env": env, "parse": parse, "doc": doc, "unit": unit}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    # A Redis URL may hold a password.
    return field(
        default=default, metadata=metadata, repr=not env.endswith(("BROKER_URL", "STATE_URL"))
    )


_RULES = Rules()
_UNVERIFIED = re.compile(
    r"[?&](ssl_cert_reqs=(?!(?:CERT_)?required)|ssl_check_hostname=[f0n])", re.IGNORECASE
)


def refuse_unverified_tls(name: str, url: str | None) -> None:
    """Refuse a URL of Redis that asks for TLS with whoever answers.

    Raises
    ------
    SettingsError
        Naming the variable; the URL is not repeated, it may hold a password.
    """
    if url and (found := _UNVERIFIED.search(url)):
        raise SettingsError(
            f"{name} switches the verification of certificates off ({found[1].split('=')[0]})",
            service="settings",
            remedy="Name your authority's file instead: rediss://...?ssl_ca_certs=/path/ca.pem.",
        )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one deployment; `from_env` reads them."""

    ysepz_url: str | None = _setting(
        "YSE_PZ_URL", _optional(_text), None, "Address of your YSE-PZ."
    )
    connect_timeout_s: float = _setting(
        "YSE_PZ_CONNECT_TIMEOUT",
        parse_duration,
        5.0,
        "Longest wait for a connection to YSE-PZ.",
        unit="s",
    )
    read_timeout_s: float = _setting(
        "YSE_PZ_READ_TIMEOUT",
        parse_duration,
        65.0,
        "Longest wait for an answer of YSE-PZ (its web server gives up after 60 s).",
        unit="s",
    )
    request_limit_s: float = _setting(
        "YSE_PZ_REQUEST_LIMIT",
        parse_duration,
        30.0,
        "After this YSE-PZ has surely ended a request (gunicorn's worker limit).",
        unit="s",
    )
    in_flight: int = _setting(
        "YSE_PZ_IN_FLIGHT",
        int,
        2,
        "Most requests to YSE-PZ under way at once, reads too, on all hosts together.",
    )
    budget_share: float = _setting(
        "YSE_INGEST_BUDGET",
        _share,
        0.1,
        "Share of a sliding hour that YSE-PZ may work for us, as 10% or 0.1.",
    )
    budget_hours: tuple[Hours, ...] = _setting(
        "YSE_INGEST_BUDGET_HOURS",
        _hours,
        (),
        "Other shares at certain hours UTC, as in 22-6=50%,12:30-13=0.",
    )
    audit_share: float = _setting(
        "YSE_INGEST_AUDIT_SHARE",
        _share,
        0.01,
        "What audits may take of YSE-PZ's time, as 1% or 0.01.",
    )
    budget_window_s: float = _setting(
        "YSE_INGEST_BUDGET_WINDOW",
        parse_duration,
        3600.0,
        "The sliding hour of the budget.",
        unit="s",
    )
    breaker_failures: int = _setting(
        "YSE_INGEST_BREAKER_FAILURES",
        int,
        5,
        "Failures in a row after which YSE-PZ, or a source, is only probed.",
    )
    bulk_query: str | None = _setting(
        "YSE_INGEST_BULK_QUERY",
        _optional(_text),
        None,
        "Title of the saved query for bulk read-back (docs/sql-explorer.md); unset: none.",
    )
    source: str | None = _setting(
        "YSE_INGEST_SOURCE",
        _optional(_sources),
        None,
        "Default source, or several in order; unset: mars where MARS_URL is set, else alerce.",
    )
    follow_every_s: float = _setting(
        "YSE_INGEST_FOLLOW_EVERY",
        parse_duration,
        1800.0,
        "How often YSE-PZ is asked which transients `[follow]` means.",
        unit="s",
    )
    union_every_s: float = _setting(
        "YSE_INGEST_UNION_EVERY",
        parse_duration,
        86400.0,
        "How often the other sources of a survey are asked too, as a cross-check.",
        unit="s",
    )
    silent_after_s: float = _setting(
        "YSE_INGEST_SILENT_AFTER",
        parse_duration,
        43200.0,
        "A source that still lacks what another reported so long ago is passed over.",
        unit="s",
    )
    source_connect_timeout_s: float = _setting(
        "YSE_INGEST_SOURCE_CONNECT_TIMEOUT",
        parse_duration,
        5.0,
        "Longest wait for a connection to a source.",
        unit="s",
    )
    source_get_timeout_s: float = _setting(
        "YSE_INGEST_SOURCE_GET_TIMEOUT",
        parse_duration,
        20.0,
        "Longest wait for the answer to a GET of a source.",
        unit="s",
    )
    source_post_timeout_s: float = _setting(
        "YSE_INGEST_SOURCE_POST_TIMEOUT",
        parse_duration,
        65.0,
        "Longest wait for the answer to a POST of a source (many targets).",
        unit="s",
    )
    source_patience_s: float = _setting(
        "YSE_INGEST_SOURCE_PATIENCE",
        parse_duration,
        1800.0,
        "How long `push` and `fetch` wait for a source that works on a question (ATLAS).",
        unit="s",
    )
    broker_url: str = _setting(
        "CELERY_BROKER_URL", _text, DEFAULT_BROKER_URL, "Redis of the Celery queues."
    )
    state_url: str | None = _setting(
        "YSE_INGEST_STATE_URL",
        _optional(_text),
        None,
        "Redis of the state; unset: the broker's, database 1 more (services), or none (push).",
    )
    namespace: str = _setting(
        "YSE_INGEST_NAMESPACE",
        _text,
        "yse_ingest",
        "Prefix of every key: one per YSE-PZ on one Redis.",
    )
    targets_file: Path | None = _setting(
        "YSE_INGEST_TARGETS", _optional(Path), None, "File of targets (TOML, CSV or ECSV)."
    )
    state_dir: Path = _setting(
        "YSE_INGEST_STATE_DIR",
        Path,
        Path("var"),
        "Folder of what must survive: decisions, beat's schedule, locks, embedded Redis.",
    )
    cadence_s: Cadence = _setting(
        "YSE_INGEST_CADENCE",
        parse_cadence,
        1800.0,
        "How often a target is asked, or adaptive (docs/cadence.md).",
        unit="s",
    )
    cadence_min_s: float = _setting(
        "YSE_INGEST_CADENCE_MIN",
        parse_duration,
        MIN_S,
        "An adaptive cadence is no shorter.",
        unit="s",
    )
    cadence_max_s: float = _setting(
        "YSE_INGEST_CADENCE_MAX",
        parse_duration,
        MAX_S,
        "An adaptive cadence is no longer, but for the day.",
        unit="s",
    )
    fetch_queue_max: int = _setting(
        "YSE_INGEST_FETCH_QUEUE",
        int,
        200,
        "Most messages in the fetch queue; while it is full no target is claimed.",
    )
    overlap_s: float = _setting(
        "YSE_INGEST_OVERLAP",
        parse_duration,
        3 * 86400.0,
        "How far an incremental question reaches back: alerts may arrive late.",
        unit="s",
    )
    freshness_s: float = _setting(
        "YSE_INGEST_FRESHNESS",
        parse_duration,
        6 * 3600.0,
        "A target is stale without an answer for so long (and at least 3 cadences).",
        unit="s",
    )
    full_read_s: float = _setting(
        "YSE_INGEST_FULL_READ",
        parse_duration,
        7 * 86400.0,
        "How often a whole light curve is read again.",
        unit="s",
    )
    batch_size: int = _setting(
        "YSE_INGEST_BATCH", int, 25, "Most targets in one fetch message (1 to 50)."
    )
    lease_s: float = _setting(
        "YSE_INGEST_LEASE",
        parse_duration,
        90.0,
        "Lease of a transient while it is uploaded.",
        unit="s",
    )
    settle_gap_s: float = _setting(
        "YSE_INGEST_SETTLE_GAP",
        parse_duration,
        2.0,
        "Between the two equal read-backs that end an unclear outcome.",
        unit="s",
    )
    message_s: float = _setting(
        "YSE_INGEST_MESSAGE_LIMIT",
        parse_duration,
        240.0,
        "Longest that one fetch or upload message is worked on.",
        unit="s",
    )
    visibility_s: float = _setting(
        "YSE_INGEST_VISIBILITY",
        parse_duration,
        300.0,
        "When Celery hands the message of a dead worker to another.",
        unit="s",
    )
    retry_wait_max_s: float = _setting(
        "YSE_INGEST_RETRY_WAIT_MAX",
        parse_duration,
        60.0,
        "Longest wait between Celery's own retries of an upload.",
        unit="s",
    )
    retries: int = _setting(
        "YSE_INGEST_RETRIES", int, 3, "Celery's own retries before the outbox takes over."
    )
    retry_wait_s: float = _setting(
        "YSE_INGEST_RETRY_WAIT", parse_duration, 5.0, "Wait before the first retry.", unit="s"
    )
    owed_wait_s: float = _setting(
        "YSE_INGEST_OWED_WAIT",
        parse_duration,
        30.0,
        "First wait of an upload that YSE-PZ could not take; it doubles.",
        unit="s",
    )
    owed_wait_max_s: float = _setting(
        "YSE_INGEST_OWED_WAIT_MAX",
        parse_duration,
        1800.0,
        "Longest wait of an upload that YSE-PZ could not take.",
        unit="s",
    )
    refused_wait_s: float = _setting(
        "YSE_INGEST_REFUSED_WAIT",
        parse_duration,
        3600.0,
        "When a refused upload or point is tried again: what was wrong may have been mended.",
        unit="s",
    )
    probe_wait_s: float = _setting(
        "YSE_INGEST_PROBE_WAIT",
        parse_duration,
        5.0,
        "Wait before the first probe of a YSE-PZ, or a source, that is down; it doubles.",
        unit="s",
    )
    probe_wait_max_s: float = _setting(
        "YSE_INGEST_PROBE_WAIT_MAX",
        parse_duration,
        300.0,
        "Longest wait between two probes of what is down.",
        unit="s",
    )
    ask_again_s: float = _setting(
        "YSE_INGEST_ASK_AGAIN",
        parse_duration,
        60.0,
        "When a target is asked about again after a failure that may pass.",
        unit="s",
    )
    fetch_lost_s: float = _setting(
        "YSE_INGEST_FETCH_LOST",
        parse_duration,
        600.0,
        "After this a fetch that nobody has heard of is taken for lost.",
        unit="s",
    )
    uploads_in_flight: int = _setting(
        "YSE_INGEST_UPLOADS", int, 2, "Most transients uploaded at once, on all hosts together."
    )
    request_seconds_max: float = _setting(
        "YSE_INGEST_REQUEST_SECONDS",
        parse_duration,
        10.0,
        "Requests are cut so that YSE-PZ is busy no longer than this with one.",
        unit="s",
    )
    request_bytes_max: int = _setting(
        "YSE_INGEST_REQUEST_BYTES", int, 900_000, "Largest request.", unit="byte"
    )
    audit_age_s: float = _setting(
        "YSE_INGEST_AUDIT_AGE",
        parse_duration,
        7 * 86400.0,
        "A transient's proof is renewed when it is this old: it is read back and compared.",
        unit="s",
    )
    log_format: str = _setting(
        "YSE_INGEST_LOG", _one_of("text", "json"), "text", "Log lines as text or as JSON."
    )
    log_level: str = _setting(
        "YSE_INGEST_LOG_LEVEL",
        _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        "INFO",
        "Least severity that is logged.",
    )
    instrument: str = _setting(
        "YSE_INGEST_INSTRUMENT", _text, _RULES.instrument, "YSE-PZ's name of the instrument."
    )
    obs_group: str = _setting(
        "YSE_INGEST_OBS_GROUP",
        _text,
        _RULES.obs_group,
        "YSE-PZ's name of the observing group of the photometry.",
    )
    groups: tuple[str, ...] = _setting(
        "YSE_INGEST_GROUPS",
        _names,
        _RULES.groups,
        "Groups that alone may see the photometry; empty: everybody.",
    )
    band_map: Mapping[str, str] = _setting(
        "YSE_INGEST_BAND_MAP",
        _band_map,
        dict(_RULES.band_map),
        "The source's band to YSE-PZ's, as in g=g-ZTF,r=r-ZTF.",
    )
    cone_radius_arcsec: float = _setting(
        "YSE_INGEST_CONE_RADIUS",
        _positive,
        _RULES.cone_radius_arcsec,
        "Where the source is asked to look.",
        unit="arcsec",
    )
    match_radius_arcsec: float = _setting(
        "YSE_INGEST_MATCH_RADIUS",
        _positive,
        _RULES.match_radius_arcsec,
        "What is kept: rows this close to the target.",
        unit="arcsec",
    )
    mjdmatchmin: float | None = _setting(
        "YSE_INGEST_MJDMATCHMIN",
        _optional(_positive),
        None,
        "Match window; unset: computed per band.",
        unit="d",
    )
    clobber: bool = _setting(
        "YSE_INGEST_CLOBBER",
        _flag,
        default=False,
        doc="Let YSE-PZ overwrite what lies in the window (drops quality flags).",
    )
    flux_zero_point: float | None = _setting(
        "YSE_INGEST_FLUX",
        _optional(float),
        _RULES.flux_zero_point,
        "Zero point of the fluxes sent; null: send none.",
        unit="mag",
    )
    negatives: str = _setting(
        "YSE_INGEST_NEGATIVES",
        _one_of("drop", "flux"),
        _RULES.negatives,
        "Negative subtractions: drop, or flux (signed flux, no magnitude).",
    )
    data_quality: str | None = _setting(
        "YSE_INGEST_DATA_QUALITY",
        _optional(_text),
        None,
        "YSE-PZ's quality flag on every point sent; unset: good.",
    )
    forced: bool = _setting(
        "YSE_INGEST_FORCED",
        _flag,
        default=_RULES.forced,
        doc="Take forced photometry too, where a source has detections as well.",
    )
    upper_limits: str = _setting(
        "YSE_INGEST_UPPER_LIMITS",
        _one_of("none", "before"),
        _RULES.upper_limits,
        "Upper limits: none, or before (the first detection). See docs/sources.md first.",
    )
    limits_before_days: float = _setting(
        "YSE_INGEST_LIMITS_BEFORE",
        _positive,
        _RULES.limits_before_days,
        "How long before the first detection upper limits are taken.",
        unit="d",
    )
    min_rb: float = _setting(
        "YSE_INGEST_MIN_RB",
        _score,
        _RULES.min_rb,
        "Least real-bogus score (rb) of a ZTF detection; 0: no cut.",
    )
    min_drb: float = _setting(
        "YSE_INGEST_MIN_DRB",
        _score,
        _RULES.min_drb,
        "Least deep-learning score (drb) of a ZTF detection; 0: no cut.",
    )
    min_reliability: float = _setting(
        "YSE_INGEST_MIN_RELIABILITY",
        _score,
        _RULES.min_reliability,
        "Least reliability of an LSST detection; 0: no cut.",
    )
    missing_score: str = _setting(
        "YSE_INGEST_MISSING_SCORE",
        _one_of("keep", "drop"),
        _RULES.missing_score,
        "A detection without a score for which there is a cut: keep, or drop.",
    )
    procstatus: tuple[str, ...] = _setting(
        "YSE_INGEST_PROCSTATUS",
        _names,
        _RULES.procstatus,
        "Codes of ZTF's forced photometry that are kept, as in 0,56; empty: all.",
    )
    atlas_cleaning: bool = _setting(
        "YSE_INGEST_ATLAS_CLEANING",
        _flag,
        default=_RULES.atlas_cleaning,
        doc="Apply the cuts that ATLAS recommends for its forced photometry.",
    )
    limit_heartbeat_s: float = _setting(
        "YSE_INGEST_LIMIT_HEARTBEAT",
        parse_duration,
        300.0,
        "Beat, a queue's workers or a tick's work are silent after this.",
        unit="s",
    )
    limit_source_s: float = _setting(
        "YSE_INGEST_LIMIT_SOURCE",
        parse_duration,
        3600.0,
        "A source that answers nothing is silent after this.",
        unit="s",
    )
    limit_ysepz_s: float = _setting(
        "YSE_INGEST_LIMIT_YSE_PZ",
        parse_duration,
        900.0,
        "YSE-PZ is away after this without an answer.",
        unit="s",
    )
    limit_owed_s: float = _setting(
        "YSE_INGEST_LIMIT_OWED",
        parse_duration,
        6 * 3600.0,
        "A point may be owed for so long.",
        unit="s",
    )
    notify_to: tuple[str, ...] = _setting(
        "YSE_INGEST_NOTIFY_TO", _names, (), "E-mail addresses that are told; empty: no e-mail."
    )
    notify_from: str | None = _setting(
        "YSE_INGEST_NOTIFY_FROM",
        _optional(_text),
        None,
        "Sender of the e-mails; unset: the first receiver.",
    )
    notify_command: str | None = _setting(
        "YSE_INGEST_NOTIFY_COMMAND",
        _optional(_text),
        None,
        "Command that is given each message on its standard input.",
    )
    notify_format: str = _setting(
        "YSE_INGEST_NOTIFY_FORMAT",
        _one_of("text", "json"),
        "text",
        "What that command is given.",
    )
    notify_after_s: float = _setting(
        "YSE_INGEST_NOTIFY_AFTER",
        parse_duration,
        120.0,
        "A condition must hold, or be over, for so long before it is told.",
        unit="s",
    )
    notify_per_hour: int = _setting(
        "YSE_INGEST_NOTIFY_PER_HOUR",
        int,
        6,
        "Most messages an hour; what came meanwhile stands in the next one.",
    )
    notify_timeout_s: float = _setting(
        "YSE_INGEST_NOTIFY_TIMEOUT",
        parse_duration,
        20.0,
        "Longest that sending one message may take; then it is tried again later.",
        unit="s",
    )
    notify_retry_s: float = _setting(
        "YSE_INGEST_NOTIFY_RETRY",
        parse_duration,
        60.0,
        "Wait before a message is tried again; it doubles, up to 30 times this.",
        unit="s",
    )
    smtp_host: str = _setting(
        "YSE_INGEST_SMTP_HOST", _text, "127.0.0.1", "Mail server of the e-mails."
    )
    smtp_port: int | None = _setting(
        "YSE_INGEST_SMTP_PORT",
        _optional(int),
        None,
        "Its port; unset: 587 (starttls), 465 (ssl), 25 (none).",
    )
    smtp_security: str = _setting(
        "YSE_INGEST_SMTP_SECURITY",
        _one_of("starttls", "ssl", "none"),
        "starttls",
        "How the way to it is encrypted; none: only for a server on this host.",
    )
    smtp_username: str | None = _setting(
        "YSE_INGEST_SMTP_USERNAME", _optional(_text), None, "User name at the mail server."
    )
    shadow: bool = _setting(
        "YSE_INGEST_SHADOW",
        _flag,
        default=False,
        doc="Everything runs and nothing is written to YSE-PZ: what would be sent is recorded.",
    )
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where secrets, and the options of the sources, are looked up when they are needed."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from a mapping, the process environment by default.

        Raises
        ------
        SettingsError
            Naming the variable, its value and what it takes.
        """
        env = os.environ if env is None else env
        values: dict[str, Any] = {"environment": dict(env)}
        for item in fields(cls):
            name = item.metadata.get("env")
            if name is None or name not in env:
                continue
            try:
                values[item.name] = item.metadata["parse"](env[name].strip())
            except ValueError as error:
                raise SettingsError(
                    f"{name} is not usable",
                    service="settings",
                    field=name,
                    value=env[name],
                    remedy=f"{item.metadata['doc']} {_sentence(str(error))}.",
                ) from error
        settings = cls(**values)
        settings.check()
        return settings

    def check(self) -> None:
        """Refuse a set of times that cannot keep its promises.

        Raises
        ------
        SettingsError
            When a lease could end during its own request, or a message be redelivered while
            it is still worked on or waits for its retry.
        """
        request = self.connect_timeout_s + self.read_timeout_s
        if self.lease_s <= request:
            raise self._unfit(
                "YSE_INGEST_LEASE",
                self.lease_s,
                f"it must exceed YSE_PZ_CONNECT_TIMEOUT + YSE_PZ_READ_TIMEOUT = {request:g} s",
            )
        if self.visibility_s <= self.message_s:
            raise self._unfit(
                "YSE_INGEST_VISIBILITY",
                self.visibility_s,
                f"it must exceed YSE_INGEST_MESSAGE_LIMIT = {self.message_s:g} s",
            )
        if self.message_s <= self.source_get_timeout_s:
            raise self._unfit(
                "YSE_INGEST_MESSAGE_LIMIT",
                self.message_s,
                "it must exceed YSE_INGEST_SOURCE_GET_TIMEOUT = "
                f"{self.source_get_timeout_s:g} s",
            )
        if self.visibility_s < 4 * self.retry_wait_max_s:
            raise self._unfit(
                "YSE_INGEST_VISIBILITY",
                self.visibility_s,
                "it must be at least 4 x YSE_INGEST_RETRY_WAIT_MAX = "
                f"{4 * self.retry_wait_max_s:g} s",
            )
        self._check_schedule()
        if self.in_flight < 1:
            raise self._unfit("YSE_PZ_IN_FLIGHT", self.in_flight, "it must be at least 1")
        if self.notify_per_hour < 1:
            raise self._unfit(
                "YSE_INGEST_NOTIFY_PER_HOUR", self.notify_per_hour, "it must be at least 1"
            )
        if not 1 <= self.batch_size <= 50:
            raise self._unfit("YSE_INGEST_BATCH", self.batch_size, "it must be 1 to 50")
        if self.rules.contradiction is not None:
            raise SettingsError(
                "YSE_INGEST_NEGATIVES is unfit",
                service="settings",
                field="YSE_INGEST_NEGATIVES",
                value=self.negatives,
                remedy="A negative has no magnitude, and YSE_INGEST_FLUX=null sends no flux: "
                "set YSE_INGEST_FLUX to 27.5, or YSE_INGEST_NEGATIVES to drop.",
            )
        for variable in (*map(rate_variable, SOURCES), RATE.variable):
            if text := self.environment.get(variable, "").strip():
                list(parse_rates(text, variable=variable))
        bot_of(Setup(self.environment))
        refuse_unverified_tls("CELERY_BROKER_URL", self.broker_url)
        refuse_unverified_tls("YSE_INGEST_STATE_URL", self.state_url)

    def _check_schedule(self) -> None:
        if not 0 < self.cadence_min_s <= self.cadence_max_s:
            raise self._unfit(
                "YSE_INGEST_CADENCE_MAX",
                self.cadence_max_s,
                f"it must be at least YSE_INGEST_CADENCE_MIN = {self.cadence_min_s:g} s",
            )
        if self.fetch_queue_max < 1:
            raise self._unfit(
                "YSE_INGEST_FETCH_QUEUE", self.fetch_queue_max, "it must be at least 1"
            )

    @staticmethod
    def _unfit(name: str, value: float, why: str) -> SettingsError:
        return SettingsError(
            f"{name} is too small" if "exceed" in why or "least" in why else f"{name} is unfit",
            service="settings",
            field=name,
            value=value,
            remedy=_sentence(why) + ".",
        )

    @property
    def limits(self) -> Limits:
        """Return how much of YSE-PZ's time may be taken.

        A lease is renewed when a request gets its turn: the request, and the wait for the
        turn of the next one, end before the lease does.
        """
        request_s = self.connect_timeout_s + self.read_timeout_s
        return Limits(
            in_flight=self.in_flight,
            patience_s=min(PATIENCE_MAX_S, 0.75 * (self.lease_s - request_s)),
            turn_s=1.1 * request_s + 1.0,
            share=self.budget_share,
            hours=self.budget_hours,
            audit_share=self.audit_share,
            window_s=self.budget_window_s,
            failures=self.breaker_failures,
            probe_s=self.probe_wait_s,
            probe_max_s=self.probe_wait_max_s,
        )

    @functools.cached_property
    def rules(self) -> Rules:
        """Return the default rules; sources and targets lay theirs over them."""
        return Rules(
            **{
                item.name: getattr(self, item.name)
                for item in fields(Rules)
                if item.name in {mine.name for mine in fields(self)}
            }
        )

    @functools.cached_property
    def default_source(self) -> str:
        """Return the source, or the sources in order, of a target that names none."""
        mars_url = _optional(_text)(self.environment.get("MARS_URL", ""))
        return self.source or ("mars" if mars_url else "alerce")

    @property
    def service_state_url(self) -> str:
        """Return the state's URL for services: set, or the broker's with the next database."""
        if self.state_url:
            return self.state_url
        parts = urlsplit(self.broker_url)
        database = parts.path.strip("/") or "0"
        if not database.isdecimal():
            raise SettingsError(
                "the state's database cannot be told from CELERY_BROKER_URL",
                service="settings",
                field="YSE_INGEST_STATE_URL",
                remedy="Set YSE_INGEST_STATE_URL, as in redis://127.0.0.1:6379/1.",
            )
        return urlunsplit(parts._replace(path=f"/{int(database) + 1}"))

    @property
    def decisions_file(self) -> Path:
        """Return the file of what people decided."""
        return self.state_dir / "decisions.jsonl"

    def secrets(self) -> tuple[str, ...]:
        """Return what must stand in no text, the account of a netrc file included."""
        found = secrets_of(self.environment)
        account = None
        with contextlib.suppress(SettingsError):
            account = Account.find(self.ysepz_url or "", self.environment)
        if account is None:
            return found
        return found + forms({account.password, f"{account.username}:{account.password}"})

    def account(self) -> Account:
        """Return the YSE-PZ account.

        Raises
        ------
        SettingsError
            When none is configured.
        """
        url = self.require_ysepz_url()
        account = Account.find(url, self.environment)
        if account is None:
            raise SettingsError(
                "no YSE-PZ account is configured",
                service="settings",
                field="YSE_PZ_USERNAME",
                remedy="Set YSE_PZ_USERNAME and YSE_PZ_PASSWORD (or YSE_PZ_PASSWORD_FILE), "
                "or add the host to ~/.netrc.",
            )
        return account

    def require_ysepz_url(self) -> str:
        """Return YSE-PZ's address.

        Raises
        ------
        SettingsError
            When none is configured.
        """
        if not self.ysepz_url:
            raise SettingsError(
                "no YSE-PZ is configured",
                service="settings",
                field="YSE_PZ_URL",
                remedy="Set YSE_PZ_URL to its address, as in https://ziggy.example.org/yse. "
                "`yse-ingest fetch` works without.",
            )
        return self.ysepz_url


def describe() -> list[dict[str, str]]:
    """Return every setting with its variable, default, unit and meaning, for the docs."""
    rows = []
    for item in fields(Settings):
        if "env" not in item.metadata:
            continue
        default = item.default
        if default is MISSING and item.default_factory is not MISSING:
            default = ",".join(f"{key}={name}" for key, name in item.default_factory().items())
        rows.append(
            {
                "variable": item.metadata["env"],
                "default": "" if default in {None, ()} else str(default),
                "unit": item.metadata["unit"],
                "meaning": item.metadata["doc"],
            }
        )
    rows += [
        {
            "variable": option.variable,
            "default": option.default or "",
            "unit": "",
            "meaning": option.doc,
        }
        for option in (*SOURCES.options(), *Tns.options)
    ]
    return rows
