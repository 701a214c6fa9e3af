"""Watching: what is wrong now, since when, who is told, and what to do.

`sight` reads Redis once; each condition is one small function from that to what is wrong
(`conditions`); `health` prints them, and `watch` tells people what began and what is over.
"""

from __future__ import annotations
