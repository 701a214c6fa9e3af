"""The settings of one deployment: read, checked, and what follows from them.

Secrets are read where they are used and never stand in a ``repr``.
"""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from yse_ingest.errors import SettingsError
from yse_ingest.limits import Limits
from yse_ingest.redaction import forms, secrets_of
from yse_ingest.settings.checks import check
from yse_ingest.settings.table import Table
from yse_ingest.settings.values import optional, sentence, text
from yse_ingest.targets import Rules
from yse_ingest.ysepz import Account

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATIENCE_MAX_S = 15.0
"""Longest wait for a turn to ask YSE-PZ [s]."""


@dataclass(frozen=True, kw_only=True)
class Settings(Table):
    """The settings of one deployment; `from_env` reads them."""

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
                    remedy=f"{item.metadata['doc']} {sentence(str(error))}.",
                ) from error
        settings = cls(**values)
        settings.check()
        return settings

    def check(self) -> None:
        """Refuse settings that cannot keep their promises together.

        Raises
        ------
        SettingsError
            Naming the variable and what it must be.
        """
        check(self, self.rules)

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
        mars_url = optional(text)(self.environment.get("MARS_URL", ""))
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
