"""``yse-ingest fetch``: what a source has of a target, and what of it YSE-PZ lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from yse_ingest.cli.completion import target_names
from yse_ingest.cli.target_options import known_target, place_options, target_of
from yse_ingest.cli.terminal import DONE, FAILED, Terminal, report, terminal_options

if TYPE_CHECKING:
    from yse_ingest.cli.preview import Part, Preview
    from yse_ingest.cli.target_options import PlaceOptions
    from yse_ingest.service import Service
    from yse_ingest.targets import Target


@click.command()
@click.argument("name", shell_complete=target_names)
@place_options
@click.option(
    "--payload",
    is_flag=False,
    flag_value="real",
    type=click.Choice(["real", "documented"]),
    help="Print only the requests that would be sent, or the dictionary YSE-PZ documents.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the light curve into a .png, .pdf or .svg (needs matplotlib).",
)
@click.option("--private", is_flag=True, help="Draw what is for members of groups alone, too.")
@terminal_options
def fetch(
    terminal: Terminal,
    name: str,
    *,
    payload: str | None,
    plot: Path | None,
    private: bool,
    **place: Any,
) -> None:
    """Show the light curve that a source has of NAME; send nothing.

    With a YSE-PZ (YSE_PZ_URL) its coordinates are used, and what it holds is read back and
    compared. Without one, give --ra and --dec, or --object-id. What the targets file says
    of NAME holds, the options laid over it. Of several sources of a survey the union is shown,
    as push would send it, and what each has of it.

    A picture shows upper limits and forced photometry, too, where the source has them, whether
    or not they are sent; what stands in YSE-PZ is drawn open. Of several sources it shows the
    first that has photometry.

    \b
    Examples:
      yse-ingest fetch 2019np
      yse-ingest fetch 2019np --ra 157.3415 --dec 29.5106667 --plot 2019np.png
      yse-ingest fetch 2019np --payload               what push would send
      yse-ingest fetch 2019np --payload documented    the dictionary of YSE-PZ's documentation
    """
    from yse_ingest.cli.preview import documented, previews, problem_of

    if payload == "documented" and plot is not None:
        raise click.UsageError("--plot does not go with --payload documented.")
    if private and plot is None:
        raise click.UsageError("--private goes with --plot.")
    service = terminal.service()
    known = known_target(service, name, ask_state=False)
    target = target_of(name, cast("PlaceOptions", place), known=known)
    if plot is not None and not private and (groups := sorted(service.readers(target))):
        raise click.UsageError(
            f"{target.name} is for the members of {', '.join(groups)} alone: "
            "it is drawn with --private."
        )
    if payload == "documented":
        terminal.result(documented(service, target))
        return
    if plot is not None and len(service.groups_of(target)) > 1:
        raise click.UsageError(
            "--plot draws one survey: name a source of it (--source), or several of the same."
        )
    found = previews(service, target, draw=plot is not None, tell=terminal.progress())
    problems = [problem_of(each.fetched) or each.error for each in found]
    if payload == "real":
        terminal.result([one for each in found for one in _requests(service, target, each)])
    elif terminal.as_json:
        dicts = [_as_dict(each) for each in found]
        terminal.result(dicts if len(dicts) > 1 else dicts[0])
    else:
        for each, problem in zip(found, problems, strict=True):
            _show(service, target, each)
            if problem is not None:
                report(problem, as_json=False)
    if plot is not None:
        _draw(service, found[0], plot, private=private)
        if not (payload or terminal.as_json):
            click.echo(f"drawn in {plot}")
    raise SystemExit(FAILED if any(problems) else DONE)


def _requests(service: Service, target: Target, found: Preview) -> list[dict[str, Any]]:
    """Return what would be sent; raise what would keep it from being sent."""
    from yse_ingest.cli.preview import problem_of
    from yse_ingest.errors import UnknownTargetError

    service.settings.require_ysepz_url()
    if (problem := problem_of(found.fetched) or found.error) is not None:
        raise problem
    if found.transient is None and target.creation is None:
        raise UnknownTargetError(
            "YSE-PZ has no transient of this name or place",
            service="YSE-PZ",
            target=target.name,
            remedy="Check the name, or give it creation fields in the targets file.",
        )
    return found.requests()


def _as_dict(found: Preview) -> dict[str, Any]:
    plain = found.as_dict()
    comparison = {word: plain.pop(word) for word in found.counts()}
    light_curve = plain.pop("points")
    return {**plain, "comparison": comparison or None, "light_curve": light_curve}


def _show(service: Service, target: Target, found: Preview) -> None:
    """Print the light curve, and what became of every row that is not in it."""
    from yse_ingest.cli.render import say

    _show_light_curve(found)
    for part in found.parts:
        _show_part(service, target, part, several=len(found.parts) > 1)
    for each in found.disagreements:
        say(f"  sources disagree on the {each}")
    say(f"{_comparison(target, found)} This command sends nothing.")


def _show_part(service: Service, target: Target, part: Part, *, several: bool) -> None:
    """Print what one source says, and what became of its rows."""
    from yse_ingest.cli.preview import KIND_WORDS, quarantined
    from yse_ingest.cli.render import listed, plural, say

    title = service.source(part.source).title
    if part.fetched is None:
        say(f"{target.name}: {title} gave no light curve: {part.error}")
        return
    fetched, answer = part.fetched, part.fetched.answer
    rows = quarantined(fetched)
    counts = ", ".join(
        plural(count, KIND_WORDS[kind]) for kind, count in fetched.counts.items()
    )
    share = f"; {part.stands} of the union stand as it has them" if several else ""
    say(
        f"{target.name}: {title} says {answer.status}, {counts} fetched, "
        f"{fetched.negative} negative, {len(rows)} quarantined{share}"
    )
    for reason, count in sorted(fetched.dropped.items()):
        say(f"  left out: {plural(count, 'row')}, {reason}")
    for row in rows:
        say(f"  quarantined {row['native_id'] or 'a row without id'}: {row['reason']}")
    for each in answer.objects:
        away = "" if each.separation_arcsec is None else f', {each.separation_arcsec:.2f}"'
        taken = "" if each.accepted else ", not taken"
        say(f"  object {each.object_id}: {plural(each.detections, 'detection')}{away}{taken}")
    if answer.set_aside:
        say(f"  rows set aside, of other objects: {listed(answer.set_aside)}")
    if answer.reason:
        say(f"  {answer.reason}")


def _show_light_curve(found: Preview) -> None:
    from yse_ingest.cli.render import say, table

    points = found.as_dict()["points"]
    if not points:
        return
    compared = ["in YSE-PZ"] if found.plan is not None else []
    kinds = ["kind"] if {point["kind"] for point in points} != {"detection"} else []
    table(
        ["obs_date (UTC)", "band", *kinds, "mag", "err", "flux", "native id", *compared],
        [
            (
                point["obs_date"],
                point["band"],
                *(point["kind"] for _ in kinds),
                _fixed(point["mag"], 3),
                _fixed(point["mag_err"], 3),
                _fixed(point["flux"], 1),
                point["native_id"],
                *(point["state"] for _ in compared),
            )
            for point in points
        ],
        right=["mag", "err", "flux"],
        styles={"new": "green", "changed": "yellow"},
    )
    say()


def _fixed(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _comparison(target: Target, found: Preview) -> str:
    if found.error is not None:
        return "Not compared with YSE-PZ."
    if found.resolution is None:
        return "Not compared: no YSE-PZ is configured (YSE_PZ_URL)."
    if found.transient is None:
        may = "may" if target.creation is not None else "may not"
        return f"YSE-PZ has no transient {target.name}, and it {may} be created."
    known = f"YSE-PZ has {found.transient}, found by {found.resolution.by}"
    if found.plan is None:
        return f"{known}; there is nothing to compare."
    return f"{known}: {', '.join(f'{n} {word}' for word, n in found.counts().items())}."


def _draw(service: Service, found: Preview, path: Path, *, private: bool) -> None:
    from yse_ingest.plot import plot_light_curve

    fetched, transient = found.fetched, found.transient
    source = service.source(fetched.source)
    stored = found.read_back.photometry if found.read_back is not None else None
    notes = []
    if service.settings.ysepz_url is None:
        notes.append("YSE-PZ was not asked.")
    if stored is not None and (hidden := int(stored.restricted.sum())):
        if private:
            notes.append("PRIVATE: shows what is for members of groups alone.")
        else:
            stored = stored.take(~stored.restricted)
            notes.append(f"{hidden} private points of YSE-PZ are not drawn.")
    plot_light_curve(
        path,
        found.everything or fetched.answer,
        band_map=fetched.rules.band_map,
        title=fetched.target.name,
        source=fetched.source,
        source_title=source.title,
        survey=source.capabilities.survey,
        discovery_ms=transient.discovery_ms if transient is not None else None,
        stored=stored,
        note=" ".join(notes),
    )
    if private:
        path.chmod(0o600)
