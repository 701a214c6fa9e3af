"""Asking: one message's questions to its sources, one source after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.choice import is_usable
from yse_ingest.drift import DOWN, Hearing
from yse_ingest.errors import SettingsError, StateError, YseIngestError
from yse_ingest.fetch.answers import Answers
from yse_ingest.fetch.questions import question, reads_of
from yse_ingest.fetch.rounds import Rounds
from yse_ingest.fetch.turns import Turns
from yse_ingest.pipeline import fetch_light_curves
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.clients import Clients, Hint
    from yse_ingest.fetch.rounds import Round
    from yse_ingest.sources import Ask

DOWN_IN_A_ROW = 2
"""After so many targets without an answer, the others are asked at their next source."""


class Fetch:
    """One fetch task: ask the sources, record each answer, owe what is new."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._state = clients.state
        self._settings = clients.settings
        self._began_ms = clients.state.now_ms()
        self._turns = Turns(clients, began_ms=self._began_ms)
        self._rounds = Rounds(clients, self._turns)
        self._answers = Answers(clients, self._turns, began_ms=self._began_ms)

    def run(self, names: Sequence[str]) -> list[Hint]:
        """Bring what YSE-PZ is owed for these targets up to date; claim what can be sent.

        Each target is committed by itself: a bad one stops only itself, a crash repeats only
        the unfinished. Safe to repeat: the outbox merges, and the ledger knows what is stored.
        """
        names = list(dict.fromkeys(canonical_name(each) for each in names))
        with self._state.reading_ahead(self._rounds.reads_of(names)):
            hinted = self._state.hinted.among(names)
            rounds = [
                one for name in names for one in self._rounds.of(name, wanted=name in hinted)
            ]
        asked: set[str] = set()
        hints: list[Hint] = []
        wave = [(source, one) for one in rounds for source in one.course.ask]
        while wave:
            for source in dict.fromkeys(source for source, _ in wave):
                asked.add(source)
                hints += self._ask(source, [one for name, one in wave if name == source])
            # Who is asked instead must answer within the time of this message, too.
            late = self._state.now_ms() - self._began_ms > 500 * self._settings.message_s
            if late:
                break
            wave = [pair for one in rounds for pair in self._rounds.instead(one)]
        self._turns.withdraw(but=asked)
        for one in rounds:
            self._rounds.note(one)
        self._rounds.note_read(rounds)
        self._state.hinted.served(hinted, cadence_s=self._clients.default_cadence)
        for name in self._turns.again_s:
            heard = {
                source
                for one in rounds
                if one.target.name == name and one.usable
                for source in one.group.sources
            }
            self._turns.come_back(name, heard=heard)
        return hints

    def _ask(self, source: str, rounds: Sequence[Round]) -> list[Hint]:
        """Ask one source about several targets, and commit its answers."""
        asked_ms = self._state.now_ms()
        asks = self._questions(source, rounds, asked_ms)
        asked = {ask.target.name for ask in asks}
        by_name = {one.target.name: one for one in rounds if one.target.name in asked}
        hints: list[Hint] = []
        hearing = Hearing(self._clients, source, self._turns.breakers[source])
        in_a_row = 0
        try:
            for fetched in fetch_light_curves(asks, self._clients.source(source)):
                hearing.hear(fetched)
                one = by_name.pop(fetched.target.name)
                hint = self._answers.commit(fetched, one, asked_ms)
                hints += [hint] if hint else []
                if is_usable(fetched.answer):
                    one.usable.append(source)
                else:
                    one.failed[source] = str(fetched.answer.reason or fetched.answer.status)
                in_a_row = in_a_row + 1 if isinstance(fetched.answer.error, DOWN) else 0
                if in_a_row >= DOWN_IN_A_ROW and all(
                    one.group.has_choice for one in by_name.values()
                ):
                    break  # the time of this message is for who answers
        except SettingsError as error:
            for one in rounds:
                one.failed[source] = error.fact
                self._turns.unasked(one.target, source, error)
            self._turns.breakers[source].withdraw()
            return hints
        finally:
            self._answers.note_quiet()
        for one in by_name.values():
            one.failed[source] = reason = f"{source} is down"
            self._state.clocks.unasked(one.target.name, source, reason=reason)
            self._turns.soon(one.target, source, self._settings.ask_again_s)
        hearing.close()
        return hints

    def _questions(self, source: str, rounds: Sequence[Round], asked_ms: int) -> list[Ask]:
        """Return what to ask; a target whose rules or place are at fault is left out."""
        asks = []
        with self._state.reading_ahead(reads_of(self._clients, rounds)):
            for one in rounds:
                try:
                    asks.append(question(self._clients, one, source, asked_ms))
                except StateError:
                    raise
                except YseIngestError as error:
                    one.failed[source] = error.fact
                    self._turns.unasked(one.target, source, error)
        return asks
