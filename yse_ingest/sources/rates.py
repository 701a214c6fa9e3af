"""How often a source may be asked: what it declares, or what the operator says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yse_ingest.meter import parse_rates
from yse_ingest.sources.setup import Option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.meter import Rate
    from yse_ingest.sources.base import Source


def rate_option(source: type[Source]) -> Option:
    """Return the setting of how often a source may be asked."""
    allowed = source.capabilities.requests_per_hour
    return Option(
        rate_variable(source.name),
        f"How often all workers may ask {source.title}: `100/h`, or `2/s,500/h`.",
        default=None if allowed is None else f"{int(allowed)}/h",
    )


def rate_variable(name: str) -> str:
    """Return the environment variable of a source's rate."""
    return f"{re.sub('[^A-Z0-9]', '_', name.upper())}_RATE"


def rates_of(source: type[Source], environment: Mapping[str, str]) -> tuple[Rate, ...]:
    """Return how often a source may be asked: as the operator says, else as it declares.

    Raises
    ------
    SettingsError
        When the setting is no rate.
    """
    return rates_in(environment, rate_option(source))


def rates_in(environment: Mapping[str, str], option: Option) -> tuple[Rate, ...]:
    """Return the rates that a setting, or its default, says.

    Raises
    ------
    SettingsError
        When it is no rate.
    """
    text = environment.get(option.variable, "").strip() or option.default
    return () if text is None else tuple(parse_rates(text, variable=option.variable))
