"""`targets sync --status --tag --query`: lists of YSE-PZ that people want followed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.selection import selections
from yse_ingest.state.targets import LEFT_LIST
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from click.testing import Result

    from tests.cli.conftest import Console

EXAMPLE = ("--status", "Following", "--tag", "YSE")
NAMES = "SELECT t.name FROM YSE_App_transient t WHERE t.dec = 5 AND t.ra < 35"


@pytest.fixture(autouse=True)
def transients(console: Console) -> None:
    """One with the status, one with the tag, one with both, one with neither."""
    console.ysepz.set_status("2019np", "Ignore")
    console.ysepz.add_transient("2020aa", 10.0, 5.0, status="Following")
    console.ysepz.add_transient("2020bb", 20.0, 5.0, status="New", tags=("YSE",))
    console.ysepz.add_transient("2020cc", 30.0, 5.0, status="Following", tags=("YSE",))
    console.ysepz.add_transient("2020dd", 40.0, 5.0, status="Ignore")


def sync(console: Console, *arguments: str, **changes: str) -> Result:
    return console.run("targets", "sync", *arguments, **changes)


def told(result: Result, *, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def changes(console: Console, *arguments: str, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = told(sync(console, *arguments, "--json", **environment))["changes"]
    return found


def listed(console: Console) -> list[str]:
    every = console.service().state.targets.all()
    return [target.name for target, origin in every if origin == "list"]


def decisions(console: Console) -> list[str]:
    file = console.folder / "var" / "decisions.jsonl"
    return [json.loads(line)["what"] for line in file.read_text().splitlines()]


def test_what_has_the_status_or_the_tag_is_followed_from_now_on(console: Console) -> None:
    """Found at once, in one request for each beside the vocabulary; then kept in step."""
    first = told(sync(console, *EXAMPLE, "--json"))
    assert first["changes"] == {
        "added": ["2020aa", "2020cc", "2020bb"],
        "renamed": {},
        "paused": [],
        "back": [],
        "kept": [],
    }
    assert [(row["list"], row["transients"]) for row in first["lists"]] == [
        ("status Following", 2),
        ("tag YSE", 2),
    ]
    assert first["requests"] == len(console.ysepz.log)
    assert [each.path for each in console.ysepz.log if "transients/" in each.path] == 2 * [
        "/api/transients/"
    ]

    console.ysepz.rename("2020aa", "2020zz")
    console.ysepz.set_status("2020bb", "New", tags=())
    console.ysepz.set_status("2020dd", "Following")
    followed = console.service(YSE_INGEST_FOLLOW_EVERY="0.001").follow()
    assert followed is not None
    assert (followed.new, followed.gone) == (("2020dd",), ("2020bb",))
    assert followed.renamed == {"2020zz": "2020aa"}
    assert listed(console) == ["2020bb", "2020cc", "2020dd", "2020zz"]


def test_a_second_time_is_as_once(console: Console) -> None:
    """The same list again: one decision, everything kept."""
    sync(console, *EXAMPLE)
    again = changes(console, *EXAMPLE)
    assert again["added"] == again["paused"] == again["back"] == []
    assert again["kept"] == ["2020aa", "2020cc", "2020bb"]
    assert decisions(console).count("list_added") == 2


def test_match_all_is_what_has_both(console: Console) -> None:
    """One list of what has the status and the tag."""
    first = told(sync(console, *EXAMPLE, "--match", "all", "--json"))
    assert first["changes"]["added"] == ["2020cc"]
    assert [row["list"] for row in first["lists"]] == ["status Following and tag YSE"]
    nobody = sync(console, "--status", "New", "--status", "Following", "--match", "all")
    assert nobody.exit_code == 2
    assert "a transient has one status" in nobody.output


def test_a_saved_query_is_a_list_too(console: Console) -> None:
    """By its title; with a tag and --match all what both have."""
    console.ysepz.saved_queries["Our targets"] = NAMES
    query = ("--query", "Our targets")
    both = changes(console, *query, "--tag", "YSE", "--match", "all")
    assert both["added"] == ["2020bb", "2020cc"]
    assert changes(console, *query)["added"] == ["2020aa"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--status", "following"), ("'following' is no status", 'Nearest: "Following"')),
        (("--tag", "YSE", "--tag", "YES"), ("'YES' is no tag", '"YSE"')),
        (("--tag", "YSE", "--query", "Ours"), ("no saved query 'Ours'", "SQL Explorer")),
    ],
    ids=["status", "tag", "query"],
)
def test_a_name_that_ysepz_does_not_know_is_refused_before_anything_is_written(
    console: Console, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    """With the nearest that it knows; no list is read for a slip of the pen in another."""
    refused = sync(console, *arguments)
    assert refused.exit_code == 1
    for part in said:
        assert part in refused.output
    assert listed(console) == []
    assert decisions(console) == ["installed"]
    assert console.service().state.troubles.all() == []
    assert "/api/transients/" not in [each.path for each in console.ysepz.log]


def test_an_old_list_that_is_bad_now_holds_up_no_new_one(console: Console) -> None:
    """It is told, and nothing is paused until it is ended or mended."""
    sync(console, "--status", "Following")
    console.service().state.lists.add(selections(tags=["Deleted"]))
    console.ysepz.set_status("2020aa", "Ignore")
    for dry in (("--dry-run",), ()):
        result = told(sync(console, "--tag", "YSE", "--json", *dry), code=1)
        assert (result["changes"]["added"], result["changes"]["paused"]) == (["2020bb"], [])
        assert "tag Deleted: 'Deleted' is no tag that can be asked for" in result["problems"][0]
    assert "tag Deleted: not read in YSE-PZ" in sync(console).stdout
    assert changes(console, "--forget", "--tag", "Deleted")["paused"] == ["2020aa"]


def test_a_ysepz_that_is_away_is_no_decision(console: Console) -> None:
    """Whoever asked knows that nothing is followed because of it."""
    console.ysepz.faults.add(Fault("status", status=503, path="/api/transients/"))
    away = sync(console, *EXAMPLE)
    assert away.exit_code == 1
    assert "YSE-PZ" in away.output
    assert decisions(console) == ["installed"]


def test_a_dry_run_says_what_would_change_and_changes_nothing(console: Console) -> None:
    """Of the lists named, of those that stand, and of the targets file."""
    path = console.targets_file('[[targets]]\nname = "2020cc"\n')
    first = told(sync(console, *EXAMPLE, "--dry-run", "--json", YSE_INGEST_TARGETS=path))
    assert first["synced"]["targets file"]["new or changed"] == 1
    assert first["changes"]["added"] == ["2020aa", "2020bb"]
    assert first["changes"]["kept"] == ["2020cc"]
    assert console.service().state.targets.all() == []
    assert decisions(console) == ["installed"]

    sync(console, *EXAMPLE, YSE_INGEST_TARGETS=path)
    console.ysepz.rename("2020aa", "2020zz")
    console.ysepz.set_status("2020bb", "New", tags=())
    console.ysepz.set_status("2020dd", "Following")
    before = console.service().state.targets.all(), decisions(console)
    dry = changes(console, "--dry-run", YSE_INGEST_TARGETS=path)
    assert dry == {
        "added": ["2020dd"],
        "renamed": {"2020zz": "2020aa"},
        "paused": ["2020bb"],
        "back": [],
        "kept": ["2020cc"],
    }
    ending = changes(
        console, "--forget", "--status", "Following", "--dry-run", YSE_INGEST_TARGETS=path
    )
    assert ending["paused"] == ["2020aa", "2020bb"]
    assert (console.service().state.targets.all(), decisions(console)) == before
    assert console.service().state.targets.paused() == {}
    assert changes(console, YSE_INGEST_TARGETS=path) == dry


def test_a_dry_run_foresees_what_leaves_the_file_for_a_list(console: Console) -> None:
    """It goes on because of the list, as it then does."""
    path = console.targets_file('[[targets]]\nname = "2020cc"\n[[targets]]\nname = "2020dd"\n')
    sync(console, *EXAMPLE, YSE_INGEST_TARGETS=path)
    console.targets_file("")
    dry = told(sync(console, "--dry-run", "--json", YSE_INGEST_TARGETS=path))
    assert dry["synced"]["targets file"]["gone and paused"] == 2
    assert dry["changes"]["back"] == ["2020cc"]
    real = told(sync(console, "--json", YSE_INGEST_TARGETS=path))
    assert (real["synced"], real["changes"]) == (dry["synced"], dry["changes"])
    assert console.service().state.targets.paused().keys() == {"2020dd"}


def test_lists_are_shown_with_whose_they_are(console: Console) -> None:
    """Those of people with since when, those of the targets file as its."""
    path = console.targets_file('[follow]\ntags = ["YSE"]\n')
    sync(console, *EXAMPLE, YSE_INGEST_TARGETS=path)
    rows = told(sync(console, "--list", "--json", YSE_INGEST_TARGETS=path))
    assert [(row["list"], row["person"], row["file"]) for row in rows] == [
        ("tag YSE", True, True),
        ("status Following", True, False),
    ]
    shown = sync(console, "--list", YSE_INGEST_TARGETS=path).stdout
    assert "a person and the targets file" in shown
    assert "UTC" in shown
    assert (
        "no list of YSE-PZ is followed"
        in sync(
            console, "--list", YSE_INGEST_NAMESPACE="another", YSE_INGEST_STATE_DIR="another"
        ).stdout
    )


def test_ending_a_list_pauses_what_nobody_else_wants(console: Console) -> None:
    """Nothing is forgotten; another list, the file and people keep theirs."""
    sync(console, *EXAMPLE)
    console.service().state.targets.put(Target("2020bb", cadence_s=60.0), origin="adhoc")
    ended = changes(console, "--forget", "--tag", "YSE")
    assert ended["paused"] == []
    assert ended["kept"] == ["2020aa", "2020cc"]
    ended = changes(console, "--forget", "--status", "Following")
    assert ended["paused"] == ["2020aa", "2020cc"]
    targets = console.service().state.targets
    assert targets.paused() == {"2020aa": LEFT_LIST, "2020cc": LEFT_LIST}
    assert targets.count() == 3
    assert decisions(console).count("list_ended") == 2
    assert changes(console, "--tag", "YSE")["back"] == ["2020cc"]


def test_a_list_of_several_terms_is_ended_as_it_was_begun(console: Console) -> None:
    """Named without --match all it is another one; it says so."""
    sync(console, *EXAMPLE, "--match", "all")
    refused = sync(console, "--forget", *EXAMPLE)
    assert refused.exit_code == 2
    assert "status Following and tag YSE. One of several terms goes with --match all" in (
        refused.output
    )
    assert changes(console, "--forget", *EXAMPLE, "--match", "all")["paused"] == ["2020cc"]


def test_who_waits_sees_that_it_works(console: Console) -> None:
    """On the error output of a terminal; what is piped is the result alone."""
    output, shown = console.at_a_terminal("targets", "sync", *EXAMPLE)
    assert "reading the lists of YSE-PZ" in shown
    assert output.startswith("status Following: 2 in YSE-PZ")


def test_ending_a_list_needs_no_ysepz(console: Console) -> None:
    """It is decided; what becomes of its targets follows when YSE-PZ answers again."""
    sync(console, *EXAMPLE)
    console.ysepz.faults.add(Fault("status", status=503, path="/api/transients/"))
    away = sync(console, "--forget", "--tag", "YSE")
    assert away.exit_code == 1
    assert "All targets stay as they are" in away.output
    assert [row["list"] for row in told(sync(console, "--list", "--json"))] == [
        "status Following"
    ]
    console.ysepz.faults.clear()
    assert changes(console)["paused"] == ["2020bb"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--forget",), "Name what to --forget"),
        (("--forget", "--tag", "Young"), "no list of tag Young is followed"),
        (("--forget", "--tag", "YSE"), "stands in [follow] of the targets file"),
        (("--list", "--dry-run"), "--list goes alone"),
        (("--forget", "--status", "Following", "--tag", "None"), "Followed are"),
    ],
    ids=["nothing", "unknown", "of the file", "alone", "one of two"],
)
def test_wrong_usage_changes_nothing(
    console: Console, arguments: tuple[str, ...], said: str
) -> None:
    """It is told what is followed, and by whom."""
    path = console.targets_file('[follow]\ntags = ["YSE"]\n')
    sync(console, "--status", "Following", YSE_INGEST_TARGETS=path)
    before = decisions(console)
    refused = sync(console, *arguments, YSE_INGEST_TARGETS=path)
    assert refused.exit_code == 2, refused.output
    assert said in refused.output
    assert decisions(console) == before


def test_a_file_whose_lists_cannot_be_read_is_corrected_first(console: Console) -> None:
    """Else what it follows would be paused."""
    path = console.targets_file('[follow]\ntags = "YSE"\n')
    refused = sync(console, *EXAMPLE, YSE_INGEST_TARGETS=path)
    assert refused.exit_code == 2
    assert "what [follow] of the targets file says cannot be used" in refused.output
    assert console.service().state.lists.all() == {}


def test_a_lost_redis_brings_lists_back(console: Console) -> None:
    """They are decisions, and stand in the file of decisions."""
    sync(console, *EXAMPLE)
    sync(console, "--forget", "--tag", "YSE")
    here = console.service()
    since = here.state.lists.all()
    here.state._connection.call("FLUSHDB")
    there = console.service(YSE_INGEST_FOLLOW_EVERY="0.001")
    assert there.state.lists.all() == since
    assert [str(each) for each in since] == ["status Following"]
    followed = there.follow()
    assert followed is not None
    assert followed.new == ("2020aa", "2020cc")


def test_the_table_names_some_of_each(console: Console) -> None:
    """And how many requests it took, and what happens from now on."""
    shown = sync(console, *EXAMPLE).stdout
    assert "status Following: 2 in YSE-PZ, wanted by a person" in shown
    assert "added" in shown
    assert "2020aa, 2020cc, 2020bb" in shown
    assert "requests to YSE-PZ" in shown
    assert "looked at every 30 min; --forget ends it" in shown
    assert "nothing was changed" in sync(console, "--dry-run").stdout


def test_lists_move_with_the_registry(console: Console) -> None:
    """Exported and imported elsewhere: the same lists, and what is theirs stays theirs."""
    path = console.targets_file('[follow]\ntags = ["YSE"]\n')
    sync(console, *EXAMPLE, "--match", "all", YSE_INGEST_TARGETS=path)
    sync(console, "--status", "Following", YSE_INGEST_TARGETS=path)
    console.service().state.targets.put(Target("2019np"), origin="adhoc")
    export = console.run("targets", "export", "all.toml", "--json", YSE_INGEST_TARGETS=path)
    assert (told(export)["targets"], told(export)["lists"]) == (4, 3)
    elsewhere = {
        "YSE_INGEST_NAMESPACE": "lists-elsewhere",
        "YSE_INGEST_STATE_DIR": str(console.folder / "elsewhere"),
    }
    counts = told(console.run("targets", "import", "all.toml", "--json", **elsewhere))
    assert (counts["new"], counts["lists"], counts["problems"]) == (4, 3, [])
    there = console.service(YSE_INGEST_FOLLOW_EVERY="0.001", **elsewhere)
    assert there.state.targets.all() == console.service().state.targets.all()
    again = told(console.run("targets", "import", "all.toml", "--json", **elsewhere))
    assert (again["unchanged"], again["new"], again["lists"]) == (4, 0, 0)

    console.ysepz.set_status("2020aa", "Ignore")
    followed = there.follow()
    assert followed is not None
    assert (followed.new, followed.gone) == ((), ("2020aa",))
    here = told(console.run("targets", "import", "all.toml", "--json", YSE_INGEST_TARGETS=path))
    assert (here["unchanged"], here["lists"]) == (4, 0)


def test_a_table_has_no_place_for_lists(console: Console) -> None:
    """That is told; what it has of targets is imported as a person's."""
    sync(console, *EXAMPLE)
    export = console.run("targets", "export", "all.csv")
    assert "2 lists of YSE-PZ cannot stand in a table" in export.stderr
    assert (console.folder / "all.csv").read_text().splitlines()[0] == "name"


