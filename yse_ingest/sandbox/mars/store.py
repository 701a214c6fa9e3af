"""The table of alerts: added to while it is served, read as one consistent whole."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.sandbox.mars.alert import (
    SETTABLE_KEYS,
    Alert,
    Value,
    own_values,
)
from yse_ingest.sandbox.mars.query import unit_vector
from yse_ingest.sandbox.ztf import candid_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.sandbox.mars.query import Query


class AlertTable:
    """Alerts in the order of their insertion, with their directions beside them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alerts: list[Alert] = []
        self._index_of: dict[int, int] = {}
        self._vectors = np.empty((256, 3))

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self._alerts)

    def add(
        self,
        object_id: str,
        *,
        jd: float,
        band: str,
        magpsf: float,
        sigmapsf: float,
        ra: float,
        dec: float,
        candid: int | None,
        isdiffpos: str,
        rb: float | None,
        drb: float | None,
        pid: int | None,
        overrides: Mapping[str, Value],
    ) -> int:
        """Insert one alert and return its ``lco_id``.

        Raises
        ------
        ValueError
            When the candid is taken, or a value is named that no alert has.
        """
        if unknown := set(overrides) - SETTABLE_KEYS:
            raise ValueError(f"no candidate values of an alert: {sorted(unknown)}")
        with self._lock:
            candid = self._free_candid(jd) if candid is None else candid
            if candid in self._index_of:
                raise ValueError(f"there is an alert {candid} already")
            own = own_values(
                jd=jd,
                band=band,
                magpsf=magpsf,
                sigmapsf=sigmapsf,
                ra=ra,
                dec=dec,
                isdiffpos=isdiffpos,
                rb=rb,
                drb=drb,
                pid=candid // 1_000_000 if pid is None else pid,
            )
            index = len(self._alerts)
            alert = Alert(index + 1, object_id, candid, {**own, **overrides})
            if index == len(self._vectors):
                self._vectors = np.concatenate((self._vectors, np.empty_like(self._vectors)))
            self._vectors[index] = unit_vector(ra, dec)
            self._index_of[candid] = index
            self._alerts.append(alert)
            return alert.lco_id

    def update(self, candid: int, changes: Mapping[str, Value]) -> None:
        """Give an alert other candidate values, as a reprocessing would.

        Raises
        ------
        ValueError
            When there is no such alert, or a value is named that no alert has.
        """
        if unknown := set(changes) - SETTABLE_KEYS:
            raise ValueError(f"no candidate values of an alert: {sorted(unknown)}")
        with self._lock:
            if candid not in self._index_of:
                raise ValueError(f"there is no alert {candid}")
            index = self._index_of[candid]
            old = self._alerts[index]
            alert = dataclasses.replace(old, own={**old.own, **changes})
            self._vectors[index] = unit_vector(alert.number("ra"), alert.number("dec"))
            self._alerts[index] = alert

    def select(self, query: Query, *, ties_reversed: bool = False) -> list[Alert]:
        """Return the alerts that a query finds, in its order.

        Parameters
        ----------
        ties_reversed
            Whether rows of equal sort value come in the reverse order of insertion: the
            database owes them no order, and gives them another one on another page.
        """
        with self._lock:
            if query.cone is None:
                found = list(self._alerts)
            else:
                inside = query.cone.contains(self._vectors[: len(self._alerts)])
                found = [self._alerts[index] for index in np.flatnonzero(inside)]
        found = [alert for alert in found if all(test(alert) for test in query.tests)]
        if ties_reversed and query.sort_order in {"asc", "desc"}:
            found.reverse()
        query.sort(found)
        return found

    def _free_candid(self, jd: float) -> int:
        number = 1
        while (candid := candid_of(jd, number=number)) in self._index_of:
            number += 1
        return candid
