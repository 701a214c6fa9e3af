"""`yse-ingest health`: exit code 1 and the reason when anything is stale, in bounded time."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from yse_ingest.cli import main
from yse_ingest.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.watch.conftest import Deployment
    from yse_ingest.service import Service

NAMES = ("2019np", "ZTF20aaypcrt")
WORKS = ("queue:fetch", "queue:upload", "queue:control", "dispatch", "drain", "sweep", "watch")


def health(deployment: Deployment, *options: str, **changes: str) -> tuple[int, list[str]]:
    """Return exit code and lines of the command."""
    result = CliRunner().invoke(
        main, ["health", *options], env={**deployment.environment, **changes}
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result
    return result.exit_code, result.output.splitlines()


@pytest.fixture
def service(deployment: Deployment) -> Service:
    """Return a service at work: two targets that have just been asked, nothing owed."""
    service = deployment.service()
    deployment.work(service)
    deployment.follow(service, *NAMES)
    now_ms = service.state.now_ms()
    for name in NAMES:
        service.state.clocks.record(
            name, "mars", asked_ms=now_ms, answered_ms=now_ms, status="ok", detail={}
        )
    return service


def test_all_is_well(deployment: Deployment, service: Service) -> None:
    """One line, and exit code 0."""
    assert health(deployment) == (
        0,
        ["OK: 2 targets followed, 0 points owed; beat and all workers at work within 5 min"],
    )
    code, lines = health(deployment, "--json")
    assert (code, json.loads("\n".join(lines))["healthy"]) == (0, True)


def beat_dead(deployment: Deployment, service: Service) -> None:
    _forget(service, *WORKS)


def queue_dead(deployment: Deployment, service: Service) -> None:
    _forget(service, "queue:upload")


def control_dead(deployment: Deployment, service: Service) -> None:
    """Let the ticks pile up: somebody sends them, nobody works on them."""
    _forget(service, *WORKS)
    state = service.state
    broker = state._connection.open(
        deployment.environment["CELERY_BROKER_URL"], socket_timeout=5, connect_timeout=5
    )
    broker.call("LPUSH", f"yse_ingest:{state.namespace}:control", "{}", "{}")
    broker.close()


def dispatch_dead(deployment: Deployment, service: Service) -> None:
    _forget(service, "dispatch")


def source_dead(deployment: Deployment, service: Service) -> None:
    deployment.mars.faults.add(Fault("status", status=503))
    service.refresh(NAMES)


def source_left_alone(deployment: Deployment, service: Service) -> None:
    """Open its breaker: no target is asked, so that no target's clock knows."""
    for _ in range(5):
        service.state.source_breaker("mars").record(ok=False, reason="it is down")


def format_changed(deployment: Deployment, service: Service) -> None:
    deployment.mars.faults.add(Fault("garbage"))
    service.refresh(["2019np"])


def ysepz_away(deployment: Deployment, service: Service) -> None:
    for _ in range(5):
        service.state.outbox.record(ok=False)


def owed(deployment: Deployment, service: Service) -> None:
    service.refresh(["2019np"])


def held(deployment: Deployment, service: Service) -> None:
    service.state.outbox.hold("the disk is changed")


def lost(deployment: Deployment, service: Service) -> None:
    _forget_everything(service)
    service.state.notice_loss(60)
    deployment.work(service)


def empty(deployment: Deployment, service: Service) -> None:
    _forget_everything(service)
    deployment.work(service)


def credentials(deployment: Deployment, service: Service) -> None:
    wrong = deployment.service(YSE_PZ_PASSWORD="wrong-and-secret")
    wrong.state.resolutions.drop("2019np")
    wrong.refresh(["2019np"])


def mail_dead(deployment: Deployment, service: Service) -> None:
    now_ms = service.state.now_ms()
    service.state.notices.failed("mail", "it is away", next_ms=now_ms + 60_000, now_ms=now_ms)


def _forget(service: Service, *works: str) -> None:
    state = service.state
    long_ago_ms = state.now_ms() - 3_600_000
    for work in works:
        state._connection.call("HSET", state._keys("heartbeats"), work, long_ago_ms)


def _forget_everything(service: Service) -> None:
    for key in service.state._connection.call("KEYS", service.state._keys("*")):
        service.state._connection.call("DEL", key)


