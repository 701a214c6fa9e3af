"""The table of settings: every field of `Table` is one.

Its metadata names the environment variable, the unit and what it does, and
``docs/settings.md`` is printed from it.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from yse_ingest.cadence import MAX_S, MIN_S
from yse_ingest.settings.values import (
    band_pairs,
    flag,
    hours,
    names,
    one_of,
    optional,
    positive,
    score,
    setting,
    share,
    sources,
    text,
)
from yse_ingest.sources import SOURCES
from yse_ingest.sources.tns import Tns
from yse_ingest.targets import Cadence, Rules, parse_cadence
from yse_ingest.times import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.limits import Hours

DEFAULT_BROKER_URL = "redis://127.0.0.1:6379/0"
_RULES = Rules()


@dataclass(frozen=True, kw_only=True)
class Table:
    """The settings as they stand in the environment."""

    ysepz_url: str | None = setting(
        "YSE_PZ_URL", optional(text), None, "Address of your YSE-PZ."
    )
    connect_timeout_s: float = setting(
        "YSE_PZ_CONNECT_TIMEOUT",
        parse_duration,
        5.0,
        "Longest wait for a connection to YSE-PZ.",
        unit="s",
    )
    read_timeout_s: float = setting(
        "YSE_PZ_READ_TIMEOUT",
        parse_duration,
        65.0,
        "Longest wait for an answer of YSE-PZ (its web server gives up after 60 s).",
        unit="s",
    )
    request_limit_s: float = setting(
        "YSE_PZ_REQUEST_LIMIT",
        parse_duration,
        30.0,
        "After this YSE-PZ has surely ended a request (gunicorn's worker limit).",
        unit="s",
    )
    in_flight: int = setting(
        "YSE_PZ_IN_FLIGHT",
        int,
        2,
        "Most requests to YSE-PZ under way at once, reads too, on all hosts together.",
    )
    budget_share: float = setting(
        "YSE_INGEST_BUDGET",
        share,
        0.1,
        "Share of a sliding hour that YSE-PZ may work for us, as 10% or 0.1.",
    )
    budget_hours: tuple[Hours, ...] = setting(
        "YSE_INGEST_BUDGET_HOURS",
        hours,
        (),
        "Other shares at certain hours UTC, as in 22-6=50%,12:30-13=0.",
    )
    audit_share: float = setting(
        "YSE_INGEST_AUDIT_SHARE",
        share,
        0.01,
        "What audits may take of YSE-PZ's time, as 1% or 0.01.",
    )
    budget_window_s: float = setting(
        "YSE_INGEST_BUDGET_WINDOW",
        parse_duration,
        3600.0,
        "The sliding hour of the budget.",
        unit="s",
    )
    breaker_failures: int = setting(
        "YSE_INGEST_BREAKER_FAILURES",
        int,
        5,
        "Failures in a row after which YSE-PZ, or a source, is only probed.",
    )
    bulk_query: str | None = setting(
        "YSE_INGEST_BULK_QUERY",
        optional(text),
        None,
        "Title of the saved query for bulk read-back (docs/sql-explorer.md); unset: none.",
    )
    source: str | None = setting(
        "YSE_INGEST_SOURCE",
        optional(sources),
        None,
        "Default source, or several in order; unset: mars where MARS_URL is set, else alerce.",
    )
    follow_every_s: float = setting(
        "YSE_INGEST_FOLLOW_EVERY",
        parse_duration,
        1800.0,
        "How often the lists of YSE-PZ are read (`[follow]`, `targets sync`).",
        unit="s",
    )
    union_every_s: float = setting(
        "YSE_INGEST_UNION_EVERY",
        parse_duration,
        86400.0,
        "How often the other sources of a survey are asked too, as a cross-check.",
        unit="s",
    )
    silent_after_s: float = setting(
        "YSE_INGEST_SILENT_AFTER",
        parse_duration,
        43200.0,
        "A source that still lacks what another reported so long ago is passed over.",
        unit="s",
    )
    source_connect_timeout_s: float = setting(
        "YSE_INGEST_SOURCE_CONNECT_TIMEOUT",
        parse_duration,
        5.0,
        "Longest wait for a connection to a source.",
        unit="s",
    )
    source_get_timeout_s: float = setting(
        "YSE_INGEST_SOURCE_GET_TIMEOUT",
        parse_duration,
        20.0,
        "Longest wait for the answer to a GET of a source.",
        unit="s",
    )
    source_post_timeout_s: float = setting(
        "YSE_INGEST_SOURCE_POST_TIMEOUT",
        parse_duration,
        65.0,
        "Longest wait for the answer to a POST of a source (many targets).",
        unit="s",
    )
    source_patience_s: float = setting(
        "YSE_INGEST_SOURCE_PATIENCE",
        parse_duration,
        1800.0,
        "How long `push` and `fetch` wait for a source that works on a question (ATLAS).",
        unit="s",
    )
    broker_url: str = setting(
        "CELERY_BROKER_URL", text, DEFAULT_BROKER_URL, "Redis of the Celery queues."
    )
    state_url: str | None = setting(
        "YSE_INGEST_STATE_URL",
        optional(text),
        None,
        "Redis of the state; unset: the broker's, database 1 more (services), or none (push).",
    )
    namespace: str = setting(
        "YSE_INGEST_NAMESPACE",
        text,
        "yse_ingest",
        "Prefix of every key: one per YSE-PZ on one Redis.",
    )
    targets_file: Path | None = setting(
        "YSE_INGEST_TARGETS", optional(Path), None, "File of targets (TOML, CSV or ECSV)."
    )
    state_dir: Path = setting(
        "YSE_INGEST_STATE_DIR",
        Path,
        Path("var"),
        "Folder of what must survive: decisions, beat's schedule, locks, embedded Redis.",
    )
    cadence_s: Cadence = setting(
        "YSE_INGEST_CADENCE",
        parse_cadence,
        1800.0,
        "How often a target is asked, or adaptive (docs/cadence.md).",
        unit="s",
    )
    cadence_min_s: float = setting(
        "YSE_INGEST_CADENCE_MIN",
        parse_duration,
        MIN_S,
        "An adaptive cadence is no shorter.",
        unit="s",
    )
    cadence_max_s: float = setting(
        "YSE_INGEST_CADENCE_MAX",
        parse_duration,
        MAX_S,
        "An adaptive cadence is no longer, but for the day.",
        unit="s",
    )
    fetch_queue_max: int = setting(
        "YSE_INGEST_FETCH_QUEUE",
        int,
        200,
        "Most messages in the fetch queue; while it is full no target is claimed.",
    )
    overlap_s: float = setting(
        "YSE_INGEST_OVERLAP",
        parse_duration,
        3 * 86400.0,
        "How far an incremental question reaches back: alerts may arrive late.",
        unit="s",
    )
    freshness_s: float = setting(
        "YSE_INGEST_FRESHNESS",
        parse_duration,
        6 * 3600.0,
        "A target is stale without an answer for so long (and at least 3 cadences).",
        unit="s",
    )
    full_read_s: float = setting(
        "YSE_INGEST_FULL_READ",
        parse_duration,
        7 * 86400.0,
        "How often a whole light curve is read again.",
        unit="s",
    )
    batch_size: int = setting(
        "YSE_INGEST_BATCH", int, 25, "Most targets in one fetch message (1 to 50)."
    )
    lease_s: float = setting(
        "YSE_INGEST_LEASE",
        parse_duration,
        90.0,
        "Lease of a transient while it is uploaded.",
        unit="s",
    )
    settle_gap_s: float = setting(
        "YSE_INGEST_SETTLE_GAP",
        parse_duration,
        2.0,
        "Between the two equal read-backs that end an unclear outcome.",
        unit="s",
    )
    message_s: float = setting(
        "YSE_INGEST_MESSAGE_LIMIT",
        parse_duration,
        240.0,
        "Longest that one fetch or upload message is worked on.",
        unit="s",
    )
    visibility_s: float = setting(
        "YSE_INGEST_VISIBILITY",
        parse_duration,
        300.0,
        "When Celery hands the message of a dead worker to another.",
        unit="s",
    )
    retry_wait_max_s: float = setting(
        "YSE_INGEST_RETRY_WAIT_MAX",
        parse_duration,
        60.0,
        "Longest wait between Celery's own retries of an upload.",
        unit="s",
    )
    retries: int = setting(
        "YSE_INGEST_RETRIES", int, 3, "Celery's own retries before the outbox takes over."
    )
    retry_wait_s: float = setting(
        "YSE_INGEST_RETRY_WAIT", parse_duration, 5.0, "Wait before the first retry.", unit="s"
    )
    owed_wait_s: float = setting(
        "YSE_INGEST_OWED_WAIT",
        parse_duration,
        30.0,
        "First wait of an upload that YSE-PZ could not take; it doubles.",
        unit="s",
    )
    owed_wait_max_s: float = setting(
        "YSE_INGEST_OWED_WAIT_MAX",
        parse_duration,
        1800.0,
        "Longest wait of an upload that YSE-PZ could not take.",
        unit="s",
    )
    refused_wait_s: float = setting(
        "YSE_INGEST_REFUSED_WAIT",
        parse_duration,
        3600.0,
        "When a refused upload or point is tried again: what was wrong may have been mended.",
        unit="s",
    )
    probe_wait_s: float = setting(
        "YSE_INGEST_PROBE_WAIT",
        parse_duration,
        5.0,
        "Wait before the first probe of a YSE-PZ, or a source, that is down; it doubles.",
        unit="s",
    )
    probe_wait_max_s: float = setting(
        "YSE_INGEST_PROBE_WAIT_MAX",
        parse_duration,
        300.0,
        "Longest wait between two probes of what is down.",
        unit="s",
    )
    ask_again_s: float = setting(
        "YSE_INGEST_ASK_AGAIN",
        parse_duration,
        60.0,
        "When a target is asked about again after a failure that may pass.",
        unit="s",
    )
    fetch_lost_s: float = setting(
        "YSE_INGEST_FETCH_LOST",
        parse_duration,
        600.0,
        "After this a fetch that nobody has heard of is taken for lost.",
        unit="s",
    )
    uploads_in_flight: int = setting(
        "YSE_INGEST_UPLOADS", int, 2, "Most transients uploaded at once, on all hosts together."
    )
    request_seconds_max: float = setting(
        "YSE_INGEST_REQUEST_SECONDS",
        parse_duration,
        10.0,
        "Requests are cut so that YSE-PZ is busy no longer than this with one.",
        unit="s",
    )
    request_bytes_max: int = setting(
        "YSE_INGEST_REQUEST_BYTES", int, 900_000, "Largest request.", unit="byte"
    )
    audit_age_s: float = setting(
        "YSE_INGEST_AUDIT_AGE",
        parse_duration,
        7 * 86400.0,
        "A transient's proof is renewed when it is this old: it is read back and compared.",
        unit="s",
    )
    log_format: str = setting(
        "YSE_INGEST_LOG", one_of("text", "json"), "text", "Log lines as text or as JSON."
    )
    log_level: str = setting(
        "YSE_INGEST_LOG_LEVEL",
        one_of("DEBUG", "INFO", "WARNING", "ERROR"),
        "INFO",
        "Least severity that is logged.",
    )
    instrument: str = setting(
        "YSE_INGEST_INSTRUMENT", text, _RULES.instrument, "YSE-PZ's name of the instrument."
    )
    obs_group: str = setting(
        "YSE_INGEST_OBS_GROUP",
        text,
        _RULES.obs_group,
        "YSE-PZ's name of the observing group of the photometry.",
    )
    groups: tuple[str, ...] = setting(
        "YSE_INGEST_GROUPS",
        names,
        _RULES.groups,
        "Groups that alone may see the photometry; empty: everybody.",
    )
    band_map: Mapping[str, str] = setting(
        "YSE_INGEST_BAND_MAP",
        band_pairs,
        dict(_RULES.band_map),
        "The source's band to YSE-PZ's, as in g=g-ZTF,r=r-ZTF.",
    )
    cone_radius_arcsec: float = setting(
        "YSE_INGEST_CONE_RADIUS",
        positive,
        _RULES.cone_radius_arcsec,
        "Where the source is asked to look.",
        unit="arcsec",
    )
    match_radius_arcsec: float = setting(
        "YSE_INGEST_MATCH_RADIUS",
        positive,
        _RULES.match_radius_arcsec,
        "What is kept: rows this close to the target.",
        unit="arcsec",
    )
    mjdmatchmin: float | None = setting(
        "YSE_INGEST_MJDMATCHMIN",
        optional(positive),
        None,
        "Match window; unset: computed per band.",
        unit="d",
    )
    clobber: bool = setting(
        "YSE_INGEST_CLOBBER",
        flag,
        default=False,
        doc="Let YSE-PZ overwrite what lies in the window (drops quality flags).",
    )
    flux_zero_point: float | None = setting(
        "YSE_INGEST_FLUX",
        optional(float),
        _RULES.flux_zero_point,
        "Zero point of the fluxes sent; null: send none.",
        unit="mag",
    )
    negatives: str = setting(
        "YSE_INGEST_NEGATIVES",
        one_of("drop", "flux"),
        _RULES.negatives,
        "Negative subtractions: drop, or flux (signed flux, no magnitude).",
    )
    data_quality: str | None = setting(
        "YSE_INGEST_DATA_QUALITY",
        optional(text),
        None,
        "YSE-PZ's quality flag on every point sent; unset: good.",
    )
    forced: bool = setting(
        "YSE_INGEST_FORCED",
        flag,
        default=_RULES.forced,
        doc="Take forced photometry too, where a source has detections as well.",
    )
    upper_limits: str = setting(
        "YSE_INGEST_UPPER_LIMITS",
        one_of("none", "before"),
        _RULES.upper_limits,
        "Upper limits: none, or before (the first detection). See docs/sources/rules.md first.",
    )
    limits_before_days: float = setting(
        "YSE_INGEST_LIMITS_BEFORE",
        positive,
        _RULES.limits_before_days,
        "How long before the first detection upper limits are taken.",
        unit="d",
    )
    min_rb: float = setting(
        "YSE_INGEST_MIN_RB",
        score,
        _RULES.min_rb,
        "Least real-bogus score (rb) of a ZTF detection; 0: no cut.",
    )
    min_drb: float = setting(
        "YSE_INGEST_MIN_DRB",
        score,
        _RULES.min_drb,
        "Least deep-learning score (drb) of a ZTF detection; 0: no cut.",
    )
    min_reliability: float = setting(
        "YSE_INGEST_MIN_RELIABILITY",
        score,
        _RULES.min_reliability,
        "Least reliability of an LSST detection; 0: no cut.",
    )
    missing_score: str = setting(
        "YSE_INGEST_MISSING_SCORE",
        one_of("keep", "drop"),
        _RULES.missing_score,
        "A detection without a score for which there is a cut: keep, or drop.",
    )
    procstatus: tuple[str, ...] = setting(
        "YSE_INGEST_PROCSTATUS",
        names,
        _RULES.procstatus,
        "Codes of ZTF's forced photometry that are kept, as in 0,56; empty: all.",
    )
    atlas_cleaning: bool = setting(
        "YSE_INGEST_ATLAS_CLEANING",
        flag,
        default=_RULES.atlas_cleaning,
        doc="Apply the cuts that ATLAS recommends for its forced photometry.",
    )
    limit_heartbeat_s: float = setting(
        "YSE_INGEST_LIMIT_HEARTBEAT",
        parse_duration,
        300.0,
        "Beat, a queue's workers or a tick's work are silent after this.",
        unit="s",
    )
    limit_source_s: float = setting(
        "YSE_INGEST_LIMIT_SOURCE",
        parse_duration,
        3600.0,
        "A source that answers nothing is silent after this.",
        unit="s",
    )
    limit_ysepz_s: float = setting(
        "YSE_INGEST_LIMIT_YSE_PZ",
        parse_duration,
        900.0,
        "YSE-PZ is away after this without an answer.",
        unit="s",
    )
    limit_owed_s: float = setting(
        "YSE_INGEST_LIMIT_OWED",
        parse_duration,
        6 * 3600.0,
        "A point may be owed for so long.",
        unit="s",
    )
    notify_to: tuple[str, ...] = setting(
        "YSE_INGEST_NOTIFY_TO", names, (), "E-mail addresses that are told; empty: no e-mail."
    )
    notify_from: str | None = setting(
        "YSE_INGEST_NOTIFY_FROM",
        optional(text),
        None,
        "Sender of the e-mails; unset: the first receiver.",
    )
    notify_command: str | None = setting(
        "YSE_INGEST_NOTIFY_COMMAND",
        optional(text),
        None,
        "Command that is given each message on its standard input.",
    )
    notify_format: str = setting(
        "YSE_INGEST_NOTIFY_FORMAT",
        one_of("text", "json"),
        "text",
        "What that command is given.",
    )
    notify_after_s: float = setting(
        "YSE_INGEST_NOTIFY_AFTER",
        parse_duration,
        120.0,
        "A condition must hold, or be over, for so long before it is told.",
        unit="s",
    )
    notify_per_hour: int = setting(
        "YSE_INGEST_NOTIFY_PER_HOUR",
        int,
        6,
        "Most messages an hour; what came meanwhile stands in the next one.",
    )
    notify_timeout_s: float = setting(
        "YSE_INGEST_NOTIFY_TIMEOUT",
        parse_duration,
        20.0,
        "Longest that sending one message may take; then it is tried again later.",
        unit="s",
    )
    notify_retry_s: float = setting(
        "YSE_INGEST_NOTIFY_RETRY",
        parse_duration,
        60.0,
        "Wait before a message is tried again; it doubles, up to 30 times this.",
        unit="s",
    )
    smtp_host: str = setting(
        "YSE_INGEST_SMTP_HOST", text, "127.0.0.1", "Mail server of the e-mails."
    )
    smtp_port: int | None = setting(
        "YSE_INGEST_SMTP_PORT",
        optional(int),
        None,
        "Its port; unset: 587 (starttls), 465 (ssl), 25 (none).",
    )
    smtp_security: str = setting(
        "YSE_INGEST_SMTP_SECURITY",
        one_of("starttls", "ssl", "none"),
        "starttls",
        "How the way to it is encrypted; none: only for a server on this host.",
    )
    smtp_username: str | None = setting(
        "YSE_INGEST_SMTP_USERNAME", optional(text), None, "User name at the mail server."
    )
    shadow: bool = setting(
        "YSE_INGEST_SHADOW",
        flag,
        default=False,
        doc="Everything runs and nothing is written to YSE-PZ: what would be sent is recorded.",
    )
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where secrets, and the options of the sources, are looked up when they are needed."""


def describe() -> list[dict[str, str]]:
    """Return every setting with its variable, default, unit and meaning, for the docs."""
    rows = []
    for item in fields(Table):
        if "env" not in item.metadata:
            continue
        default = item.default
        if default is MISSING and item.default_factory is not MISSING:
            default = ",".join(f"{key}={name}" for key, name in item.default_factory().items())
        if isinstance(default, tuple):
            default = ",".join(default)
        rows.append(
            {
                "variable": item.metadata["env"],
                "default": "" if default is None else str(default),
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
