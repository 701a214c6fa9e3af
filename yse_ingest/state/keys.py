"""Names of keys, and the one form of JSON that is stored under them.

Everything lies below ``yse_ingest:<namespace>:``. "Packed" is `yse_ingest.state.packed`. In one
view::

    version                  number of the layout (string)
    installed                id, seq, file, run, restarted_ms: which installation this is (hash)
    quiet                    nothing is claimed before this time [ms] (string)
    targets                  name -> record (hash)
    targets:due|paused|cadence|pending   (zset, hash, hash, zset of claims not yet asked)
    targets:synced|listed    whether the targets file, or a list, was brought in (string)
    targets:lists            list of YSE-PZ that a person wants -> since when [ms] (hash)
    targets:pace             name -> how often the adaptive rule wants to ask [ms] (hash)
    targets:priority         names whose priority is not 0 (zset)
    targets:backfill         name -> what is to be read again of it (hash)
    targets:hinted           name -> when it is due if the message that asks it is lost (hash)
    targets:pressed          length of the queue for which claiming waits (string)
    targets:added            name -> since when it is followed (hash)
    resolution               name -> until when its look-up is believed, and that, packed (hash)
    name:<name>              what TNS said of a name, and when (string, expires)
    aliases, aliases:<n>     YSE-PZ's aliases: reading, count, read_ms (hash); rows (list)
    ledger, ledgers          id -> its ledger, packed (hash); id -> last read-back (zset)
    shadow:ledger, shadow:ledgers   as if what was planned had been sent
    shadow:planned:<key>     exposure -> when it would have been sent [ms] (hash)
    shadow:targets           name -> key that is planned for in shadow (hash)
    adopted                  name -> what was found when it was adopted (hash)
    outbox:rows|due|inflight|refused   key -> points, due, lease end, since (zsets)
    outbox:settling          keys (set)
    outbox:row:<key>, outbox:points:<key>   what is owed to one transient (hashes)
    outbox:hold|breaker      (string, hash)
    breaker:<source>         (hash)
    meter:<source>           requests by when they are sent (zset)
    meter:<source>:minutes   minute -> requests (hash)
    meter:<source>:pause     until when it told us to wait, and why (hash)
    meter:<source>:line|seen   targets that wait for its budget (zsets)
    source:<source>          how it last answered, since when it is as it is (hash)
    suspects:<source>        targets of which no row could be read (set)
    replies:<source>         the newest replies that could not be read (list)
    turns:held|waiting|seen  requests to YSE-PZ under way, and who waits for a turn (zsets)
    budget                   "<minute>:<purpose>" -> time that YSE-PZ worked for us [ms] (hash)
    fence                    the last fence issued (string)
    lease:<name>             (string, expires)
    quarantine               target -> refused rows, oldest first, packed (hash)
    rejected:<target>        native id -> reason (hash)
    refused                  target -> points that YSE-PZ refused, packed (hash)
    rejections               targets of which people rejected rows (set)
    receipts                 key -> the last receipts, newest first, packed (hash)
    tombstones:<id>, tombstones   rows of ours that are gone (hash); transients (set)
    audit:wanted|found|gone|stops|hidden|writers|set_back   what audits are to see, and saw
    audit:unproven           transients whose upload is still to be proven, by since when (zset)
    pending:<source>:<target>   a question that a source works on (string, expires)
    choice:<name>            survey -> which source is asked, and why (hash)
    waiting                  name -> sources for which it comes before its time, packed (hash)
    sightings:<name>         survey -> what each source reported, packed (hash)
    clocks:troubled          "<name>|<source>" -> since when it has no (clear) answer (zset)
    clock                    name -> last asked and answered per source, packed (hash)
    heartbeats               kind of work -> when it was last done (hash)
    troubles                 what a person should know, and nothing else tells (hash)
    quarantine:kinds         source|field|reason -> when it was first seen (hash)
    watch:looks, watch:basis   name -> not late before [ms] (zset); by which settings (string)
    watch:conditions         what is wrong now, since when, whether it was told (hash)
    notices:<channel>        changes still to be told (list)
    notices:<channel>:sent|failing   times of messages (zset); failures and next try (hash)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from yse_ingest.errors import SettingsError

QUEUES = ("fetch", "upload", "control")
"""The queues of the broker."""
NO_PREFIX = "yse_ingest"
"""The default namespace: its queues go by their plain names."""
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class Keys:
    """The keys of one namespace."""

    namespace: str

    def __post_init__(self) -> None:
        """Refuse what would reach into another namespace."""
        if not _NAMESPACE.fullmatch(self.namespace):
            raise SettingsError(
                "the namespace may hold letters, digits, '_', '.' and '-' only",
                service="Redis",
                field="namespace",
                value=self.namespace,
                remedy="Choose another namespace for the state.",
            )

    def __call__(self, *parts: str) -> str:
        """Return the key of these parts."""
        return ":".join(("yse_ingest", self.namespace, *parts))


def key_prefix(namespace: str) -> str:
    """Return what stands before the broker's keys: two deployments may share one Redis."""
    return "" if namespace == NO_PREFIX else f"yse_ingest:{namespace}:"


def dumps(value: object) -> str:
    """Return compact JSON with sorted keys: equal values have equal texts.

    Raises
    ------
    ValueError
        When a number is not finite.
    """
    return json.dumps(
        value, separators=(",", ":"), sort_keys=True, allow_nan=False, ensure_ascii=False
    )


def loads(text: str) -> Any:
    """Return what `dumps` wrote."""
    return json.loads(text)
