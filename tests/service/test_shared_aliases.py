"""The list of aliases is read once for all processes, then only what was added."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.service.test_turns import ask_from_three_processes, environment
from yse_ingest.errors import HeldBackError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.state.aliases import AliasShelf
from yse_ingest.ysepz import Account, YsePz
from yse_ingest.ysepz.aliases import AGE_S, Aliases
from yse_ingest.ysepz.lists import PAGE_ROWS, Lists

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

PATH = "/api/alternatetransientnames/"


class LaterShelf(AliasShelf):
    """A shelf whose clock may be ahead: a day passes at once."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class ShortShelf(AliasShelf):
    """A shelf that takes three aliases."""

    rows_max = 3


def known(house: House, count: int = 3) -> None:
    house.ysepz.add_alias("ZTF19a0", "2019np")
    with house.ysepz.store.connect() as database:
        columns = ("created_by_id", "modified_by_id", "created_date", "modified_date")
        owned = ", ".join((*columns, "transient_id", "obs_group_id"))
        for number in range(1, count):
            database.run(
                f"INSERT INTO YSE_App_alternatetransientnames (name, {owned}) "
                f"SELECT ?, {owned} FROM YSE_App_alternatetransientnames WHERE id = 1",
                [f"ZTF19a{number}"],
            )


def names(service: Service) -> list[str]:
    return [alias.name for alias in service.ysepz.aliases()]


def asked(house: House) -> list[int]:
    """Return from which row on each request asked."""
    return [int(dict(one.query)["offset"]) for one in house.ysepz.log if one.path == PATH]


def lists_of(house: House) -> Lists:
    return YsePz(house.ysepz.url, Account("ingest", "sandbox-only"))._lists


def later(service: Service) -> LaterShelf:
    state = service.state
    return LaterShelf(state._connection, state._keys, state.leases)


def short(service: Service) -> Aliases:
    state = service.state
    shelf = ShortShelf(state._connection, state._keys, state.leases)
    return Aliases(lambda: shelf)


def test_processes_that_start_together_read_the_list_once(house: House) -> None:
    """Six of them look a name up at one moment: one reads the pages, all have every row."""
    known(house, 2 * PAGE_ROWS + 5)
    house.ysepz.faults.add(Fault("slow", path="alternate", seconds=0.3))
    services = [house.service(YSE_PZ_IN_FLIGHT="6") for _ in range(6)]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda each=each: found.append(len(names(each))))
        for each in services
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == 6 * [2 * PAGE_ROWS + 5]
    assert [offset for offset in asked(house) if offset < 2 * PAGE_ROWS] == [0, PAGE_ROWS]


def test_worker_processes_read_the_list_once(house: House) -> None:
    """Three processes of four threads each: the list is asked for from its start once."""
    known(house, PAGE_ROWS + 5)
    house.ysepz.faults.add(Fault("slow", path="alternate", seconds=0.2))
    env = environment(house, house.ysepz)
    ask_from_three_processes("aliases", "4", str(PAGE_ROWS + 5), env=env)

    assert [offset for offset in asked(house) if offset <= PAGE_ROWS] == [0, PAGE_ROWS]


def test_what_one_finds_added_all_have(house: House) -> None:
    """A process that starts later asks beyond the last known row, also after others did."""
    known(house)
    assert len(names(house.service())) == 3
    house.ysepz.add_alias("ZTF19new", "2019np")
    first = house.service()
    assert names(first)[-1] == "ZTF19new"
    assert names(house.service())[-1] == "ZTF19new"
    assert names(first)[-1] == "ZTF19new"
    assert asked(house) == [0, 2, 3, 3]


def test_a_day_later_one_reads_it_anew_and_the_others_use_what_is_there(house: House) -> None:
    """A changed alias is known to all once it is over; until then nobody waits."""
    known(house)
    service = house.service()
    assert len(names(service)) == 3
    shelf, other = later(service), later(house.service())
    shelf.ahead = other.ahead = AGE_S + 1
    with house.ysepz.store.connect() as database:
        database.run(
            "UPDATE YSE_App_alternatetransientnames SET name = 'renamed' WHERE id = 1", []
        )
    mine, others = Aliases(lambda: shelf), Aliases(lambda: other, patience_s=0.0)
    lists = lists_of(house)

    fence = shelf.begin()  # another process has begun to read it
    assert fence is not None
    assert others.read(lists)[0].name == "ZTF19a0"
    shelf.end(fence)
    assert mine.read(lists)[0].name == "renamed"
    assert others.read(lists)[0].name == "renamed"
    assert names(house.service())[0] == "renamed"
    assert asked(house) == [0, 2, 0, 2, 2]