SHORT = {
    "YSE_INGEST_LIMIT_SOURCE": "0.01",
    "YSE_INGEST_LIMIT_OWED": "0.01",
    "YSE_INGEST_LIMIT_YSE_PZ": "0.01",
}


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (beat_dead, "beat: beat is silent: no tick was worked on since "),
        (queue_dead, "queue:upload: the workers of the queue upload are silent: "),
        (control_dead, "queue:control: the workers of the queue control are silent: "),
        (dispatch_dead, "work:dispatch: dispatch has not done its work: no run since "),
        (source_dead, "source:mars: mars answers nothing (2 targets wait for it: MARS: "),
        (source_left_alone, "source:mars: mars answers nothing. "),
        (format_changed, "format:mars: mars answers something that cannot be read (1 target"),
        (ysepz_away, "away: YSE-PZ does not answer. Ask who runs it."),
        (owed, "owed: 33 points of 1 transient are owed since "),
        (held, "held: writing is held: the disk is changed. "),
        (lost, "quiet: the state was lost: nothing is sent for another "),
        (empty, "state: Redis holds no state: "),
        (credentials, "credentials: "),
        (mail_dead, "notify:mail: messages cannot be sent by mail: it is away (1 try). "),
    ],
)
def test_each_thing_that_is_stale_is_one_line_with_its_remedy(
    deployment: Deployment,
    service: Service,
    harm: Callable[[Deployment, Service], None],
    line: str,
) -> None:
    """Exit code 1, the summary first, then this line alone: consequences are counted."""
    harm(deployment, service)
    # Since when a breaker is open is what the watcher noted.
    service.watch()
    time.sleep(0.1)
    if harm is not lost and harm is not empty:
        _rework(harm, service)
    code, lines = health(deployment, **SHORT)
    assert code == 1
    summary, *failures = [each for each in lines if "follow from these" not in each]
    assert summary.startswith("FAILING: ")
    assert [each for each in failures if each.startswith(line)] == failures
    (failure,) = failures
    # Two sentences: what is wrong, and what to do.
    assert failure.count(". ") >= 1


def _rework(harm: Callable[[Deployment, Service], None], service: Service) -> None:
    """Take back that the watcher itself was at work, where all ticks are dead."""
    if harm in {beat_dead, control_dead}:
        _forget(service, "watch")


def test_a_target_without_an_answer_is_stale_by_its_own_limit(
    deployment: Deployment, service: Service
) -> None:
    """The global limit, a shorter one of its own, and 3 cadences at least."""
    assert health(deployment)[0] == 0
    short = {"YSE_INGEST_FRESHNESS": "0.05", "YSE_INGEST_CADENCE": "0.01"}
    time.sleep(0.1)
    assert health(deployment, YSE_INGEST_FRESHNESS="0.05")[0] == 0
    code, lines = health(deployment, **short)
    assert (code, len(lines)) == (1, 3)
    deployment.follow(service, "2019np", freshness_s=0.05)
    code, lines = health(deployment)
    assert (code, len(lines)) == (1, 2)
    assert lines[1].startswith("stale:2019np: 2019np: mars: not asked since ")
    assert lines[1].endswith("See `yse-ingest status 2019np`.")
    service.state.targets.pause("2019np", "over")
    assert health(deployment)[0] == 0


def test_a_target_that_was_never_asked_is_stale_too(deployment: Deployment) -> None:
    """From the time it is followed: three kinds of silence, three texts."""
    service = deployment.service()
    deployment.work(service)
    deployment.follow(service, "2019np", freshness_s=0.05)
    time.sleep(0.1)
    _, (_, never) = health(deployment)
    assert "never asked, though it is followed for longer than" in never
    deployment.ysepz.faults.add(Fault("status", status=503))
    service.refresh(["2019np"])
    _, (_, unasked) = health(deployment)
    assert "never asked" in unasked
    assert "YSE-PZ" in unasked
    state = service.state
    why = "MARS: 2019np: answered 503. It is asked again."
    state.clocks.record(
        "2019np", "mars", asked_ms=state.now_ms() + 5000, status="error", error=why
    )
    _, (_, no_answer) = health(deployment)
    assert "mars: no answer since " in no_answer
    assert "answered 503. It is asked again. See `yse" in no_answer


