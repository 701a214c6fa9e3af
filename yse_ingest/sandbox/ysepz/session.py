"""What one request has at hand: who asks, the database, the clock of costs, the mail server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yse_ingest.sandbox.ysepz.store import Database, User

# CPU seconds of the real server, measured 2026-11 on an idle machine; good to about 15 %.
UPLOAD_LOGIN_S: Final = 0.15
API_LOGIN_S: Final = 0.075
TRANSIENT_S: Final = 0.005
EXISTING_POINT_S: Final = 1.0e-3
SAME_BAND_PAIR_S: Final = 78e-6
OTHER_BAND_PAIR_S: Final = 4e-6
NEW_POINT_S: Final = 1.3e-3
READ_BACK_POINT_S: Final = 4.4e-3
LISTED_POINT_S: Final = 1.8e-3
SAVED_QUERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Session:
    """One authenticated request.

    Attributes
    ----------
    charge
        Adds to the modelled cost [s].
    hold
        Names a transient as being worked on.
    mail
        Sends the error mail; raises or hangs as the mail server does.
    tess
        Makes the call that the creation of a transient by `save` makes.
    base_url
        What hyperlinks begin with.
    user_names
        The accounts by id.
    """

    db: Database
    user: User
    charge: Callable[[float], None]
    hold: Callable[[str], None]
    mail: Callable[[], None]
    tess: Callable[[], None]
    base_url: str
    user_names: Mapping[int, str]