def test_a_process_that_dies_while_it_reads(house: House) -> None:
    """Others are told to try again; when its lease is over, one of them reads the list."""
    known(house)
    service = house.service()
    state, lists = service.state, lists_of(house)
    dead = state.leases.take("aliases", lease_s=0.4)
    assert dead is not None

    with pytest.raises(HeldBackError, match="another process reads the list") as caught:
        Aliases(lambda: state.aliases, patience_s=0.0).read(lists)
    assert caught.value.retryable
    assert asked(house) == []
    started = time.monotonic()
    assert len(Aliases(lambda: state.aliases, patience_s=10.0).read(lists)) == 3
    assert 0.2 < time.monotonic() - started < 8


def test_a_reading_that_fails_is_begun_again_at_once(house: House) -> None:
    """An error of YSE-PZ gives the lease back."""
    known(house)
    house.ysepz.faults.add(Fault("garbage", path="alternate", times=1))
    lists, shelf = lists_of(house), house.service().state.aliases
    aliases = Aliases(lambda: shelf, patience_s=0.0)
    with pytest.raises(Exception, match="alternatetransientnames"):
        aliases.read(lists)
    assert len(aliases.read(lists)) == 3


@pytest.mark.parametrize(
    "damage",
    [
        ("LTRIM", "{rows}", 1, -1),
        ("DEL", "{rows}"),
        ("LSET", "{rows}", 1, "[2"),
        ("LSET", "{rows}", 1, '{"pk":2}'),
        ("LSET", "{rows}", 1, '["2","x",1]'),
        ("HDEL", "{meta}", "count"),
        ("HSET", "{meta}", "read_ms", "soon"),
        ("HSET", "{meta}", "count", 4),
        ("DEL", "{meta}"),
    ],
    ids=["short", "gone", "torn", "other", "typed", "no count", "no time", "long", "no meta"],
)
def test_a_broken_copy_is_read_anew(house: House, damage: tuple[object, ...]) -> None:
    """Whatever became of it in Redis, every alias is there, and the copy is whole again."""
    known(house)
    service = house.service()
    assert len(names(service)) == 3
    connection, keys = service.state._connection, service.state._keys
    meta = keys("aliases")
    rows = keys("aliases", connection.call("HGET", meta, "reading"))
    connection.call(
        *(
            part.format(rows=rows, meta=meta) if part in ("{rows}", "{meta}") else part
            for part in damage
        )
    )

    assert names(house.service()) == ["ZTF19a0", "ZTF19a1", "ZTF19a2"]
    assert asked(house) == [0, 0]
    assert names(house.service()) == ["ZTF19a0", "ZTF19a1", "ZTF19a2"]
    assert asked(house) == [0, 0, 2]


def test_a_list_that_shrank_is_read_anew_by_one(house: House) -> None:
    """Another last row means that rows were removed: one process reads, all have it."""
    known(house)
    first, second = house.service(), house.service()
    assert len(names(first)) == len(names(second)) == 3
    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_alternatetransientnames WHERE id = 2", [])
    house.ysepz.add_alias("ZTF19new", "2019np")
    expected = ["ZTF19a0", "ZTF19a2", "ZTF19new"]
    assert names(first) == expected
    assert names(second) == expected
    assert asked(house) == [0, 2, 2, 0, 2]


def test_an_alias_that_leads_nowhere_has_the_list_read_anew(house: House) -> None:
    """`forget` holds for the copy that was used: one that another has read since serves."""
    known(house)
    first, second = house.service(), house.service()
    assert len(names(first)) == len(names(second)) == 3
    first.ysepz.forget_aliases()
    second.ysepz.forget_aliases()
    assert len(names(first)) == len(names(second)) == 3
    assert asked(house) == [0, 2, 0, 2]


def test_a_list_that_is_too_long_is_kept_by_each_process(house: House) -> None:
    """What Redis holds is bounded; each then reads once, and only what was added after."""
    known(house, 4)
    service, lists = house.service(), lists_of(house)
    first, second = short(service), short(house.service())
    for aliases in (first, second, first, second):
        assert len(aliases.read(lists)) == 4
    assert service.state.aliases.load(None) is None
    assert asked(house) == [0, 0, 3, 3]


def test_a_list_that_grows_too_long_stays_as_it_was_shared(house: House) -> None:
    """What lies beyond the bound is read at each look-up, and not kept."""
    known(house)
    service, lists = house.service(), lists_of(house)
    aliases = short(service)
    assert len(aliases.read(lists)) == 3
    house.ysepz.add_alias("ZTF19new", "2019np")
    assert len(aliases.read(lists)) == len(aliases.read(lists)) == 4
    copy = service.state.aliases.load(None)
    assert copy is not None
    assert len(copy.rows) == 3
    assert asked(house) == [0, 2, 2]


def test_without_redis_each_process_reads_its_own(house: House) -> None:
    """`push` needs no Redis for it."""
    known(house)
    for _ in range(2):
        service = house.service(state=False)
        assert len(names(service)) == len(names(service)) == 3
    assert asked(house) == [0, 2, 0, 2]
