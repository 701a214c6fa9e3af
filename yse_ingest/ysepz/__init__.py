"""YSE-PZ: the client, its vocabulary, look-ups, creation, requests and their cost."""

from yse_ingest.aliases import Alias
from yse_ingest.ysepz.account import Account
from yse_ingest.ysepz.bulk import BulkReadBack
from yse_ingest.ysepz.client import Listed, YsePz
from yse_ingest.ysepz.cost import Speed, cut, modelled_seconds, read_back_seconds
from yse_ingest.ysepz.creation import create
from yse_ingest.ysepz.gate import LocalGate
from yse_ingest.ysepz.http import Answer, Timeouts
from yse_ingest.ysepz.lookup import OFFSET_MAX_ARCSEC, Resolution, check_place, resolve
from yse_ingest.ysepz.missing import MissingRow, missing_rows
from yse_ingest.ysepz.readback import Header, ReadBack
from yse_ingest.ysepz.transients import NO_SLUG, SAVE_IT, Transient, alias_key, name_key
from yse_ingest.ysepz.uploads import (
    creation_request,
    documented_request,
    photometry_request,
    point_changes,
)
from yse_ingest.ysepz.vocabulary import Band, Vocabulary, nearest

__all__ = [
    "NO_SLUG",
    "OFFSET_MAX_ARCSEC",
    "SAVE_IT",
    "Account",
    "Alias",
    "Answer",
    "Band",
    "BulkReadBack",
    "Header",
    "Listed",
    "LocalGate",
    "MissingRow",
    "ReadBack",
    "Resolution",
    "Speed",
    "Timeouts",
    "Transient",
    "Vocabulary",
    "YsePz",
    "alias_key",
    "check_place",
    "create",
    "creation_request",
    "cut",
    "documented_request",
    "missing_rows",
    "modelled_seconds",
    "name_key",
    "nearest",
    "photometry_request",
    "point_changes",
    "read_back_seconds",
    "resolve",
]
