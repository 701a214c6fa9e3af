"""`targets import`, `export`, `sync`, `list`, `show`; `enqueue --all`; status of very many."""

from __future__ import annotations

import json
import signal
import stat
import time
from subprocess import DEVNULL, Popen
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import PROGRAM
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.cli.conftest import Console

CSV = """name,ra,dec,source,cadence
2019np,157.3415,29.5106667,,2h
2027abc,10,20,mars,
2027abd,400,20,,
"""


def told(result: Result, *, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def imported(console: Console, text: str, name: str = "mine.csv") -> Result:
    (console.folder / name).write_text(text, encoding="utf-8")
    return console.run("targets", "import", name, "--json")


def names(result: Result) -> list[str]:
    return [row["target"] for row in told(result)]


def test_a_file_is_imported_and_again(console: Console) -> None:
    """Good lines are followed, bad ones told with line, field and value; twice is as once."""
    first = told(imported(console, CSV), code=1)
    assert (first["new"], first["unchanged"]) == (2, 0)
    (problem,) = first["problems"]
    assert problem.startswith("line 4: target 3 (2027abd): ra is 400")
    again = told(imported(console, CSV), code=1)
    assert (again["new"], again["changed"], again["unchanged"]) == (0, 0, 2)
    targets = console.service().state.targets
    assert targets.get("2019np") == Target("2019np", 157.3415, 29.5106667, cadence_s=7200.0)
    decisions = (console.folder / "var" / "decisions.jsonl").read_text()
    assert decisions.count('"target_added"') == 2


def test_targets_of_the_targets_file_stay_as_it_has_them(console: Console) -> None:
    """An import changes what is followed by hand alone."""
    path = console.targets_file('[[targets]]\nname = "2019np"\ncadence = "1h"\n')
    (console.folder / "mine.csv").write_text("name,cadence\n2019np,2h\n2027abc,\n")
    result = console.run("targets", "import", "mine.csv", "--json", YSE_INGEST_TARGETS=path)
    counts = told(result)
    assert (counts["of the targets file"], counts["new"]) == (1, 1)
    found = console.service().state.targets.get("2019np")
    assert found is not None
    assert found.cadence_s == 3600.0


@pytest.mark.parametrize("name", ["all.toml", "all.csv", "all.ecsv"])
def test_the_registry_moves_to_another_service_whole(console: Console, name: str) -> None:
    """Exported here, imported under another namespace: the same targets, cadences, pauses."""
    here = console.service()
    every = [
        Target("2019np", 157.3415, 29.5106667, source="alerce,fink"),
        Target(
            "2027abc",
            creation={"status": "New", "obs_group": "ZTF"},
            overrides={"min_rb": 0.5},
        ),
        Target("2027abd", cadence_s=60.0),
    ]
    here.state.targets.put_many(every, origin="adhoc")
    here.state.targets.pause("2027abd", 'host nucleus, "sure"')
    here.state.targets.set_cadence("2019np", 300.0)

    exported = told(console.run("targets", "export", name, "--json"))
    assert (exported["targets"], exported["paused"]) == (3, 1)
    path = console.folder / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    elsewhere = {
        "YSE_INGEST_NAMESPACE": "elsewhere-" + name.replace(".", "-"),
        "YSE_INGEST_STATE_DIR": str(console.folder / "elsewhere"),
    }
    counts = told(console.run("targets", "import", name, "--json", **elsewhere))
    assert (counts["new"], counts["paused"], counts["problems"]) == (3, 1, [])
    there = console.service(**elsewhere)
    assert there.state.targets.all() == here.state.targets.all()
    assert there.state.targets.paused() == here.state.targets.paused()
    again = told(console.run("targets", "import", name, "--json", **elsewhere))
    assert (again["unchanged"], again["new"], again["paused"]) == (3, 0, 0)


def test_without_a_file_the_registry_is_printed(console: Console) -> None:
    """As TOML, for a pipe; another ending than those known is refused."""
    console.service().state.targets.put(Target("2019np"), origin="adhoc")
    assert console.run("targets", "export").stdout == '[[targets]]\nname = "2019np"\n'
    refused = console.run("targets", "export", "all.fits")
    assert refused.exit_code == 2
    assert ".toml, .csv, .ecsv" in refused.output


def test_sync_reads_the_file_now(console: Console) -> None:
    """What is new, what left and is paused, what is back; what cannot be used is told."""
    path = console.targets_file('[[targets]]\nname = "a"\n[[targets]]\nname = "b"\n')
    first = told(console.run("targets", "sync", "--json", YSE_INGEST_TARGETS=path))
    assert first["synced"]["targets file"] == {
        "new or changed": 2,
        "gone and paused": 0,
        "back": 0,
    }
    console.targets_file('[[targets]]\nname = "a"\nra = 400\ndec = 1\n')
    second = console.run("targets", "sync", "--json", YSE_INGEST_TARGETS=path)
    assert told(second, code=1)["synced"]["targets file"]["gone and paused"] == 2
    assert "ra is 400" in second.stdout


def test_sync_asks_ysepz_for_its_lists_now(console: Console) -> None:
    """Due or not: a status given a moment ago is followed by the next sync."""
    path = console.targets_file('[follow]\nstatus = ["Following"]\n')
    run = ("targets", "sync", "--json")
    assert told(console.run(*run, YSE_INGEST_TARGETS=path))["synced"]["YSE-PZ"] == {
        "new or changed": 1,
        "gone and paused": 0,
        "back": 0,
        "renamed": 0,
    }
    console.ysepz.add_transient("2027abc", 10.0, 20.0, status="Following")
    again = told(console.run(*run, YSE_INGEST_TARGETS=path))
    assert again["synced"]["YSE-PZ"]["new or changed"] == 1
    assert names(console.run("targets", "list", "--origin", "list", "--json")) == [
        "2019np",
        "2027abc",
    ]
    console.ysepz.rename("2027abc", "2027xyz")
    renamed = told(console.run(*run, YSE_INGEST_TARGETS=path))["synced"]["YSE-PZ"]
    assert (renamed["renamed"], renamed["new or changed"], renamed["gone and paused"]) == (
        1,
        0,
        0,
    )


def test_a_tag_that_ysepz_does_not_know_is_named(console: Console) -> None:
    """A slip of the pen in [follow] stands in the answer of `sync`, and above `status`."""
    path = console.targets_file('[follow]\ntags = ["YES"]\n')
    result = console.run("targets", "sync", YSE_INGEST_TARGETS=path)
    assert result.exit_code == 1
    assert "the targets could not be listed" in result.stderr
    assert "YES" in result.stderr
    above = console.run("status", YSE_INGEST_TARGETS=path).stdout
    assert "the targets could not be listed" in above
    assert "YES" in above
    path = console.targets_file('[follow]\nstatus = ["Following"]\n')
    assert console.run("targets", "sync", YSE_INGEST_TARGETS=path).exit_code == 0
    assert "could not be listed" not in console.run("status", YSE_INGEST_TARGETS=path).stdout


def test_the_list_is_filtered_sorted_and_cut(console: Console) -> None:
    """By source, pause, state and origin; by name, by next time, by newest point."""
    targets = console.service().state.targets
    private = {"groups": ["YSE"]}
    every = [Target("c", source="fink"), Target("a", source="mars"), Target("b")]
    targets.put_many(every, origin="adhoc")
    for name, due in (("a", 3), ("b", 1), ("c", 2)):
        targets.set_due(name, due)
    targets.pause("b", "why")
    clocks = console.service().state.clocks
    for name, newest in (("a", 5), ("c", 9)):
        clocks.record(
            name, "mars", asked_ms=1, answered_ms=1, status="ok", detail={"newest_ms": newest}
        )
    listed = ("targets", "list", "--json")
    assert names(console.run(*listed)) == ["a", "b", "c"]
    assert names(console.run(*listed, "--sort", "due")) == ["b", "c", "a"]
    assert names(console.run(*listed, "--sort", "newest")) == ["c", "a", "b"]
    assert names(console.run(*listed, "--source", "fink")) == ["c"]
    assert names(console.run(*listed, "--paused")) == ["b"]
    assert names(console.run(*listed, "--state", "paused")) == ["b"]
    assert names(console.run(*listed, "--state", "idle")) == ["a", "c"]
    assert names(console.run(*listed, "--origin", "file")) == []
    assert names(console.run(*listed, "--limit", "2")) == ["a", "b"]
    cut = console.run("targets", "list", "--limit", "1")
    assert "1 of 3 targets" in cut.stdout
    targets.put(Target("c", source="fink", overrides=private), origin="adhoc")
    assert [row["newest_ms"] for row in told(console.run(*listed))] == [5, None, None]


def test_show_says_how_a_target_is_followed(console: Console) -> None:
    """Place, source, cadence, its own rules, because of whom and since when."""
    imported(console, CSV)
    shown = told(console.run("targets", "show", "SN2019np", "--json"))
    assert (shown["target"], shown["ra"], shown["cadence_s"]) == ("2019np", 157.3415, 7200.0)
    assert shown["origin"] == "adhoc"
    text = console.run("targets", "show", "2019np").stdout
    assert "a person" in text
    assert "every           2.0 h" in text
    assert "UTC" in text
    assert console.run("targets", "show", "nobody").exit_code == 1


def test_enqueue_all_makes_every_target_due(console: Console) -> None:
    """But those that are paused; the ticks take them in turns."""
    service = console.service()
    targets = service.state.targets
    targets.put_many([Target("a"), Target("b"), Target("c")], origin="adhoc")
    for name in "abc":
        targets.set_due(name, service.state.now_ms() + 10**7)
    targets.pause("b", "why")
    assert told(console.run("enqueue", "--all", "--json"))["targets"] == 2
    assert targets.due(service.state.now_ms(), 10) == ["a", "c"]
    assert console.run("enqueue").exit_code == 2
    assert console.run("enqueue", "a", "--all").exit_code == 2
    assert console.run("enqueue", "--all", "--every", "2h").exit_code == 2


def test_status_of_many_is_their_counts_and_who_is_in_trouble(console: Console) -> None:
    """Not a line for each: what is amiss, and whose it is, at most as many as are wanted."""
    service = console.service()
    state = service.state
    state.targets.put_many([Target(f"t{number:03}") for number in range(300)], origin="adhoc")
    later = state.now_ms() + 10**7
    for number in range(300):
        state.targets.set_due(f"t{number:03}", later)
    fine = console.run("status")
    assert fine.exit_code == 0, fine.output
    assert "300 targets are followed, all is well" in fine.stdout
    assert "t000" not in fine.stdout

    state.targets.pause("t000", "why")
    for number in range(10, 20):
        state.clocks.record(
            f"t{number:03}", "mars", asked_ms=number, status="error", error="no route"
        )
    state.clocks.record("t020", "mars", asked_ms=5, answered_ms=6, status="ambiguous")
    counts = told(console.run("status", "--json"), code=1)["summary"]
    assert (counts["followed"], counts["paused"], counts["unanswered"]) == (300, 1, 11)
    some = told(console.run("status", "--json", "--limit", "4"), code=1)["targets"]
    assert [line["target"] for line in some] == ["t020", "t010", "t011", "t012"]
    everyone = told(console.run("status", "--json", "--limit", "0"), code=1)["targets"]
    assert len(everyone) == 300
    shown = console.run("status").stdout
    assert "300 targets are followed: 1 paused, 11 unanswered" in shown

    for number in range(10, 20):
        state.clocks.record(f"t{number:03}", "mars", asked_ms=7, answered_ms=8, status="ok")
    state.targets.remove("t020")
    assert console.run("status").exit_code == 0


def test_status_is_watched_until_it_is_ended(console: Console, tmp_path: Path) -> None:
    """It shows itself again, and Ctrl-C ends it as done."""
    console.service().state.targets.put(Target("2019np"), origin="adhoc")
    with TemporaryFile(dir=tmp_path) as output:
        # Tests that run in the background of a shell are deaf to Ctrl-C, and so were this one.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = Popen(
            [PROGRAM, "status", "--watch"],
            cwd=console.folder,
            env={**console.process_environment(), "TZ": "America/Lima"},
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
        )
        signal.signal(signal.SIGINT, before)

        def text() -> str:
            output.seek(0)
            return output.read().decode()

        deadline = time.monotonic() + 30
        while "2019np" not in text() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, text()
        assert " UTC (" in text()
        assert "-05)" in text()


