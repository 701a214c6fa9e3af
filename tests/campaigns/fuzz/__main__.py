"""Run the fuzz campaign: ``python -m tests.campaigns.fuzz [--inputs N] [--seed S] [--jobs J]``.

Exits with 1 when anything but a named error came out, or anything invalid was accepted. The
last line is the summary. A seed replays a run: the same inputs in the same order.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed

from tests.campaigns.fuzz.families import FAMILIES, run_chunk
from tests.campaigns.fuzz.tally import Score

CHUNK = 2500
"""Inputs that one process does in one go."""
SEEDS_APART = 1_000_003
SHOWN_LENGTH = 2000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="at least so many")
    parser.add_argument("--seed", type=int, default=None, help="replays a run")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--family", default="", help="only families whose name holds this")
    parser.add_argument("--profile", choices=("fuzz-short", "fuzz-long"), default="fuzz-long")
    return parser.parse_args()


def main() -> int:
    """Run every family in chunks over some processes, and tell what was found."""
    asked = _arguments()
    seed = asked.seed if asked.seed is not None else time.time_ns() % 1_000_000
    print(
        f"fuzz: at least {asked.inputs} inputs, seed {seed}, {asked.jobs} processes", flush=True
    )
    chosen = [at for at, one in enumerate(FAMILIES) if asked.family in one.name]
    shares = sum(FAMILIES[at].share for at in chosen)
    totals = {at: Score(FAMILIES[at].name) for at in chosen}
    started = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.jobs, mp_context=context) as pool:
        jobs: dict[Future[Score], int] = {}
        # The slowest first: no process waits for the last chunk of another.
        for at in reversed(chosen):
            wanted = -(-int(asked.inputs * FAMILIES[at].share / shares * 10 + 9) // 10)
            size = CHUNK // 10 if FAMILIES[at].share <= 0.01 else CHUNK
            for part in range(0, wanted, size):
                begin = seed * SEEDS_APART + at * 10_007 + part
                job = pool.submit(run_chunk, at, min(size, wanted - part), begin, asked.profile)
                jobs[job] = at
        for done, job in enumerate(as_completed(jobs), start=1):
            _add(totals[jobs[job]], job.result())
            inputs = sum(one.inputs for one in totals.values())
            print(
                f"  {done} of {len(jobs)} parts, {inputs} inputs", file=sys.stderr, flush=True
            )
    return _tell(list(totals.values()), seed=seed, seconds=time.monotonic() - started)


def _add(total: Score, part: Score) -> None:
    total.inputs += part.inputs
    total.seconds += part.seconds
    for found, more in ((total.wrong, part.wrong), (total.unexpected, part.unexpected)):
        heads = {each.partition("\n")[0] for each in found}
        found += [each for each in more if each.partition("\n")[0] not in heads]


def _tell(totals: list[Score], *, seed: int, seconds: float) -> int:
    print(f"\n{'family':28} {'inputs':>8} {'s':>7} {'unexpected':>11} {'wrong':>6}")
    for one in totals:
        print(
            f"{one.name:28} {one.inputs:8d} {one.seconds:7.1f} {len(one.unexpected):11d} "
            f"{len(one.wrong):6d}"
        )
    for one in totals:
        for kind, found in (("unexpected", one.unexpected), ("wrong", one.wrong)):
            for each in found:
                print(f"\n{one.name}, {kind}:\n{each[:SHOWN_LENGTH]}")
    inputs = sum(one.inputs for one in totals)
    unexpected = sum(len(one.unexpected) for one in totals)
    wrong = sum(len(one.wrong) for one in totals)
    print(
        f"\nfuzz: {inputs} inputs, {unexpected} unexpected exceptions, {wrong} wrong "
        f"acceptances "
        f"(seed {seed}, {seconds:.0f} s)",
        flush=True,
    )
    return int(bool(unexpected or wrong))


if __name__ == "__main__":
    sys.exit(main())