def test_an_exported_list_that_is_none_is_told(console: Console) -> None:
    """The other entries are taken; in the targets file there is no such section."""
    text = '[[lists]]\nterms = [["colour", "red"]]\n[[targets]]\nname = "2020aa"\n'
    (console.folder / "all.toml").write_text(text)
    counts = told(console.run("targets", "import", "all.toml", "--json"), code=1)
    assert (counts["new"], counts["lists"]) == (1, 0)
    assert "is no list of YSE-PZ" in counts["problems"][0]
    path = console.targets_file(text)
    assert "lists: it is no section" in sync(console, YSE_INGEST_TARGETS=path).stderr


def test_what_a_list_has_is_not_removed_by_hand(console: Console) -> None:
    """The next look would bring it back; it says what to do. One that left it can be."""
    sync(console, "--status", "Following")
    refused = console.run("targets", "remove", "2020aa")
    assert refused.exit_code == 2
    assert "which would bring it back" in refused.output
    assert console.service().state.targets.get("2020aa") is not None
    console.ysepz.set_status("2020aa", "Ignore")
    sync(console)
    assert console.run("targets", "remove", "2020aa").exit_code == 0
    assert changes(console)["kept"] == ["2020cc"]


def test_what_left_a_list_is_not_resumed_but_added(console: Console) -> None:
    """Resumed, the next look would pause it again; added, it is a person's, and goes on."""
    sync(console, "--status", "Following")
    console.ysepz.set_status("2020aa", "Ignore")
    sync(console)
    refused = console.run("targets", "resume", "2020aa")
    assert refused.exit_code == 2
    assert "it left the list of YSE-PZ, and would be paused again" in refused.output
    assert "`yse-ingest targets add 2020aa`" in refused.output
    assert console.run("targets", "add", "2020aa").exit_code == 0
    targets = console.service().state.targets
    assert targets.paused() == {}
    assert set(targets.due(console.service().state.now_ms(), 9)) == {"2020aa", "2020cc"}
    assert changes(console)["paused"] == []
