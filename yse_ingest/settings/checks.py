"""Checks: what settings must not be together, though each can be read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yse_ingest.errors import SettingsError
from yse_ingest.meter import parse_rates
from yse_ingest.settings.values import sentence
from yse_ingest.sources import SOURCES, rate_variable
from yse_ingest.sources.setup import Setup
from yse_ingest.sources.tns import RATE, bot_of

if TYPE_CHECKING:
    from yse_ingest.settings.table import Table
    from yse_ingest.targets import Rules

_UNVERIFIED = re.compile(
    r"[?&](ssl_cert_reqs=(?!(?:CERT_)?required)|ssl_check_hostname=[f0n])", re.IGNORECASE
)


def check(table: Table, rules: Rules) -> None:
    """Refuse a set of times that cannot keep its promises.

    Raises
    ------
    SettingsError
        When a lease could end during its own request, or a message be redelivered while
        it is still worked on or waits for its retry.
    """
    request = table.connect_timeout_s + table.read_timeout_s
    if table.lease_s <= request:
        raise _unfit(
            "YSE_INGEST_LEASE",
            table.lease_s,
            f"it must exceed YSE_PZ_CONNECT_TIMEOUT + YSE_PZ_READ_TIMEOUT = {request:g} s",
        )
    if table.visibility_s <= table.message_s:
        raise _unfit(
            "YSE_INGEST_VISIBILITY",
            table.visibility_s,
            f"it must exceed YSE_INGEST_MESSAGE_LIMIT = {table.message_s:g} s",
        )
    if table.message_s <= table.source_get_timeout_s:
        raise _unfit(
            "YSE_INGEST_MESSAGE_LIMIT",
            table.message_s,
            f"it must exceed YSE_INGEST_SOURCE_GET_TIMEOUT = {table.source_get_timeout_s:g} s",
        )
    if table.visibility_s < 4 * table.retry_wait_max_s:
        raise _unfit(
            "YSE_INGEST_VISIBILITY",
            table.visibility_s,
            "it must be at least 4 x YSE_INGEST_RETRY_WAIT_MAX = "
            f"{4 * table.retry_wait_max_s:g} s",
        )
    _check_schedule(table)
    if table.in_flight < 1:
        raise _unfit("YSE_PZ_IN_FLIGHT", table.in_flight, "it must be at least 1")
    if table.notify_per_hour < 1:
        raise _unfit(
            "YSE_INGEST_NOTIFY_PER_HOUR", table.notify_per_hour, "it must be at least 1"
        )
    if not 1 <= table.batch_size <= 50:
        raise _unfit("YSE_INGEST_BATCH", table.batch_size, "it must be 1 to 50")
    if rules.contradiction is not None:
        raise SettingsError(
            "YSE_INGEST_NEGATIVES is unfit",
            service="settings",
            field="YSE_INGEST_NEGATIVES",
            value=table.negatives,
            remedy="A negative has no magnitude, and YSE_INGEST_FLUX=null sends no flux: "
            "set YSE_INGEST_FLUX to 27.5, or YSE_INGEST_NEGATIVES to drop.",
        )
    for variable in (*map(rate_variable, SOURCES), RATE.variable):
        if text := table.environment.get(variable, "").strip():
            list(parse_rates(text, variable=variable))
    bot_of(Setup(table.environment))
    refuse_unverified_tls("CELERY_BROKER_URL", table.broker_url)
    refuse_unverified_tls("YSE_INGEST_STATE_URL", table.state_url)


def _check_schedule(table: Table) -> None:
    if not 0 < table.cadence_min_s <= table.cadence_max_s:
        raise _unfit(
            "YSE_INGEST_CADENCE_MAX",
            table.cadence_max_s,
            f"it must be at least YSE_INGEST_CADENCE_MIN = {table.cadence_min_s:g} s",
        )
    if table.fetch_queue_max < 1:
        raise _unfit("YSE_INGEST_FETCH_QUEUE", table.fetch_queue_max, "it must be at least 1")


def _unfit(name: str, value: float, why: str) -> SettingsError:
    return SettingsError(
        f"{name} is too small" if "exceed" in why or "least" in why else f"{name} is unfit",
        service="settings",
        field=name,
        value=value,
        remedy=sentence(why) + ".",
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
