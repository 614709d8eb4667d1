"""What makes one message, and when it is time for it: pure, the caller has the clock.

Runs that failed in one stage for one cause make one message. It waits until no more of them come, but never long, and
a further message of the same cause comes after a gap, so that neither a burst nor a trickle makes a storm.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from archiverd.journal.state_files import TAGS
from archiverd.notify.message import Message, RunLine, Topic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archiverd.journal.news import Failed, News, Repaired
    from archiverd.journal.rows import Hold

CAUSES_TOLD = 3
"""At most so many causes of a stage get messages of their own; the others share one."""

VARIOUS = "various causes"

MESSAGES = 6
WINDOW_SECONDS = 600.0
"""At most so many messages about runs within so many seconds; what comes beyond waits, and is told together."""


class Key(NamedTuple):
    """What a message is about; what shares a key shares a message."""

    topic: Topic
    subject: str
    cause: str = ""
    """The cause without its numbers: they differ from run to run."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one message tells: runs, ascending, or a backend that is away, or one that is back."""

    failed: tuple[Failed, ...] = ()
    repaired: tuple[Repaired, ...] = ()
    hold: Hold | None = None
    away_since: float | None = None
    """Of a backend that is back, in epoch seconds."""

    def __len__(self) -> int:
        return len(self.failed) + len(self.repaired) or 1

    def message(self, key: Key, host: str, at: float) -> Message:
        """Return the message; ``at`` is now, in epoch seconds."""
        if self.hold is not None:
            hold = self.hold
            return Message(key.topic, key.subject, host, at, cause=hold.cause, remedy=hold.remedy, since=hold.since)
        causes = {_alike(one.error): one.error for one in reversed(self.failed)}
        remedies = {_alike(one.remedy): one.remedy for one in reversed(self.failed)}
        lines = tuple(RunLine(one.run, one.error if len(causes) > 1 else "") for one in self.failed)
        return Message(
            topic=key.topic,
            subject=key.subject,
            host=host,
            at=at,
            runs=lines or tuple(RunLine(one.run) for one in self.repaired),
            cause=next(iter(causes.values())) if len(causes) == 1 else "",
            remedy=next(iter(remedies.values())) if len(remedies) == 1 else "",
            since=self.away_since,
        )


def batches(news: News, *, works: bool | None) -> dict[Key, Batch]:
    """Group what failed by stage and cause, what was repaired by stage, the rest by backend.

    ``works`` tells how UconDB stands as far as we know, None where nobody looks: a hold in the journal may be an
    earlier process's, and none may mean that nobody has looked yet.
    """
    failed: defaultdict[Key, list[Failed]] = defaultdict(list)
    for one in news.failed:
        failed[Key(Topic.FAILED, TAGS[one.stage], _alike(one.error))].append(one)
    found = {key: Batch(failed=tuple(runs)) for key, runs in _fold(failed).items()}
    repaired: defaultdict[Key, list[Repaired]] = defaultdict(list)
    for other in news.repaired:
        repaired[Key(Topic.REPAIRED, TAGS[other.stage])].append(other)
    found |= {key: Batch(repaired=tuple(runs)) for key, runs in repaired.items()}
    if works is False:
        found |= {Key(Topic.OUTAGE, hold.backend): Batch(hold=hold) for hold in news.holds}
    if works:
        found |= {Key(Topic.OUTAGE_OVER, backend): Batch(away_since=since) for backend, since in news.over}
    return found


def _fold(failed: Mapping[Key, list[Failed]]) -> dict[Key, list[Failed]]:
    """Put the rarer causes of a stage that has too many of them together."""
    folded: defaultdict[Key, list[Failed]] = defaultdict(list)
    taken: defaultdict[str, int] = defaultdict(int)
    for key, runs in sorted(failed.items(), key=lambda item: -len(item[1])):
        taken[key.subject] += 1
        among = sum(other.subject == key.subject for other in failed)
        alone = among <= CAUSES_TOLD or taken[key.subject] < CAUSES_TOLD
        folded[key if alone else key._replace(cause=VARIOUS)].extend(runs)
    return {key: sorted(runs, key=lambda one: one.run) for key, runs in folded.items()}


def _alike(text: str) -> str:
    """Return what two texts have in common that tell the same of two runs."""
    return re.sub(r"\d+", "#", text)


@dataclass(frozen=True, slots=True)
class MessageTiming:
    """When a message is due. Seconds."""

    quiet: float
    """So long nothing has come to it,"""
    longest: float
    """or so long the first in it has waited;"""
    gap: float
    """and so long it is since the last one with its key."""


PACES = {
    Topic.FAILED: MessageTiming(quiet=3.0, longest=30.0, gap=600.0),
    Topic.REPAIRED: MessageTiming(quiet=3.0, longest=300.0, gap=600.0),
    Topic.OUTAGE: MessageTiming(quiet=30.0, longest=30.0, gap=600.0),
    Topic.OUTAGE_OVER: MessageTiming(quiet=3.0, longest=3.0, gap=0.0),
}
"""An outage of less than half a minute is none that people have to know of."""

_OF_RUNS = (Topic.FAILED, Topic.REPAIRED)


class Batching:
    """What waits to be told, since when, and what was told lately. Times in seconds of any one clock."""

    def __init__(self) -> None:
        self._waiting: dict[Key, tuple[float, float, int]] = {}
        """By key: when it first had news, when the last came, and how many."""
        self._sent: dict[Key, float] = {}
        self._lately: deque[float] = deque(maxlen=MESSAGES)

    def due(self, sizes: Mapping[Key, int], now: float, *, flush: bool = False) -> list[Key]:
        """Return the keys, of those that have so much news now, whose message is due; with ``flush``, all of them."""
        waiting = {}
        for key, size in sizes.items():
            first, last, before = self._waiting.get(key, (now, now, size))
            waiting[key] = (first, now if size > before else last, size)
        self._waiting = waiting
        if flush:
            return list(sizes)
        room = MESSAGES - sum(now - at < WINDOW_SECONDS for at in self._lately)
        ready = [key for key in sizes if self._is_due(key, now)]
        of_runs = [key for key in ready if key.topic in _OF_RUNS]
        return [key for key in ready if key not in of_runs[room:]]

    def sent(self, key: Key, now: float) -> None:
        """Note that a message was sent."""
        self._waiting.pop(key, None)
        self._sent = {other: at for other, at in self._sent.items() if now - at < WINDOW_SECONDS}
        self._sent[key] = now
        if key.topic in _OF_RUNS:
            self._lately.append(now)

    def _is_due(self, key: Key, now: float) -> bool:
        pace = PACES[key.topic]
        first, last, _ = self._waiting[key]
        if key in self._sent and now - self._sent[key] < pace.gap:
            return False
        return now - last >= pace.quiet or now - first >= pace.longest
