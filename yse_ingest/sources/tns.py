"""TNS: which object a name is, its other names, and where it is.

It is no source of photometry: a directory. What decides how it is asked (2026-11): every call
is a POST with the key in a form, and a User-Agent that names the bot, or it is blocked; the
quotas stand in headers, that of cone searches apart, and are not documented as numbers; since
2024-12 the content is ``data``, before it was ``data.reply``; an object that it does not have
is a 200 whose ``objname`` is no text. One question per object is what spends quotas: an answer
is kept (`yse_ingest.directory`), and no cone is ever asked for.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from marshmallow import ValidationError

from yse_ingest.errors import (
    AmbiguousTargetError,
    SettingsError,
    SourceRefusedError,
    SourceReplyError,
)
from yse_ingest.schemas._load import faults_of, load
from yse_ingest.schemas.tns import EnvelopeSchema, HitSchema, ObjectSchema
from yse_ingest.sources.setup import Option
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from marshmallow import Schema

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.reply import HttpReply
    from yse_ingest.sources.setup import Setup

PUBLIC_URL = "https://www.wis-tns.org/api/get"
URL = Option("TNS_URL", "Address of TNS's API; nothing is asked without a key.", PUBLIC_URL)
KEY = Option("TNS_API_KEY", "Key of your bot at TNS; with it, names are looked up there.")
BOT_ID = Option("TNS_BOT_ID", "Number of that bot.")
BOT_NAME = Option("TNS_BOT_NAME", "Name of that bot.")
RATE = Option("TNS_RATE", "How often all workers may ask TNS: `100/h`, or `2/s,500/h`.")

HITS_SHOWN = 5
_OBJECT_NAME = re.compile(r"(?:19|20)\d{2}[A-Za-z]{1,8}")
_ZTF = re.compile(r"ZTF\d{2}[a-z]{7}")
_LSST = re.compile(r"LSST-P-DO-(\d+)")


@dataclass(frozen=True)
class TnsObject:
    """One object of TNS."""

    name: str
    """Without its prefix, as YSE-PZ has it."""
    prefix: str
    """``SN``, ``AT``, ..."""
    ra: float
    """ICRS [deg]."""
    dec: float
    internal_names: tuple[str, ...]
    """What the surveys call it."""
    discovered: str | None
    """Discovery date and time, UTC."""
    type: str | None
    """What it was classified as."""

    @property
    def ztf_id(self) -> str | None:
        """Return ZTF's name; None where there is none, or are several."""
        found = [name for name in self.internal_names if _ZTF.fullmatch(name)]
        return found[0] if len(found) == 1 else None

    @property
    def lsst_id(self) -> str | None:
        """Return LSST's number of the object; None where there is none, or are several."""
        found = [one[1] for name in self.internal_names if (one := _LSST.fullmatch(name))]
        return found[0] if len(found) == 1 else None

    def is_called(self, name: str) -> bool:
        """Tell whether this is one of its names; without regard to case and blanks."""
        return _key(name) in {_key(one) for one in (self.name, *self.internal_names)}

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "internal_names": list(self.internal_names)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_dict` wrote."""
        return cls(**{**data, "internal_names": tuple(data["internal_names"])})


class Tns:
    """Asks TNS.

    Parameters
    ----------
    http
        Client of its base URL, which calls itself as TNS wants it.
    key
        The bot's.
    """

    name: ClassVar[str] = "tns"
    title: ClassVar[str] = "TNS"
    options: ClassVar[tuple[Option, ...]] = (KEY, BOT_ID, BOT_NAME, URL, RATE)

    def __init__(self, http: HttpClient, key: str) -> None:
        self._http = http
        self._key = key

    @classmethod
    def from_setup(cls, setup: Setup) -> Self | None:
        """Return one, ready to be asked from any number of threads; None without a key.

        Raises
        ------
        SettingsError
            When the bot of the key is not named, or ``TNS_URL`` is no address.
        """
        bot = bot_of(setup)
        if bot is None:
            return None
        key, marker = bot
        http = setup.http(setup.value(URL) or PUBLIC_URL, service=cls.title)
        http.user_agent = marker
        http.keep_secret(key)
        return cls(http, key)

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self._http.base_url

    def close(self) -> None:
        """Give its connections back."""
        self._http.close()

    def find(self, name: str) -> TnsObject | None:
        """Return the object of a name of TNS, or of a survey; None: TNS has none.

        One request for a name of TNS, two for one of a survey.

        Raises
        ------
        AmbiguousTargetError
            Several objects have this name of a survey.
        SourceError
            TNS did not do its part.
        """
        name = canonical_name(name.strip())
        deadline = self._http.deadline()
        if _OBJECT_NAME.fullmatch(name):
            return self._object(name, deadline)
        content = {"internal_name": name, "internal_name_exact_match": 1}
        hits = self._content("search", content, deadline)
        if _has_nothing(hits):
            return None
        if not isinstance(hits, list):
            raise self._unreadable("the search holds no list")
        names = list(dict.fromkeys(self._load(HitSchema(), hit)["name"] for hit in hits))
        if not names:
            return None
        if len(names) > 1:
            shown = ", ".join(names[:HITS_SHOWN])
            raise AmbiguousTargetError(
                f"TNS has {len(names)} objects of this name: {shown}",
                service=self.title,
                target=name,
                remedy="Name one of them.",
            )
        found = self._object(names[0], deadline)
        if found is not None and not found.is_called(name):
            raise SourceReplyError(
                f"answered the search for {name} with {found.name}, which is not called so",
                service=self.title,
                remedy="Nothing of it is used. Name the object as TNS does.",
            )
        return found

    def _object(self, name: str, deadline: float) -> TnsObject | None:
        asked = {"objname": name, "photometry": "0", "spectra": "0"}
        content = self._content("object", asked, deadline)
        if _has_nothing(content):
            return None
        found = TnsObject(**self._load(ObjectSchema(), content))
        if _key(found.name) != _key(name):
            raise SourceReplyError(
                f"answered the question for {name} with {found.name}",
                service=self.title,
                remedy="Nothing of it is used; check that TNS_URL is the right one.",
            )
        return found

    def _content(self, call: str, asked: Mapping[str, Any], deadline: float) -> Any:
        """Return the content of an answer, in its newer or its older place."""
        fields = {"api_key": self._key, "data": json.dumps(asked)}
        reply = self._http.post_form(call, fields, deadline=deadline)
        if reply.status == 404 and call == "object":
            return None
        if reply.status in {401, 403}:
            raise SourceRefusedError(
                f"refuses us ({reply.status}): the key, the bot, or both are wrong",
                service=self.title,
                remedy="Check TNS_API_KEY, TNS_BOT_ID and TNS_BOT_NAME.",
            )
        if reply.status != 200:
            raise self._refused(reply)
        envelope = self._load(EnvelopeSchema(), reply.json())
        if envelope["id_code"] != "200":
            raise self._refused(reply)
        data = envelope["data"]
        return data["reply"] if isinstance(data, dict) and "reply" in data else data

    def _refused(self, reply: HttpReply) -> SourceRefusedError:
        return SourceRefusedError(
            f"answered {reply.describe()}",
            service=self.title,
            remedy="Check TNS_URL and the name.",
        )

    def _load(self, schema: Schema, content: object) -> dict[str, Any]:
        try:
            return load(schema, content)
        except ValidationError as error:
            raise self._unreadable(str(faults_of(error, content)[0])) from error

    def _unreadable(self, why: str) -> SourceReplyError:
        return SourceReplyError(
            f"its answer cannot be read: {why}",
            service=self.title,
            remedy="Check that TNS_URL is the address of TNS's API; if it is, look for a newer "
            "yse_ingest.",
        )


def _has_nothing(content: object) -> bool:
    """Tell whether an answer says that there is no such object."""
    if isinstance(content, dict):
        return isinstance(content.get("objname"), dict)
    return content is None


def bot_of(setup: Setup) -> tuple[str, str] | None:
    """Return the key, and how its bot has to call itself; None without a key.

    Raises
    ------
    SettingsError
        When the bot of the key is not named.
    """
    key = setup.value(KEY)
    if key is None:
        return None
    number, name = setup.value(BOT_ID), setup.value(BOT_NAME)
    if number is None or not (number.isascii() and number.isdecimal()):
        raise _no_bot(BOT_ID, number)
    if name is None or not (name.isascii() and name.isprintable()):
        raise _no_bot(BOT_NAME, name)
    marker = json.dumps({"tns_id": int(number), "type": "bot", "name": name})
    return key, f"tns_marker{marker}"


def _no_bot(option: Option, value: str | None) -> SettingsError:
    return SettingsError(
        "TNS answers a key only together with the bot that it belongs to",
        service="settings",
        field=option.variable,
        value=value,
        remedy="Set TNS_BOT_ID (a number) and TNS_BOT_NAME as TNS shows them.",
    )


def _key(name: str) -> str:
    return "".join(name.split()).casefold()
