"""The stand-in ATLAS answers as its server was read and its guide says, its traps included."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.atlas import AtlasStandIn
from yse_ingest.sandbox.atlas.stand_in import NO_DATA, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = (150.1, 2.2)
NOW = 1_764_000_000.0
"""2025-11-24T16:00:00Z, MJD 61003.67."""


@pytest.fixture
def atlas() -> Iterator[AtlasStandIn]:
    with AtlasStandIn(clock=lambda: NOW) as stand_in:
        yield stand_in


def asked(
    stand_in: AtlasStandIn, method: str, path: str, *, token: str | None = TOKEN, **options: Any
) -> requests.Response:
    url = path if path.startswith("http") else f"{stand_in.api_url}/{path}"
    headers = {} if token is None else {"Authorization": f"Token {token}"}
    return requests.request(method, url, headers=headers, timeout=10, **options)


def submitted(stand_in: AtlasStandIn, **fields: Any) -> dict[str, Any]:
    fields = {"ra": PLACE[0], "dec": PLACE[1], "send_email": False} | fields
    reply = asked(stand_in, "POST", "queue/", data=fields)
    assert reply.status_code == 201, reply.text
    task: dict[str, Any] = reply.json()
    return task


# Who asks -------------------------------------------------------------------------------------


def test_a_token_is_given_for_name_and_password(atlas: AtlasStandIn) -> None:
    """A form goes in, a token comes out; wrong credentials are a 400, JSON is a 415."""
    login = {"username": "ingest", "password": "sandbox-only"}
    good = asked(atlas, "POST", "api-token-auth/", token=None, data=login)
    bad = asked(atlas, "POST", "api-token-auth/", token=None, data={**login, "password": "x"})
    no_form = asked(atlas, "POST", "api-token-auth/", token=None, json=login)
    assert good.json() == {"token": TOKEN}
    assert bad.status_code == 400
    assert bad.json() == {"non_field_errors": ["Unable to log in with provided credentials."]}
    assert no_form.status_code == 415


@pytest.mark.parametrize("token", [None, "wrong"], ids=["none", "wrong"])
def test_nobody_asks_without_a_token(atlas: AtlasStandIn, token: str | None) -> None:
    """401 with a detail, for each route of the queue."""
    for method, path in (("GET", "queue/"), ("POST", "queue/"), ("GET", "queue/1/")):
        reply = asked(atlas, method, path, token=token)
        assert reply.status_code == 401
        assert "detail" in reply.json()


# Submitting -----------------------------------------------------------------------------------


def test_a_task_has_every_key_and_null_where_nothing_is_known(atlas: AtlasStandIn) -> None:
    """201, a task with 37 keys, not finished, in the queue."""
    task = submitted(atlas, mjd_min="60890.0", comment="2025abc")
    assert len(task) == 37
    assert task["url"] == f"{atlas.api_url}/queue/{task['id']}/"
    assert (task["ra"], task["dec"], task["mjd_min"]) == (*PLACE, 60890.0)
    assert (task["finished"], task["finishtimestamp"], task["result_url"]) == (
        False,
        None,
        None,
    )
    assert (task["comment"], task["queuepos"], task["error_msg"]) == ("2025abc", 0, None)


def test_many_places_are_one_request(atlas: AtlasStandIn) -> None:
    """Lines of ra,dec become a list of tasks in that order; more than 100 are refused."""
    places = [(10.0 + number, 20.0) for number in range(100)]
    text = "\n".join(f"{ra},{dec}" for ra, dec in places)
    content = {"radeclist": text, "mjd_min": 60000}
    tasks = asked(atlas, "POST", "queue/", json=content).json()
    assert [(task["ra"], task["dec"]) for task in tasks] == places
    content["radeclist"] = f"{text}\n1.0,2.0"
    refused = asked(atlas, "POST", "queue/", json=content)
    assert refused.status_code == 400
    assert list(refused.json()) == ["radeclist"]


def test_what_is_not_said_has_its_default(atlas: AtlasStandIn) -> None:
    """Without mjd_min 30 days, with null the whole archive; an e-mail unless it is declined."""
    fields = {"ra": PLACE[0], "dec": PLACE[1]}
    recent = asked(atlas, "POST", "queue/", json=fields).json()
    everything = asked(atlas, "POST", "queue/", json={**fields, "mjd_min": None}).json()
    assert recent["mjd_min"] == pytest.approx(NOW / 86400 + 40587 - 30)
    assert everything["mjd_min"] is None
    assert recent["send_email"] is True
    asked(atlas, "GET", recent["url"])
    quiet = submitted(atlas)
    asked(atlas, "GET", quiet["url"])
    assert atlas.mails == [recent["id"]]


def test_a_field_that_is_wrong_is_named(atlas: AtlasStandIn) -> None:
    """400 with the field and its messages."""
    reply = asked(atlas, "POST", "queue/", json={"ra": "x", "dec": 2.2, "comment": "c" * 301})
    assert reply.status_code == 400
    assert set(reply.json()) == {"ra", "comment"}


def test_a_full_queue_takes_nothing(atlas: AtlasStandIn) -> None:
    """400, a text and not a list under non_field_errors."""
    atlas.queued_max = 1
    submitted(atlas)
    reply = asked(atlas, "POST", "queue/", data={"ra": 1.0, "dec": 2.0})
    assert reply.status_code == 400
    assert reply.json()["non_field_errors"].startswith("ERROR: You have too many queued tasks")


def test_who_asks_too_often_is_told_for_how_long_in_words(atlas: AtlasStandIn) -> None:
    """60 writes a minute, then 429; reads have a count of their own, and go on."""
    for _ in range(60):
        submitted(atlas)
    reply = asked(atlas, "POST", "queue/", data={"ra": 1.0, "dec": 2.0})
    assert reply.status_code == 429
    assert "Retry-After" not in reply.headers
    assert re.search(r"available in (\d+) seconds", reply.json()["detail"])
    assert asked(atlas, "GET", "queue/").status_code == 200


# Waiting --------------------------------------------------------------------------------------


def test_the_queue_is_read_by_cursors(atlas: AtlasStandIn) -> None:
    """Six to a page unless asked otherwise, the newest first; ``next`` leads on."""
    numbers = [submitted(atlas)["id"] for _ in range(14)]
    seen: list[int] = []
    sizes = []
    url: str | None = "queue/"
    while url:
        page = asked(atlas, "GET", url).json()
        seen += [task["id"] for task in page["results"]]
        sizes.append(len(page["results"]))
        url = page["next"]
    assert seen == numbers[::-1]
    assert sizes == [6, 6, 2]
    whole = asked(atlas, "GET", "queue/?pagesize=100").json()
    assert (len(whole["results"]), whole["next"]) == (14, None)


def test_places_in_the_queue(atlas: AtlasStandIn) -> None:
    """One answer tells where each task waits."""
    atlas.finish_after_polls = 5
    numbers = [submitted(atlas)["id"] for _ in range(2)]
    positions = asked(atlas, "GET", "queuepositions.json").json()
    assert positions == {str(number): place for place, number in enumerate(numbers)}


def test_a_task_is_finished_when_it_was_looked_at_often_enough(atlas: AtlasStandIn) -> None:
    """Until then both times are null; afterwards there is a result."""
    atlas.finish_after_polls = 2
    atlas.add(*PLACE, 60900.51001, "o", 99, 6)
    url = submitted(atlas, mjd_min=60890)["url"]
    looks = [asked(atlas, "GET", url).json() for _ in range(3)]
    assert [bool(task["finishtimestamp"]) for task in looks] == [False, False, True]
    assert looks[-1]["result_url"].endswith(".txt")


def test_finished_is_not_the_same_as_having_a_result(atlas: AtlasStandIn) -> None:
    """A place without data ends with a message, and with no address for ever."""
    url = submitted(atlas)["url"]
    for _ in range(3):
        task = asked(atlas, "GET", url).json()
        assert task["finished"] is True
        assert task["finishtimestamp"]
        assert (task["result_url"], task["error_msg"]) == (None, NO_DATA)


# Results --------------------------------------------------------------------------------------


def test_a_result_is_a_table_of_text(atlas: AtlasStandIn) -> None:
    """A header with ###, blanks between; a negative flux has a magnitude with a minus sign."""
    atlas.add(*PLACE, 60900.51001, "o", 99, 6, obs="01a60900o0510o")
    atlas.add(*PLACE, 60900.51402, "o", -33, 9, obs="01a60900o0520o")
    task = asked(atlas, "GET", submitted(atlas, mjd_min=60890)["url"]).json()
    text = asked(atlas, "GET", task["result_url"], token=None).text
    header, first, second = text.splitlines()
    assert " ".join(header.split()) == (
        "###MJD m dm uJy duJy F err chi/N RA Dec x y maj min phi apfit mag5sig Sky Obs"
    )
    positive, negative = (
        dict(zip(header.split(), x.split(), strict=True)) for x in (first, second)
    )
    assert (positive["uJy"], positive["duJy"], positive["m"]) == ("99", "6", "18.911")
    assert (negative["uJy"], negative["m"]) == ("-33", "-20.104")
    assert (positive["Obs"], positive["F"]) == ("01a60900o0510o", "o")
    assert asked(atlas, "GET", f"{task['url']}data.txt").text == text


def test_mjd_min_is_a_since_of_the_server(atlas: AtlasStandIn) -> None:
    """What was exposed before is not in the result."""
    for mjd in (60880.5, 60895.5):
        atlas.add(*PLACE, mjd, "c", 50, 5)
    task = asked(atlas, "GET", submitted(atlas, mjd_min=60890)["url"]).json()
    lines = asked(atlas, "GET", task["result_url"]).text.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["60895.500000"]


def test_a_deleted_task_is_gone_with_its_result(atlas: AtlasStandIn) -> None:
    """204 once, 404 from then on, for the task and for its table."""
    atlas.add(*PLACE, 60900.5, "o", 99, 6)
    task = asked(atlas, "GET", submitted(atlas, mjd_min=60890)["url"]).json()
    first = asked(atlas, "DELETE", task["url"])
    assert (first.status_code, first.content) == (204, b"")
    assert asked(atlas, "DELETE", task["url"]).status_code == 404
    assert asked(atlas, "GET", task["url"]).status_code == 404
    assert asked(atlas, "GET", task["result_url"]).status_code == 404
    assert asked(atlas, "GET", "queue/").json()["results"] == []
