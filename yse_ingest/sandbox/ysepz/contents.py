"""Filling the stand-in, and looking into it, without HTTP."""

# ruff: noqa: S608 - the names of tables and columns come from here, values are bound
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.sandbox.ysepz import pages
from yse_ingest.sandbox.ysepz.columns import POINT_PLAIN, TRANSIENT_KEYS, TRANSIENT_PLAIN
from yse_ingest.sandbox.ysepz.session import Session
from yse_ingest.sandbox.ysepz.store import FIRST_USER_ID, Database, Store, User
from yse_ingest.sandbox.ysepz.transients import new_transient
from yse_ingest.sandbox.ysepz.values import obs_date, slugify, stored
from yse_ingest.sandbox.ysepz.vocabulary import PARENTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Contents:
    """What is stored, and the accounts.

    Parameters
    ----------
    store
        The database.
    users
        For each account its password and then the groups it is in.
    """

    def __init__(self, store: Store, users: Mapping[str, Sequence[str]]) -> None:
        self.store = store
        self._users: dict[str, User] = {}
        with store.connect() as database:
            for number, (name, (_, *groups)) in enumerate(users.items()):
                ids = [database.named("group", group)[0]["id"] for group in groups]
                self._users[name] = User(FIRST_USER_ID + number, name, frozenset(ids))
        self._user_names = {user.id: name for name, user in self._users.items()}

    def add_transient(
        self,
        name: str,
        ra: float,
        dec: float,
        *,
        status: str = "Following",
        obs_group: str = "ZTF",
        tags: Sequence[str] = (),
        created_by: str = "human",
        **columns: Any,
    ) -> int:
        """Store a transient and return its id.

        Parameters
        ----------
        ra, dec
            ICRS [deg].
        tags
            Names of tags.
        created_by
            The account that made it.
        columns
            Further columns by name (`redshift`, `disc_date`, `slug`, `best_spec_class`, ...).
        """
        with self.store.connect() as database:
            keys: dict[str, Any] = {"status": status, "obs_group": obs_group}
            plain: dict[str, Any] = {"name": name, "ra": ra, "dec": dec}
            for column, value in columns.items():
                (keys if column in TRANSIENT_KEYS else plain)[column] = value
            fields = {
                f"{column}_id": _known(database, TRANSIENT_KEYS[column], value)
                for column, value in keys.items()
                if value is not None
            }
            session = self._helper_session(database, created_by)
            slug = plain.pop("slug", None)
            new = new_transient(session, {**plain, **fields})
            if slug is not None:
                database.update("transient", [new], {"slug": slug})
            for tag in tags:
                database.add_tag(new, _known(database, "transienttag", tag))
            return new

    def set_status(self, transient: str, status: str, *, tags: Sequence[str] = ()) -> None:
        """Give a transient a status, and these tags in place of those it has, by hand."""
        with self.store.connect() as database:
            row = _known(database, "transient", transient)
            changes = {"status_id": _known(database, "transientstatus", status)}
            database.update("transient", [row], changes)
            database.run("DELETE FROM YSE_App_transient_tags WHERE transient_id = ?", [row])
            for tag in tags:
                database.add_tag(row, _known(database, "transienttag", tag))

    def rename(self, transient: str, name: str, *, obs_group: str = "ZTF") -> None:
        """Give a transient another primary name; the one that it had becomes an alias."""
        with self.store.connect() as database:
            row = _known(database, "transient", transient)
            database.update("transient", [row], {"name": name, "slug": slugify(name)})
        self.add_alias(transient, name, obs_group=obs_group)

    def add_alias(self, alias: str, transient: str, *, obs_group: str = "ZTF") -> int:
        """Give a transient another name; return the alias's id."""
        with self.store.connect() as database:
            fields = {
                "name": alias,
                "slug": slugify(alias),
                "transient_id": _known(database, "transient", transient),
                "obs_group_id": _known(database, "observationgroup", obs_group),
            }
            user = self._users["human"].id if "human" in self._users else FIRST_USER_ID
            return database.insert("alternatetransientnames", user, fields)

    def add_name(self, table: str, name: str, *, parent: str | None = None) -> int:
        """Add a row to a table of names, as an administrator does; return its id.

        Parameters
        ----------
        table
            ``telescope``, ``instrument``, ``photometricband``, ``observationgroup``...
        parent
            The telescope of an instrument, or the instrument of a band.
        """
        fields: dict[str, Any] = {"name": name}
        with self.store.connect() as database:
            if parent is not None:
                fields["parent_id"] = _known(database, PARENTS[table], parent)
            return database.insert(table, FIRST_USER_ID, fields)

    def add_photometry(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        instrument: str = "ZTF-Cam",
        obs_group: str = "ZTF",
        user: str = "othercron",
        groups: Sequence[str] = (),
        new_header: bool = False,
    ) -> list[int]:
        """Store points as another program's rows, without any matching; return their ids.

        Parameters
        ----------
        rows
            `obs_date` and `band`, and any of mag, mag_err, flux, flux_err, flux_zero_point,
            forced, diffim, discovery_point, data_quality (a list of names), modified_by.
        groups
            Groups to attach to the header.
        new_header
            Make a second header although one exists.
        """
        with self.store.connect() as database:
            owner = self._users[user].id
            transient = _known(database, "transient", name)
            camera = _known(database, "instrument", instrument)
            team = _known(database, "observationgroup", obs_group)
            header = None if new_header else database.header(transient, camera, team)
            if header is None:
                fields = {
                    "transient_id": transient,
                    "instrument_id": camera,
                    "obs_group_id": team,
                }
                header = database.insert("transientphotometry", owner, fields)
            for group in groups:
                database.add_group(header, _known(database, "group", group))
            return [self._add_point(database, header, instrument, owner, row) for row in rows]

    def _add_point(
        self,
        database: Database,
        header: int,
        instrument: str,
        owner: int,
        row: Mapping[str, Any],
    ) -> int:
        filled = {"forced": 0, "diffim": 1, "discovery_point": 0, **row}
        values = {
            name: stored(filled.get(name), name, kind)
            for name, kind in POINT_PLAIN.items()
            if name != "obs_date"
        }
        point = database.insert(
            "transientphotdata",
            owner,
            {
                "photometry_id": header,
                "band_id": database.band(row["band"], instrument),
                "obs_date": obs_date(row["obs_date"])[1],
                **values,
            },
        )
        flags = [
            _known(database, "dataquality", flag) for flag in row.get("data_quality") or ()
        ]
        database.set_flags(point, flags)
        if "modified_by" in row:
            last = {"modified_by_id": self._users[row["modified_by"]].id}
            database.update("transientphotdata", [point], last)
        return point

    def add_survey(self, instrument: str, bands: Sequence[str], obs_group: str) -> None:
        """Add an instrument, its bands and an observing group, as an administrator does.

        The instrument gets a telescope of the same name.
        """
        self.add_name("telescope", instrument)
        self.add_name("instrument", instrument, parent=instrument)
        for band in bands:
            self.add_name("photometricband", band, parent=instrument)
        self.add_name("observationgroup", obs_group)

    def set_flag(self, point: int, flag: str, user: str) -> None:
        """Set a data-quality flag by hand, in place of those there are."""
        with self.store.connect() as database:
            database.set_flags(point, [_known(database, "dataquality", flag)])
            changes = {"modified_by_id": self._users[user].id, "modified_date": database.now()}
            database.update("transientphotdata", [point], changes)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return every point of a transient, in the order of storage, with all columns."""
        with self.store.connect() as database:
            return pages.points(database, self._user_names, _known(database, "transient", name))

    def transient_row(self, name: str) -> dict[str, Any]:
        """Return all 47 columns of a transient, and its tags, with names in place of ids."""
        with self.store.connect() as database:
            row = database.named("transient", name)[0]
            keys = {}
            for column, table in TRANSIENT_KEYS.items():
                found = None
                if table is not None and row[f"{column}_id"] is not None:
                    query = f"SELECT name FROM YSE_App_{table} WHERE id = ?"
                    found = database.one(query, [row[f"{column}_id"]])
                keys[column] = None if found is None else found["name"]
            tags = [
                database.all("SELECT name FROM YSE_App_transienttag WHERE id = ?", [tag])[0][0]
                for tag in database.tags(row["id"])
            ]
            return {
                "id": row["id"],
                "created_by": self._user_names.get(row["created_by_id"]),
                "modified_by": self._user_names.get(row["modified_by_id"]),
                "created_date": row["created_date"],
                "modified_date": row["modified_date"],
                **keys,
                **{column: row[column] for column in TRANSIENT_PLAIN},
                "tags": tags,
            }

    def transients(self) -> list[str]:
        """Return the names of all transients, by id."""
        with self.store.connect() as database:
            rows = database.all("SELECT name FROM YSE_App_transient ORDER BY id")
            return [row["name"] for row in rows]

    def _helper_session(self, database: Database, user: str) -> Session:
        return Session(
            db=database,
            user=self._users[user],
            charge=lambda _: None,
            hold=lambda _: None,
            mail=lambda: None,
            tess=lambda: None,
            base_url="",
            user_names=self._user_names,
        )


def _known(database: Database, table: str | None, name: str) -> int:
    """Return the id of a row that must exist."""
    rows = database.named(table or "", name)
    if not rows:
        raise LookupError(f"the stand-in has no {table} {name!r}")
    return int(rows[0]["id"])
