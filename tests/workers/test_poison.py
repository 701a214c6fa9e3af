"""Junk in the queues: dropped with one line, and the worker goes on."""

from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.state import side_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workers.conftest import Service


class Bomb:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os._exit, (66,)


def _message(**changes: Any) -> dict[str, Any]:
    """Return a message as Celery writes it, with changes."""
    body = changes.pop("body", [["nosuch"], {}, {}])
    message: dict[str, Any] = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": "yse_ingest.fetch_photometry", "id": "1234", "root_id": None,
            "parent_id": None, "group": None, "origin": "gen1@here", "retries": 0, "eta": None,
            "expires": None, "timelimit": [None, None], "argsrepr": "", "kwargsrepr": "",
        },
        "properties": {
            "correlation_id": "1234", "reply_to": "", "delivery_mode": 2, "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": "fetch"},
            "body_encoding": "base64", "delivery_tag": "5678",
        },
    }  # fmt: skip
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if key:
            message[part] = {**message[part], key: value}
        else:
            message[part.replace("_", "-")] = value
    return message


DEEP = 100_000
JUNK: dict[str, bytes] = {
    "text": b"hello",
    "nothing": b"",
    "zeros": b"\0" * 1000,
    "bytes that are no text": bytes(range(128, 256)),
    "half a message": json.dumps(_message()).encode()[:200],
    "null": b"null",
    "a number": b"17",
    "a huge number": b"9" * 5000,
    "a list": b"[]",
    "an empty object": b"{}",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a huge one": json.dumps(_message(body=[["x" * 3_000_000], {}, {}])).encode(),
    "no properties": json.dumps(_message(properties=None)).encode(),
    "properties of another kind": json.dumps(_message(properties=[1])).encode(),
    "no tag": json.dumps(_message(properties__delivery_tag=None)).encode(),
    "a tag of another kind": json.dumps(_message(properties__delivery_tag={"a": 1})).encode(),
    "no delivery info": json.dumps(_message(properties__delivery_info=None)).encode(),
    "no headers": json.dumps(_message(headers=None)).encode(),
    "headers of another kind": json.dumps(_message(headers="x")).encode(),
    "no task": json.dumps(_message(headers__task=None)).encode(),
    "no id": json.dumps(_message(headers__id=7)).encode(),
    "a body that is not base64": json.dumps(
        {**_message(), "body": "\u00e4 no base64"}
    ).encode(),
    "a body of another kind": json.dumps({**_message(), "body": {"a": 1}}).encode(),
    "a body that is no call": json.dumps(_message(body={"a": 1})).encode(),
    "a body of the wrong parts": json.dumps(_message(body=["a", "b", "c"])).encode(),
    "a deep body": json.dumps(
        {**_message(), "body": base64.b64encode(b"[" * DEEP).decode()}
    ).encode(),
    "pickle": json.dumps(
        {
            **_message(
                content_type="application/x-python-serialize", content_encoding="binary"
            ),
            "body": base64.b64encode(pickle.dumps(Bomb())).decode(),
        }
    ).encode(),
    "yaml": json.dumps(_message(content_type="application/x-yaml")).encode(),
    "an encoding nobody knows": json.dumps(_message(content_encoding="rot13")).encode(),
    "a compression bomb": json.dumps(
        _message(headers__compression="application/x-gzip")
    ).encode(),
    "an unknown task": json.dumps(_message(headers__task="os.system")).encode(),
    "too many arguments": json.dumps(_message(body=[["a", "b", "c"], {}, {}])).encode(),
    "unknown keywords": json.dumps(_message(body=[[], {"nosuch": 1}, {}])).encode(),
    "a target of another kind": json.dumps(_message(body=[[{"a": [1]}], {}, {}])).encode(),
    "a name of a million letters": json.dumps(
        _message(body=[["x" * 100_000], {}, {}])
    ).encode(),
    "a strange date": json.dumps(_message(headers__eta="tomorrow")).encode(),
    "a strange end": json.dumps(_message(headers__expires={"a": 1})).encode(),
    "strange limits": json.dumps(_message(headers__timelimit="x")).encode(),
    "strange retries": json.dumps(_message(headers__retries="many")).encode(),
    "callbacks": json.dumps(
        _message(body=[["nosuch"], {}, {"callbacks": [17], "errbacks": "x", "chain": {}}])
    ).encode(),
}


@pytest.mark.timeout(180)
def test_junk_is_dropped_and_the_worker_goes_on(
    service: Service, until: Callable[..., float]
) -> None:
    """No message ends the worker, comes back, or keeps it from the next target."""
    service.know("2019np")
    worker = service.worker("everything")
    broker = side_connection(service.redis.url())
    told = {}
    for name, junk in JUNK.items():
        before = len(worker.text)
        broker.call("LPUSH", "fetch", junk)
        until(lambda: broker.call("LLEN", "fetch") == 0, within=10, what=name)
        until(lambda: len(worker.text) > before, within=10, what=f"a line for {name}")  # noqa: B023
        told[name] = worker.text[before:]
        assert worker.alive, f"{name}: {worker.text}"
    for junk in (b"hello", b"[]", b"{}", b"null", b"[" * DEEP, json.dumps(_message()).encode()):
        broker.call("PUBLISH", "/0.celery.pidbox", junk)
    service.python("from workers import enqueue_target; enqueue_target('2019np')")
    until(lambda: service.stored("2019np") == service.published("2019np"), within=30)

    assert worker.alive
    assert worker.text.count("ready.") == 1, "one connection has lasted"
    until(lambda: broker.call("HLEN", "unacked") == 0, within=10)
    assert "Unrecoverable" not in worker.text
    dropped = [line for line in worker.text.splitlines() if "message dropped" in line]
    assert len(dropped) >= 30
    assert all(len(line) < 500 for line in dropped)
    assert max(len(text) for text in told.values()) < 20_000
