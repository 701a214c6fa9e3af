"""Settings: read once from a mapping, checked, and passed on as a value.

Every field of `Settings` is one setting; its metadata names the environment variable, the unit
and what it does, and ``docs/settings.md`` is printed from it. Secrets are read where they are
used and never stand in a ``repr``.
"""

from __future__ import annotations

import math
import os
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from yse_ingest.errors import SettingsError
from yse_ingest.sources import SOURCES
from yse_ingest.targets import Rules
from yse_ingest.times import parse_duration
from yse_ingest.ysepz import Account

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALERCE_PUBLIC_URL = "https://api.alerce.online/ztf/v1"
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


def _share(value: str) -> float:
    number = float(value)
    if not 0.0 < number <= 1.0:
        raise ValueError("write a number above 0, 1 at most")
    return number


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
    mars_url: str | None = _setting(
        "MARS_URL", _optional(_text), None, "Address of a self-hosted MARS."
    )
    alerce_url: str = _setting(
        "ALERCE_URL", _text, ALERCE_PUBLIC_URL, "Address of ALeRCE's ZTF API."
    )
    source: str | None = _setting(
        "YSE_INGEST_SOURCE",
        _optional(_one_of(*SOURCES)),
        None,
        "Default source; unset: mars where MARS_URL is set, else alerce.",
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
        "YSE_INGEST_TARGETS", _optional(Path), None, "File of targets (TOML)."
    )
    state_dir: Path = _setting(
        "YSE_INGEST_STATE_DIR",
        Path,
        Path("var"),
        "Folder of what must survive: decisions, beat's schedule, locks, embedded Redis.",
    )
    cadence_s: float = _setting(
        "YSE_INGEST_CADENCE", parse_duration, 1800.0, "How often a target is asked.", unit="s"
    )
    overlap_s: float = _setting(
        "YSE_INGEST_OVERLAP",
        parse_duration,
        3 * 86400.0,
        "How far an incremental question reaches back: alerts may arrive late.",
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
    audit_share: float = _setting(
        "YSE_INGEST_AUDIT_SHARE",
        _share,
        0.01,
        "Most of one YSE-PZ server worker's time that audits may take (0 to 1).",
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
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Where secrets are looked up when they are needed."""

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
        if not 1 <= self.batch_size <= 50:
            raise self._unfit("YSE_INGEST_BATCH", self.batch_size, "it must be 1 to 50")

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
    def rules(self) -> Rules:
        """Return the default rules; sources and targets lay theirs over them."""
        return Rules(
            **{
                item.name: getattr(self, item.name)
                for item in fields(Rules)
                if item.name in {mine.name for mine in fields(self)}
            }
        )

    @property
    def default_source(self) -> str:
        """Return the source of a target that names none."""
        return self.source or ("mars" if self.mars_url else "alerce")

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
    return rows
