"""Targets by status and tag of YSE-PZ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.selection import selections
from yse_ingest.state import Backfill
from yse_ingest.state.targets import LEFT_LIST
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from yse_ingest.sandbox.server import Reply, Request
    from yse_ingest.service import Service

FOLLOW = '[follow]\nstatus = ["Following"]\ntags = ["YSE"]\n'


@dataclass
class Survey:
    """A YSE-PZ with transients, and a service that follows some of them."""

    house: Any
    file: Path

    def service(self, text: str = FOLLOW, **environment: str) -> Service:
        """Return a service whose targets file says this; its list is always due."""
        self.file.write_text(text)
        values = {"YSE_INGEST_TARGETS": str(self.file), "YSE_INGEST_FOLLOW_EVERY": "0.001"}
        service: Service = self.house.service(**values | environment)
        return service

    def follow(self, service: Service) -> Any:
        """Look at the lists once; the lease of the last look is over."""
        followed = None
        while followed is None:
            followed = service.follow()
        return followed


@pytest.fixture
def survey(house: Any, tmp_path: Path) -> Survey:
    house.ysepz.set_status("2019np", "Ignore")
    house.ysepz.add_transient("2020aa", 10.0, 5.0, status="Following")
    house.ysepz.add_transient("2020bb", 20.0, 5.0, status="New", tags=("YSE",))
    house.ysepz.add_transient("2020cc", 30.0, 5.0, status="Following", tags=("YSE",))
    house.ysepz.add_transient("2020dd", 40.0, 5.0, status="Ignore")
    return Survey(house, tmp_path / "targets.toml")


def names(service: Service, origin: str) -> list[str]:
    return [target.name for target, each in service.state.targets.all() if each == origin]


def test_what_has_the_status_or_the_tag_is_followed(survey: Survey) -> None:
    """Each once, with its photometry, and without a look-up of its own."""
    survey.house.mars.add_alert("ZTF20aa", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    service = survey.service()

    followed = survey.follow(service)

    assert followed.new == ("2020aa", "2020cc", "2020bb")
    assert names(service, "list") == ["2020aa", "2020bb", "2020cc"]
    survey.house.ysepz.log.clear()
    survey.house.cycle(service, "2020aa")
    assert len(survey.house.ysepz.rows("2020aa")) == 1
    assert not [each for each in survey.house.ysepz.log if each.path == "/api/transients/"]


def test_what_leaves_the_list_is_paused_and_comes_back(survey: Survey) -> None:
    """Paused with the reason, not forgotten; in the list again, it goes on."""
    service = survey.service()
    survey.follow(service)
    assert survey.follow(service).gone == ()
    row = survey.house.ysepz.transient_row("2020aa")
    assert row["status"] == "Following"

    survey.house.ysepz.set_status("2020aa", "Ignore")
    assert survey.follow(service).gone == ("2020aa",)
    assert service.state.targets.paused() == {"2020aa": LEFT_LIST}
    assert service.state.targets.get("2020aa") is not None

    survey.house.ysepz.set_status("2020aa", "Following")
    assert survey.follow(service).back == ("2020aa",)
    assert service.state.targets.paused() == {}


def test_what_people_added_is_theirs(survey: Survey) -> None:
    """By hand or in the file: neither changed nor paused by the list; a pause stays."""
    text = '[[targets]]\nname = "2020cc"\ncadence = "2h"\n'
    service = survey.service(FOLLOW + text)
    service.sync_targets_file()
    service.enqueue(Target("2020aa", cadence_s=60.0))
    survey.follow(service)
    assert (names(service, "adhoc"), names(service, "file")) == (["2020aa"], ["2020cc"])
    assert names(service, "list") == ["2020bb"]
    service.state.targets.pause("2020bb", "a person")

    for name in ("2020aa", "2020cc"):
        survey.house.ysepz.set_status(name, "Ignore")
    assert survey.follow(service).gone == ()
    assert service.state.targets.paused() == {"2020bb": "a person"}
    aa = service.state.targets.get("2020aa")
    assert aa is not None
    assert aa.cadence_s == 60.0


def test_one_of_the_file_stays_followed_when_the_list_has_it(survey: Survey) -> None:
    """It leaves the file, and goes on because of the list."""
    service = survey.service(FOLLOW + '[[targets]]\nname = "2020cc"\n')
    service.sync_targets_file()
    survey.follow(service)
    service = survey.service()
    service.sync_targets_file()
    assert "2020cc" in service.state.targets.paused()

    assert survey.follow(service).back == ("2020cc",)

    assert service.state.targets.paused() == {}
    assert "2020cc" in names(service, "list")


def test_without_the_section_everything_of_the_list_is_paused(survey: Survey) -> None:
    """And YSE-PZ is not asked any more."""
    service = survey.service()
    survey.follow(service)
    service = survey.service("")
    survey.house.ysepz.log.clear()

    assert survey.follow(service).gone == ("2020aa", "2020bb", "2020cc")

    assert not survey.house.ysepz.log


@pytest.mark.parametrize(
    "text",
    ['[follow]\nstatus = "Following"\n', '[follow]\nstatuses = ["Following"]\n'],
    ids=["no list", "another key"],
)
def test_a_section_that_cannot_be_read_changes_nothing(survey: Survey, text: str) -> None:
    """It is told as a problem of the file; what is followed stays."""
    service = survey.service()
    survey.follow(service)
    service = survey.service(text)
    assert [problem.where for problem in service.targets_file().problems] == ["follow"]

    assert service.follow() is None

    assert service.state.targets.paused() == {}


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ('[follow]\nstatus = ["Folowing"]\n', "'Folowing' is no status"),
        ('[follow]\ntags = ["Yse2"]\n', "'Yse2' is no tag"),
    ],
    ids=["status", "tag"],
)
def test_a_name_that_ysepz_does_not_know_changes_nothing(
    survey: Survey, text: str, fact: str
) -> None:
    """The answer would be empty, and every target paused."""
    service = survey.service()
    survey.follow(service)
    service = survey.service(text)
    assert service.follow() is None
    assert service.state.targets.paused() == {}
    assert fact in service.state.troubles.all()[0].fact


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ('tags = ["YSE", "Yse2"]', "tag Yse2 could not be read: 'Yse2' is no tag"),
        ('tags = ["YSE"]\nquery = "Ours"', "query Ours could not be read: YSE-PZ has no saved"),
        ('tags = ["YSE"]\nquery = "Bad"', "query Bad could not be read"),
        ('tags = ["YSE"]\nquery = "Nameless"', "query Nameless could not be read"),
    ],
    ids=["tag", "title", "refused", "column"],
)
def test_one_bad_list_holds_up_no_other(survey: Survey, line: str, fact: str) -> None:
    """What is new on the others is followed; nothing is paused: it may be on the bad one."""
    survey.house.ysepz.saved_queries["Bad"] = "SELECT 1"
    survey.house.ysepz.saved_queries["Nameless"] = NAMES.replace("t.name", "t.name AS called")
    service = survey.service()
    survey.follow(service)
    survey.house.ysepz.add_transient("2020ee", 50.0, 5.0, status="New", tags=("YSE",))
    survey.house.ysepz.rename("2020bb", "2020zz")
    service = survey.service(f"[follow]\n{line}\n")

    followed = survey.follow(service)

    assert (followed.new, followed.gone) == (("2020ee",), ())
    assert followed.renamed == {"2020zz": "2020bb"}
    assert fact in service.state.troubles.all()[0].fact
    service = survey.service('[follow]\ntags = ["YSE"]\n')
    assert survey.follow(service).gone == ("2020aa",)
    assert service.state.troubles.all() == []


def test_a_ysepz_that_is_away_changes_nothing(survey: Survey) -> None:
    """It is noted, tried again, and over when it answers."""
    service = survey.service()
    survey.follow(service)
    survey.house.ysepz.faults.add(Fault("status", status=503, path="/api/transients/"))
    assert service.follow() is None
    assert service.state.targets.paused() == {}
    assert [each.kind for each in service.state.troubles.all()] == ["follow"]

    survey.house.ysepz.faults.clear()
    assert survey.follow(service).gone == ()
    assert service.state.troubles.all() == []


class NewerFilters(YsePzStandIn):
    """A YSE-PZ on a newer django-filter: the filters of its lists do nothing."""

    def handle(self, request: Request) -> Reply:
        """Answer as if no filter were given."""
        kept = [pair for pair in request.query if not pair[0].endswith("_in")]
        return super().handle(replace(request, query=kept))


def test_a_filter_that_is_ignored_is_noticed_at_the_first_page(survey: Survey) -> None:
    """Not the whole table is followed, nor read."""
    with NewerFilters() as ysepz:
        for number in range(1005):
            status = "Following" if number < 3 else "Ignore"
            ysepz.add_transient(f"2021n{number}", number / 10, 5.0, status=status)
        service = survey.service(YSE_PZ_URL=ysepz.url)
        service.state.targets.put(Target("2021x"), origin="list")

        assert service.follow() is None

        asked = [each for each in ysepz.log if each.path == "/api/transients/"]
        assert len(asked) == 1
        assert names(service, "list") == ["2021x"]
        assert service.state.targets.paused() == {}
        assert "status_in is not obeyed" in service.state.troubles.all()[0].fact


def test_a_list_is_looked_at_once_in_its_time(survey: Survey) -> None:
    """However many ticks, workers and hosts there are."""
    service = survey.service(YSE_INGEST_FOLLOW_EVERY="1h")
    assert service.follow() is not None
    survey.house.ysepz.log.clear()
    assert service.follow() is None
    assert not survey.house.ysepz.log


def test_its_requests_are_counted(survey: Survey) -> None:
    """Like every request to YSE-PZ, as look-ups."""
    service = survey.service()
    survey.follow(service)
    assert service.budget.spending().total("lookup") > 0


def test_a_spent_budget_puts_it_off(survey: Survey) -> None:
    """Nothing is asked, nothing changed, and it is tried again."""
    service = survey.service(YSE_INGEST_BUDGET="0")
    assert service.follow() is None
    assert not survey.house.ysepz.log
    assert names(service, "list") == []


# Whose they are -----------------------------------------------------------------------------


def test_match_all_follows_what_has_all(survey: Survey) -> None:
    """The status and the tag; what loses one of them is paused."""
    service = survey.service(FOLLOW + 'match = "all"\n')
    assert survey.follow(service).new == ("2020cc",)
    survey.house.ysepz.set_status("2020cc", "New", tags=("YSE",))
    assert survey.follow(service).gone == ("2020cc",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('status = ["New", "Following"]\nmatch = "all"\n', "a transient has one status"),
        ('status = ["New"]\nmatch = "both"\n', 'match is neither "any" nor "all"'),
    ],
    ids=["two statuses", "another word"],
)
def test_what_can_match_nothing_is_told(survey: Survey, text: str, said: str) -> None:
    """As a problem of the file; what is followed stays."""
    service = survey.service()
    survey.follow(service)
    service = survey.service("[follow]\n" + text)
    (problem,) = service.targets_file().problems
    assert said in str(problem)
    assert service.follow() is None
    assert service.state.targets.paused() == {}


def test_lists_of_people_stand_beside_those_of_the_file(survey: Survey) -> None:
    """Each pauses what it alone had; the other keeps what it has."""
    service = survey.service('[follow]\ntags = ["YSE"]\n')
    status = selections(status=["Following"])
    assert service.follow_lists(status).new == ("2020aa", "2020cc", "2020bb")
    service = survey.service("")
    assert survey.follow(service).gone == ("2020bb",)
    service.state.lists.end(status)
    assert survey.follow(service).gone == ("2020aa", "2020cc")


class Meanwhile(YsePzStandIn):
    """A YSE-PZ at which something happens while it answers the next list."""

    meanwhile: Callable[[], object] | None = None

    def handle(self, request: Request) -> Reply:
        """Answer when it has happened."""
        if self.meanwhile is not None and request.path == "/api/transients/":
            happens, self.meanwhile = self.meanwhile, None
            happens()
        return super().handle(request)


def test_a_list_that_is_added_during_a_look_is_looked_at_too(survey: Survey) -> None:
    """Else the look that began before would pause what it has until the next one."""
    lists = selections(status=["Following"])
    with Meanwhile() as ysepz:
        ysepz.add_transient("2020aa", 10.0, 5.0, status="Following")
        ysepz.add_transient("2020bb", 20.0, 5.0, status="New", tags=("YSE",))
        service = survey.service('[follow]\ntags = ["YSE"]\n', YSE_PZ_URL=ysepz.url)
        ysepz.meanwhile = lambda: service.state.lists.add(lists)

        followed = survey.follow(service)

    assert followed.counts.keys() == {*lists, *selections(tags=["YSE"])}
    assert names(service, "list") == ["2020aa", "2020bb"]


def test_what_people_name_alone_stays_as_it_is(survey: Survey) -> None:
    """A target of the file keeps its rules; one of a list becomes theirs."""
    service = survey.service(FOLLOW + '[[targets]]\nname = "2020cc"\ncadence = "2h"\n')
    service.sync_targets_file()
    survey.follow(service)
    before_ms = service.state.now_ms()
    service.state.targets.set_due_many(["2020aa", "2020cc"], before_ms + 10**7)

    service.enqueue_many([Target("2020aa"), Target("2020cc")], bare=["2020aa", "2020cc"])

    assert (names(service, "adhoc"), names(service, "file")) == (["2020aa"], ["2020cc"])
    found = service.state.targets.get("2020cc")
    assert found is not None
    assert found.cadence_s == 7200.0
    assert set(service.state.targets.due(service.state.now_ms(), 9)) >= {"2020aa", "2020cc"}


def test_what_left_its_list_goes_on_when_a_person_names_it(survey: Survey) -> None:
    """And is not paused by the next look."""
    service = survey.service()
    survey.follow(service)
    survey.house.ysepz.set_status("2020aa", "Ignore")
    survey.follow(service)
    assert service.state.targets.paused().keys() == {"2020aa"}
    service.enqueue_many([Target("2020aa")], bare=["2020aa"])
    assert service.state.targets.paused() == {}
    assert survey.follow(service).gone == ()


# By a saved query ---------------------------------------------------------------------------

QUERY = '[follow]\nquery = "Our targets"\n'
WHOLE = (
    "SELECT t.id AS transient, t.name, t.slug, t.ra, t.dec, t.disc_date, s.name AS status, "
    "g.name AS obs_group FROM YSE_App_transient t "
    "JOIN YSE_App_transientstatus s ON s.id = t.status_id "
    "JOIN YSE_App_observationgroup g ON g.id = t.obs_group_id WHERE t.dec = 5 AND t.ra < 35"
)
NAMES = "SELECT t.name FROM YSE_App_transient t WHERE t.dec = 5 AND t.ra < 35"


def asked(survey: Survey, path: str) -> int:
    return sum(each.path.startswith(path) for each in survey.house.ysepz.log)


@pytest.mark.parametrize(("sql", "look_ups"), [(WHOLE, 0), (NAMES, 1)], ids=["whole", "names"])
def test_what_a_saved_query_lists_is_followed(survey: Survey, sql: str, look_ups: int) -> None:
    """In one request; where it shows the columns of the transient, no look-up is needed."""
    survey.house.ysepz.saved_queries["Our targets"] = sql
    survey.house.mars.add_alert("ZTF20aa", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    service = survey.service(QUERY)

    followed = survey.follow(service)

    assert sorted(followed.new) == ["2020aa", "2020bb", "2020cc"]
    assert [each.path for each in survey.house.ysepz.log] == ["/query_api/Our targets/"]
    survey.house.ysepz.log.clear()
    survey.house.cycle(service, "2020aa")
    assert len(survey.house.ysepz.rows("2020aa")) == 1
    assert asked(survey, "/api/transients/") == look_ups


@pytest.mark.parametrize(
    ("column", "shown"),
    [("s.name AS status", "4 AS status"), ("t.disc_date", "'Jan 3, 2020' AS disc_date")],
    ids=["status by number", "date of another kind"],
)
def test_a_column_that_cannot_be_read_stops_no_query(
    survey: Survey, column: str, shown: str
) -> None:
    """Its name is enough: the rows are looked up, and the column is told."""
    survey.house.ysepz.saved_queries["Our targets"] = WHOLE.replace(column, shown)
    survey.house.mars.add_alert("ZTF20aa", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    service = survey.service(QUERY)

    followed = survey.follow(service)

    assert sorted(followed.new) == ["2020aa", "2020bb", "2020cc"]
    said = f"{shown.rsplit(maxsplit=1)[-1]} cannot be read in 3 rows, which are looked up"
    assert followed.odd == (f"query Our targets: {said}",)
    survey.house.cycle(service, "2020aa")
    assert len(survey.house.ysepz.rows("2020aa")) == 1


def test_one_without_a_slug_is_left_out_alone(survey: Survey) -> None:
    """It is told what to do about it; once that is done it is followed."""
    service = survey.service()
    slug("2020aa", None, survey)

    followed = survey.follow(service)

    assert followed.new == ("2020cc", "2020bb")
    assert followed.unusable == ("2020aa",)
    (said,) = followed.odd
    assert said.startswith("2020aa: the transient has no slug")
    assert "Save it once in YSE-PZ" in said
    slug("2020aa", "2020aa", survey)
    assert survey.follow(service).new == ("2020aa",)


def slug(name: str, slug: str | None, survey: Survey) -> None:
    """Give a transient this slug."""
    with survey.house.ysepz.store.connect() as database:
        pk = database.named("transient", name)[0]["id"]
        database.update("transient", [pk], {"slug": slug})


def test_a_name_that_a_join_repeats_is_one_target(survey: Survey) -> None:
    """As a query over photometry does; and one that a tag lists, too, is one."""
    sql = NAMES.replace("t.name FROM", "t.name FROM (SELECT 1 UNION ALL SELECT 2),")
    survey.house.ysepz.saved_queries["Our targets"] = sql
    service = survey.service(QUERY + 'tags = ["YSE"]\n')
    followed = survey.follow(service)
    assert sorted(followed.new) == ["2020aa", "2020bb", "2020cc"]
    assert followed.unusable == ()


@pytest.mark.parametrize(
    ("sql", "fact"),
    [
        (None, "YSE-PZ has no saved query 'Our targets'"),
        (NAMES.replace("t.name", "t.name AS called"), "name is missing"),
        ("SELECT 1", "RuntimeError"),
    ],
    ids=["title", "column", "refused"],
)
def test_a_query_that_cannot_be_used_changes_nothing(
    survey: Survey, sql: str | None, fact: str
) -> None:
    """It is told in status; what is followed stays."""
    survey.house.ysepz.saved_queries["Our targets"] = NAMES
    service = survey.service(QUERY)
    survey.follow(service)
    del survey.house.ysepz.saved_queries["Our targets"]
    if sql is not None:
        survey.house.ysepz.saved_queries["Our targets"] = sql

    assert service.follow() is None

    assert names(service, "list") == ["2020aa", "2020bb", "2020cc"]
    assert service.state.targets.paused() == {}
    assert fact in service.state.troubles.all()[0].fact


# Renamed in YSE-PZ --------------------------------------------------------------------------


@pytest.mark.parametrize("is_kept", [True, False], ids=["look-up kept", "look-up forgotten"])
def test_a_renamed_transient_is_the_same_target(survey: Survey, is_kept: bool) -> None:
    """With its pause, cadence, age and rejected points, and no second light curve."""
    survey.house.mars.add_alert("ZTF20aa", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    service = survey.service()
    survey.follow(service)
    survey.house.cycle(service, "2020aa")
    state = service.state
    added_ms = state.targets.added_ms()["2020aa"]
    state.targets.set_cadence("2020aa", "adaptive")
    state.backfills.ask("2020aa", Backfill(1_500_000_000_000, 1_700_000_000_000))
    state.targets.pause("2020aa", "a person")
    state.quarantine.reject("2020aa", "7", "a satellite")
    survey.house.ysepz.rename("2020aa", "2020zz")
    if not is_kept:
        state.resolutions.drop("2020aa")

    followed = survey.follow(service)

    assert (followed.renamed, followed.new, followed.gone) == ({"2020zz": "2020aa"}, (), ())
    assert names(service, "list") == ["2020bb", "2020cc", "2020zz"]
    assert state.targets.paused() == {"2020zz": "a person"}
    target = state.targets.get("2020zz")
    assert target is not None
    assert target.cadence_s == "adaptive"
    assert state.backfills.get("2020zz") == Backfill(1_500_000_000_000, 1_700_000_000_000)
    assert state.targets.added_ms()["2020zz"] == added_ms
    assert state.quarantine.rejected("2020zz") == {"7": "a satellite"}
    state.targets.resume("2020zz")
    survey.house.mars.add_alert("ZTF20aa", 2458901.5, "g", 18.1, 0.1, 10.0, 5.0)
    survey.house.cycle(service, "2020zz")
    assert len(survey.house.ysepz.rows("2020zz")) == 2
    assert survey.follow(service).renamed == {}


def test_the_old_name_may_be_an_alias_with_a_blank_before_it(survey: Survey) -> None:
    """As YSE-PZ keeps the other names that TNS says: the same target all the same."""
    service = survey.service()
    survey.follow(service)
    service.state.resolutions.drop("2020aa")
    survey.house.ysepz.rename("2020aa", "2020zz")
    with survey.house.ysepz.store.connect() as database:
        database.run("UPDATE YSE_App_alternatetransientnames SET name = ?", [" 2020aa"])

    followed = survey.follow(service)

    assert (followed.renamed, followed.new, followed.gone) == ({"2020zz": "2020aa"}, (), ())


def test_a_pause_that_nobody_decided_is_no_decision_afterwards(survey: Survey) -> None:
    """It had left the list when it was renamed: back in the list, it goes on."""
    service = survey.service()
    survey.follow(service)
    survey.house.ysepz.set_status("2020aa", "Ignore")
    survey.follow(service)
    survey.house.ysepz.rename("2020aa", "2020zz")
    survey.house.ysepz.set_status("2020zz", "Following")
    decided = len(service.state.decisions.entries())

    followed = survey.follow(service)

    assert (followed.renamed, followed.back) == ({"2020zz": "2020aa"}, ("2020zz",))
    assert service.state.targets.paused() == {}
    assert len(service.state.decisions.entries()) == decided


def test_what_was_owed_under_the_old_name_is_sent_under_the_new_one(survey: Survey) -> None:
    """The rename comes between the fetch and the upload."""
    survey.house.mars.add_alert("ZTF20aa", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    service = survey.service()
    survey.follow(service)
    (hint,) = service.refresh(["2020aa"])
    survey.house.ysepz.rename("2020aa", "2020zz")
    survey.follow(service)

    service.upload(hint.name, hint.key, hint.fence, attempt=1)
    survey.house.cycle(service, "2020zz")

    assert len(survey.house.ysepz.rows("2020zz")) == 1


def test_one_that_people_follow_under_its_old_name_is_not_doubled(survey: Survey) -> None:
    """It stays theirs, and is found under its new name at once."""
    survey.house.mars.add_alert("ZTF20aa", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    service = survey.service()
    service.enqueue(Target("2020aa", cadence_s=60.0))
    survey.house.cycle(service, "2020aa")
    survey.house.ysepz.rename("2020aa", "2020zz")

    survey.follow(service)

    assert (names(service, "adhoc"), names(service, "list")) == (
        ["2020aa"],
        ["2020bb", "2020cc"],
    )
    survey.house.mars.add_alert("ZTF20aa", 2458901.5, "g", 18.1, 0.1, 10.0, 5.0)
    survey.house.cycle(service, "2020aa")
    assert len(survey.house.ysepz.rows("2020zz")) == 2
    assert survey.follow(service).gone == ()


def test_one_that_people_add_under_another_name_leaves_the_list(survey: Survey) -> None:
    """Two targets for one transient would be asked for twice."""
    survey.house.ysepz.add_alias("ZTF20aaaaaaa", "2020aa")
    service = survey.service()
    survey.follow(service)
    service.enqueue(Target("ZTF20aaaaaaa"))
    survey.house.cycle(service, "ZTF20aaaaaaa")

    assert survey.follow(service).gone == ("2020aa",)

    service.state.targets.remove("ZTF20aaaaaaa")
    assert survey.follow(service).back == ("2020aa",)