def test_many_stale_targets_are_ten_lines(deployment: Deployment) -> None:
    """A monitoring system's page is not flooded; private targets are counted."""
    service = deployment.service()
    deployment.work(service)
    deployment.follow(service, *(f"t{number:02}" for number in range(30)), freshness_s=0.01)
    deployment.follow(
        service, "hidden1", "hidden2", freshness_s=0.01, overrides={"groups": ["YSE"]}
    )
    time.sleep(0.05)
    service.watch()
    code, lines = health(deployment)
    assert code == 1
    assert len(lines) == 13
    assert lines[0].endswith("(and 30 more)")
    assert lines[-1] == "stale: and 20 more"
    assert any(line.startswith("stale-private: 2 private targets") for line in lines)
    assert "hidden" not in "".join(lines)


def test_a_dead_redis_is_told(deployment: Deployment) -> None:
    """With what to do, as text and as JSON."""
    dead = {"CELERY_BROKER_URL": "redis://:secret-word@127.0.0.1:1/0"}
    code, lines = health(deployment, **dead)
    assert code == 1
    assert lines[0].startswith("FAILING: no answer at redis://127.0.0.1:1/1: ")
    assert "Start Redis" in lines[1]
    assert "secret-word" not in "".join(lines)
    code, lines = health(deployment, "--json", **dead)
    assert json.loads("\n".join(lines))["failures"][0]["key"] == "redis"


@pytest.fixture
def black_hole() -> Iterator[int]:
    """Return a port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
        taken: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for each in taken:
            each.close()
        thread.join(5)


def test_a_redis_that_hangs_is_given_up(deployment: Deployment, black_hole: int) -> None:
    """It ends within its time-out, and says so."""
    begun = time.monotonic()
    code, lines = health(
        deployment, "--timeout", "1s", CELERY_BROKER_URL=f"redis://127.0.0.1:{black_hole}/0"
    )
    assert code == 1
    assert lines[0].startswith("FAILING: ")
    assert lines[1].startswith("redis: ")
    assert time.monotonic() - begun < 10


def test_a_broker_that_is_away_is_told_beside_a_living_state(
    deployment: Deployment, service: Service
) -> None:
    """Two Redis servers are two findings."""
    code, lines = health(
        deployment,
        CELERY_BROKER_URL="redis://127.0.0.1:1/0",
        YSE_INGEST_STATE_URL=service.settings.service_state_url,
    )
    assert (code, len(lines)) == (1, 2)
    assert lines[1].startswith("broker: the broker gives no answer. ")


def test_looking_changes_nothing(deployment: Deployment, service: Service) -> None:
    """Neither in a living state nor in an empty one: a monitor must not be an actor."""

    def everything() -> dict[str, Any]:
        call = service.state._connection.call
        keys = sorted(call("KEYS", service.state._keys("*")))
        return {key: call("DUMP", key, binary=True) for key in keys}

    before = everything()
    health(deployment)
    assert everything() == before
    _forget_everything(service)
    assert health(deployment)[0] == 1
    assert everything() == {}


def test_notify_says_who_is_told_and_a_test_message_what_happened(
    deployment: Deployment,
) -> None:
    """`notify`, `notify --test`: sent, not sent and why, or nobody to tell."""

    def notify(*options: str, **changes: str) -> Any:
        return CliRunner().invoke(
            main, ["notify", *options], env={**deployment.environment, **changes}
        )

    sent = notify("--test")
    assert sent.exit_code == 0
    assert sent.output.startswith("mail: sent: 127.0.0.1:")
    assert deployment.mail.taken[0].mail["Subject"] == "yse_ingest: a test message"
    failed = notify("--test", "--json", YSE_INGEST_SMTP_PORT="1")
    assert failed.exit_code == 1
    assert "refused" in json.loads(failed.output)["channels"]["mail"]["said"]
    nobody = notify("--test", YSE_INGEST_NOTIFY_TO="")
    assert nobody.exit_code == 2
    assert "nobody is told" in nobody.output
    standing = notify()
    assert standing.exit_code == 0
    assert standing.output == "mail: 0 messages in the last hour (at most 6)\n"