def test_the_shell_completes_commands(console: Console) -> None:
    """Click's own: the script for each shell, and what it is told for a beginning."""
    script = console.start(_YSE_INGEST_COMPLETE="bash_source")
    assert "complete -o nosort -F" in script.stdout
    told_words = console.start(
        _YSE_INGEST_COMPLETE="bash_complete", COMP_WORDS="yse-ingest targets im", COMP_CWORD="2"
    )
    assert told_words.stdout.split() == ["plain,import"]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("targets sync --st", ["--status"]),
        ("targets sync --match ", ["any", "all"]),
        ("targets show 2019", ["2019np"]),
        ("why 2", ["2019np", "2027abc"]),
        ("fetch 2019np --source alerce,fink-", ["alerce,fink-lsst"]),
        ("sources show atl", ["atlas"]),
    ],
)
def test_the_shell_completes_what_is_known(
    console: Console, line: str, offered: list[str]
) -> None:
    """Options, names of targets that are followed, and of sources."""
    console.service().state.targets.put_many(
        [Target("2019np"), Target("2027abc")], origin="adhoc"
    )
    words = console.start(
        _YSE_INGEST_COMPLETE="bash_complete",
        COMP_WORDS=f"yse-ingest {line}",
        COMP_CWORD=str(len(line.split(" "))),
    )
    assert words.stdout.split() == [f"plain,{word}" for word in offered]


