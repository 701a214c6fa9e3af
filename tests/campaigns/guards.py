"""Remove each guard from a copy of the source, and see the test of its trap fail.

``python -m tests.campaigns.guards [--only NAME]`` prints a line per guard. It exits with 1
when a test still passes without its guard, or when a guard is no longer where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("yse_ingest", "workers", "tests/traps", "tests/sources", "pyproject.toml")
TEST_S = 300
"""A test that hangs without its guard has failed, too [s]."""


@dataclass(frozen=True)
class Guard:
    """One guard of the product, and how it is removed.

    Parameters
    ----------
    trap
        "Y" (yse_pz.md), "M" (mars.md) or "S" (sources.md 13) and its number there.
    place
        File and function, for people.
    test
        The one test that must fail without it.
    old, new
        The text that is the guard, exactly once in the file, and what stands there without it.
    """

    trap: str
    place: str
    test: str
    old: str
    new: str

    @property
    def file(self) -> str:
        """Return the file below ``yse_ingest``."""
        return self.place.partition(":")[0]


def _ysepz(number: int, place: str, test: str, old: str, new: str) -> Guard:
    name = f"tests/traps/test_ysepz_traps.py::test_trap_{number:02d}_{test}"
    return Guard(f"Y{number}", place, name, old, new)


def _mars(number: int, place: str, test: str, old: str, new: str) -> Guard:
    name = f"tests/traps/test_mars_traps.py::test_trap_{number:02d}_{test}"
    return Guard(f"M{number}", place, name, old, new)


def _source(number: int, place: str, test: str, old: str, new: str) -> Guard:
    return Guard(f"S{number}", place, f"tests/sources/test_{test}", old, new)


GUARDS = (
    _ysepz(
        1, "planning.py:plan_upload", "an_unknown_band_never_reaches_ysepz",
        "    vocabulary.check_photometry("
        "rules, [str(band) for band in np.unique(curve.band)])\n",
        "",
    ),
    _ysepz(
        2, "ysepz/lookup.py:_resolve", "a_second_name_at_one_place_is_never_created",
        "    near = client.transients_near(target.ra, target.dec, NEIGHBOUR_ARCSEC)\n",
        "    near: list[Neighbour] = []\n",
    ),
    _ysepz(
        2, "ysepz/client.py:transient_by_name", "two_rows_of_one_name_are_never_written_to",
        "        if len(found) > 1:\n",
        "        if len(found) > 99:\n",
    ),
    _ysepz(
        3, "ysepz/http.py:_lost", "timeout_and_retry_store_no_point_twice",
        '        if method == "GET":\n',
        '        if method != "PUT":\n',
    ),
    _ysepz(
        4, "planning.py:plan_upload", "a_big_light_curve_gets_only_its_new_points",
        "        comparison.where(Verdict.NEW),\n",
        "        np.arange(len(curve)),\n",
    ),
    _ysepz(
        5, "delivery.py:_send_points", "one_bad_point_stops_only_itself",
        "            if not error.partial:\n                raise\n",
        "            raise\n",
    ),
    _ysepz(
        6, "ysepz/client.py:upload_photometry", "an_update_leaves_every_column_as_it_is",
        '        answer = self._write("POST", "/add_transient_phot/", request)\n',
        '        name, points = request["transient"]["name"], dict(request)\n'
        '        header = {**points.pop("header")}\n'
        '        shelf = {**points.pop("photheader"), "photdata": points}\n'
        '        points.pop("transient")\n'
        '        row = {"name": name, "transientphotometry": {**header, "ZTF": shelf}}\n'
        '        documented = {"noupdatestatus": True, name: row}\n'
        '        answer = self._write("POST", "/add_transient/", documented)\n',
    ),
    _ysepz(
        7, "ysepz/creation.py:create", "an_unknown_name_is_refused_before_the_mail_is_tried",
        "    vocabulary.check_creation(declared_fields(target), target=target.name)\n",
        "",
    ),
    _ysepz(
        8, "ysepz/lookup.py:_resolve", "an_alias_leads_to_the_transient_it_names",
        "    transient = transient_by_alias(client, target.name)\n",
        "    transient = None\n",
    ),
    _ysepz(
        9, "sources/answers.py:_without_twins", "twins_of_one_exposure_are_one_point",
        "    lesser = twins(alerts)\n",
        "    lesser = np.zeros(len(alerts), dtype=bool)\n",
    ),
    _ysepz(
        9, "ysepz/uploads.py:photometry_request", "a_visit_of_a_later_upload_is_kept",
        '"mjdmatchmin": window_days(window_ms)}',
        '"mjdmatchmin": 0.01}',
    ),
    _ysepz(
        10, "settings/table.py:Table.clobber",
        "two_rows_never_become_copies_and_keep_their_flags",
        'default=False,\n        doc="Let YSE-PZ overwrite',
        'default=True,\n        doc="Let YSE-PZ overwrite',
    ),
    _ysepz(
        11, "times.py:to_time_ms", "a_leap_second_does_not_stop_the_light_curve",
        'np.minimum(clock["s"], 59)',
        'clock["s"]',
    ),
    _ysepz(
        12, "planning.py:plan_upload", "public_points_are_never_hidden_by_groups",
        "    check_groups(stored, rules)\n",
        "",
    ),
    _ysepz(
        13, "delta.py:match", "a_truncated_read_back_is_still_recognised",
        "TRUNCATION_MS = 1.0\n",
        "TRUNCATION_MS = 0.0\n",
    ),
    _ysepz(
        14, "ysepz/client.py:transient_by_name", "a_filter_that_is_ignored_is_no_hit",
        '            if name_key(row["name"]) == key\n',
        "",
    ),
    _ysepz(
        15, "ysepz/answers.py:server_exception", "a_page_of_settings_is_cut_to_its_exception",
        "        return ServerException(title.group(1), _excerpt(shown))\n",
        "        return ServerException(title.group(1), text)\n",
    ),
    _ysepz(
        15, "ysepz/answers.py:accept", "a_200_that_refuses_is_a_refusal",
        "        if content == ACCEPTED:\n",
        "        if isinstance(content, dict):\n",
    ),
    _ysepz(
        16, "ysepz/client.py:upload_photometry", "addresses_end_in_a_slash",
        '        answer = self._write("POST", "/add_transient_phot/", request)\n',
        '        answer = self._write("POST", "/add_transient_phot", request)\n',
    ),
    _ysepz(
        16, "delivery.py:_send_points", "what_is_too_large_is_halved",
        "            if len(rows) == 1:\n                raise\n            waiting.extendleft",
        "            raise\n            waiting.extendleft",
    ),
    _ysepz(
        17, "ysepz/lookup.py:_resolve", "points_go_under_the_primary_name",
        '        return _known(target, transient, by="alias")\n',
        '        alias = type(transient)(**{**vars(transient), "name": target.name})\n'
        '        return _known(target, alias, by="alias")\n',
    ),
    _ysepz(
        18, "schemas/payload.py:_key_is_name", "the_key_of_a_new_transient_is_its_name",
        '            if transient["name"] != key\n',
        "            if not transient\n",
    ),
    _mars(
        1, "sources/mars.py:_pages", "all_pages_arrive_though_has_next_is_false",
        "            if len(rows) < PAGE_SIZE:\n",
        '            if not reply.json()["has_next"]:\n',
    ),
    _mars(
        2, "sources/mars.py:_pages", "alerts_that_arrive_between_pages_shift_none",
        '"sort_value": "id", "sort_order": "asc"}',
        '"sort_value": "jd", "sort_order": "desc"}',
    ),
    _mars(
        3, "fetch/questions.py:question", "an_alert_that_was_ingested_late_is_found",
        'detail["newest_ms"] - clients.settings.overlap_s * 1000)',
        'detail["newest_ms"])',
    ),
    _mars(
        4, "sources/mars.py:_read", "an_answer_without_the_filter_is_an_error",
        "            check_cone(reading.alerts, ask, service=self.title)\n",
        "            pass\n",
    ),
    _mars(
        5, "schemas/alert_fields.py:Sign", "the_sign_of_a_subtraction_is_text",
        "        if value in POSITIVE:\n            return False\n",
        '        if value != "f":\n            return False\n',
    ),
    _mars(
        6, "sources/answers.py:_without_twins", "two_alerts_of_one_exposure_are_one_point",
        "    lesser = twins(alerts)\n",
        "    lesser = np.zeros(len(alerts), dtype=bool)\n",
    ),
    _mars(
        7, "delta.py:window_ms", "points_closer_than_0_01_d_are_points",
        "    return max(WINDOW_MIN_MS, min(limits))\n",
        "    return 0.01 * MS_PER_DAY\n",
    ),
    _mars(
        8, "sources/association.py:_by_position", "a_neighbour_in_the_cone_is_not_mixed_in",
        "    belongs = near[0].rows & (away <= rules.match_radius_arcsec)\n",
        "    belongs = away <= rules.cone_radius_arcsec\n",
    ),
    _mars(
        9, "sources/mars.py:_queries", "alerts_without_a_score_are_kept",
        '        queries.append({"cone": cone, **recent})\n',
        '        queries.append({"cone": cone, "drb__gte": "0", **recent})\n',
    ),
    _mars(
        10, "sources/mars.py:_pages", "an_error_page_is_not_no_data",
        "            if reply.status == 404 and number > 1:\n",
        "            if reply.status == 404:\n",
    ),
    _source(
        2, "schemas/signed_flux.py:finish",
        "fink_lsst.py::test_forced_photometry_of_two_names_of_one_thing_is_one_row",
        "f\"fp:{row['band']}:{row['time']:.6f}\"",
        "f\"fp:{row['object_id']}:{row['band']}:{row['time']:.6f}\"",
    ),
    _source(
        3, "schemas/signed_flux.py:detection_of", "fink_lsst.py::test_the_worked_numbers",
        '"negative": flux < 0,',
        '"negative": False,',
    ),
    _source(
        3, "sources/antares.py:_alerts", "antares.py::test_the_worked_numbers",
        "                detections.append(row)\n",
        '                detections.append({**row, "ztf_isdiffpos": "t"})\n',
    ),
    _source(
        4, "sources/lasair.py:_light_curve",
        "lasair.py::test_a_limit_with_a_magnitude_is_no_detection",
        "if not isinstance(row, dict) or ID_KEY in row]",
        'if not isinstance(row, dict) or row.get("magpsf")]',
    ),
    _source(
        4, "sources/significance.py:without_faint",
        "fink_lsst.py::test_what_is_below_three_sigma_is_no_detection",
        "    if not np.any(faint):\n",
        "    if len(faint):\n",
    ),
    _source(
        5, "sources/lasair.py:_lost_digits",
        "lasair.py::test_candids_that_lost_digits_are_told_by_time",
        "    return bool(large) and all(",
        "    return not large and all(",
    ),
    _source(
        6, "sources/lasair.py:_has_failed",
        "lasair.py::test_the_golden_reply_reads_as_it_always_did",
        "NO_FLUX = -99998.0\n",
        "NO_FLUX = -1e9\n",
    ),
    _source(
        7, "schemas/fink_lsst.py:_MeasuredSchema",
        "fink_lsst.py::test_the_whole_light_of_the_place_is_never_taken",
        'data_key="r:psfFlux"',
        'data_key="r:scienceFlux"',
    ),
    _source(
        9, "sources/fink_lsst.py:_read", "fink_lsst.py::test_time_is_37_s_earlier_in_utc",
        '            time_scale="tai",\n            rules=ask.rules,\n            score=',
        "            rules=ask.rules,\n            score=",
    ),
    _source(
        11, "sources/fink_api.py:_cone", "fink.py::test_a_cone_that_was_cut_is_an_error",
        "        if len(rows) >= self.cone_alerts:\n",
        "        if len(rows) > self.cone_alerts:\n",
    ),
    _source(
        11, "sources/fink_lsst.py:_tables",
        "fink_lsst.py::test_a_batch_that_is_empty_is_asked_object_by_object",
        ", never_empty=True)",
        ")",
    ),
    _source(
        11, "sources/antares.py:_pages", "antares.py::test_pages_are_followed",
        "            path, params = following, {}\n",
        "            return\n",
    ),
    _source(
        12, "schemas/antares.py:PASSBANDS",
        "antares.py::test_the_golden_reply_reads_as_it_always_did",
        '"R": "r", ',
        "",
    ),
    _source(
        13, "sources/fink_api.py:fetch",
        "fink_lsst.py::test_the_id_of_another_survey_is_no_object_here",
        "            [of_survey(ask, self.capabilities.survey) for ask in asks],\n",
        "            asks,\n",
    ),
)  # fmt: skip


def without(guard: Guard) -> str:
    """Return what its test says in a copy of the source that lacks one guard."""
    with tempfile.TemporaryDirectory(prefix="guards-") as home:
        copy = Path(home)
        for name in COPIED:
            source, place = ROOT / name, copy / name
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, place)
        file = copy / "yse_ingest" / guard.file
        text = file.read_text(encoding="utf-8")
        if text.count(guard.old) != 1:
            return f"GONE: the guard stands there {text.count(guard.old)} times"
        file.write_text(text.replace(guard.old, guard.new), encoding="utf-8")
        return _verdict(copy, guard)


def _verdict(copy: Path, guard: Guard) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.test]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TEST_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "fails"
    if done.returncode == 1 and "failed" in done.stdout and "AssertionError" in done.stdout:
        return "fails"
    if done.returncode == 1 and "failed" in done.stdout:
        return "fails (by an exception)"
    if done.returncode == 0:
        return "STILL PASSES"
    return f"NO VERDICT: {done.stdout[-300:]}{done.stderr[-300:]}"


def main() -> int:
    """Print the table of guards; return 1 where one of them protects nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.guards")
    parser.add_argument("--only", default="", help="traps or tests whose name holds this")
    parser.add_argument("--jobs", type=int, default=2, help="copies at a time")
    asked = parser.parse_args()
    chosen = [one for one in GUARDS if asked.only in f"{one.trap} {one.test}"]
    bad = 0
    print(f"{'trap':5} {'guard':44} {'without it the test':24} test", flush=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        for guard, verdict in zip(chosen, pool.map(without, chosen), strict=True):
            bad += not verdict.startswith("fails")
            test = guard.test.rpartition("::")[2]
            print(f"{guard.trap:5} {guard.place:44} {verdict:24} {test}", flush=True)
    print(f"guards: {len(chosen)} removed, {len(chosen) - bad} tests failed, {bad} did not")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