def test_without_redis_the_shell_offers_nothing_and_says_nothing(console: Console) -> None:
    """Who presses Tab gets no traceback."""
    words = console.start(
        _YSE_INGEST_COMPLETE="bash_complete",
        COMP_WORDS="yse-ingest why 2",
        COMP_CWORD="2",
        CELERY_BROKER_URL="redis://127.0.0.1:9/0",
    )
    assert words.stdout.split() == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("targets list --state foo --json", "'foo' is not one of"),
        ("targets list --json --foo", "No such option"),
        ("enqueue --json", "Give the NAME of a target, or --all."),
        ("nothing --json", "No such command 'nothing'"),
    ],
)
def test_wrong_usage_is_json_too(console: Console, line: str, said: str) -> None:
    """A program that asks for JSON gets it, whatever is wrong."""
    error = told(console.run(*line.split()), code=2)["error"]
    assert said in error["fact"]
    assert "--help" in error["remedy"]


def test_long_work_shows_how_far_it_is(console: Console) -> None:
    """A bar on the error output where that is a terminal, and nowhere else."""
    rows = "".join(f"2027{number:05}\n" for number in range(6000))
    (console.folder / "many.csv").write_text("name\n" + rows)
    output, shown = console.at_a_terminal("targets", "import", "many.csv")
    assert "importing" in shown
    assert "/6000" in shown
    assert output.startswith("many.csv: 6000 new")
    quiet = console.run("targets", "import", "many.csv")
    assert "importing" not in quiet.output


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("adopt --all", "adopting"),
        ("reconcile --all", "comparing"),
        ("shadow report", "comparing"),
    ],
)
def test_what_takes_seconds_for_each_target_counts_them(
    console: Console, line: str, label: str
) -> None:
    """From two targets on; the output itself is the table alone."""
    console.service().state.targets.put_many([Target("2019np"), Target("no")], origin="adhoc")
    output, shown = console.at_a_terminal(*line.split())
    assert label in shown
    assert "2/2" in shown
    assert output.startswith("target")
