"""Batches: what goes into one message, and when the message is due. Pure: the caller has the clock.

Runs that failed in one stage for one cause share a message. It waits a little for more of them, and the next message
about the same cause waits for a gap, so that neither a burst nor a trickle of failures makes many messages.
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

MOST_CAUSES = 3
"""Most messages about one stage at a time; the rarer causes share the last of them."""

VARIOUS = "various causes"

MOST_MESSAGES = 6
"""Most messages about runs within ``WINDOW_SECONDS``; what is beyond waits and is batched further."""

WINDOW_SECONDS = 600.0
"""Length of the window in which messages about runs are counted, and in which the time of a message is remembered."""


class MessageKey(NamedTuple):
    """What a message is about; news with the same key share a message."""

    topic: Topic
    subject: str
    cause: str = ""
    """The cause, without the numbers that differ from run to run."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The content of one message: runs, ascending, or a backend that is away, or one that is back."""

    failed: tuple[Failed, ...] = ()
    repaired: tuple[Repaired, ...] = ()
    hold: Hold | None = None
    away_since: float | None = None
    """Of a backend that is back, in epoch seconds."""

    def __len__(self) -> int:
        return len(self.failed) + len(self.repaired) or 1

    def message(self, key: MessageKey, host: str, at: float) -> Message:
        """Return the message; ``at`` is now, in epoch seconds."""
        if self.hold is not None:
            hold = self.hold
            return Message(key.topic, key.subject, host, at, cause=hold.cause, remedy=hold.remedy, since=hold.since)
        causes = {_without_numbers(one.error): one.error for one in reversed(self.failed)}
        remedies = {_without_numbers(one.remedy): one.remedy for one in reversed(self.failed)}
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


def batches(news: News, *, works: bool | None) -> dict[MessageKey, Batch]:
    """Group failures by stage and cause, repairs by stage, outages by backend.

    ``works`` is whether UconDB works, None if this process does not probe it: a hold in the journal may be an earlier
    process's, and no hold may mean that nobody has probed yet.
    """
    failed: defaultdict[MessageKey, list[Failed]] = defaultdict(list)
    for one in news.failed:
        failed[MessageKey(Topic.FAILED, TAGS[one.stage], _without_numbers(one.error))].append(one)
    found = {key: Batch(failed=tuple(runs)) for key, runs in _fold(failed).items()}
    repaired: defaultdict[MessageKey, list[Repaired]] = defaultdict(list)
    for other in news.repaired:
        repaired[MessageKey(Topic.REPAIRED, TAGS[other.stage])].append(other)
    found |= {key: Batch(repaired=tuple(runs)) for key, runs in repaired.items()}
    if works is False:
        found |= {MessageKey(Topic.OUTAGE, hold.backend): Batch(hold=hold) for hold in news.holds}
    if works:
        found |= {MessageKey(Topic.OUTAGE_OVER, backend): Batch(away_since=since) for backend, since in news.over}
    return found


def _fold(failed: Mapping[MessageKey, list[Failed]]) -> dict[MessageKey, list[Failed]]:
    """Put the rarer causes of a stage with more than ``MOST_CAUSES`` under one key."""
    folded: defaultdict[MessageKey, list[Failed]] = defaultdict(list)
    taken: defaultdict[str, int] = defaultdict(int)
    for key, runs in sorted(failed.items(), key=lambda item: -len(item[1])):
        taken[key.subject] += 1
        among = sum(other.subject == key.subject for other in failed)
        alone = among <= MOST_CAUSES or taken[key.subject] < MOST_CAUSES
        folded[key if alone else key._replace(cause=VARIOUS)].extend(runs)
    return {key: sorted(runs, key=lambda one: one.run) for key, runs in folded.items()}


def _without_numbers(text: str) -> str:
    """Return ``text`` with each number replaced, so that the same error of two runs gives the same text."""
    return re.sub(r"\d+", "#", text)


@dataclass(frozen=True, slots=True)
class MessageTiming:
    """When a message is due: after ``quiet`` or ``longest``, whichever is first, but not before ``gap``. Seconds."""

    quiet: float
    """Time since its last news came."""
    longest: float
    """Time since its first news came."""
    gap: float
    """Time since the last message with the same key."""


TIMINGS = {
    Topic.FAILED: MessageTiming(quiet=3.0, longest=30.0, gap=600.0),
    Topic.REPAIRED: MessageTiming(quiet=3.0, longest=300.0, gap=600.0),
    Topic.OUTAGE: MessageTiming(quiet=30.0, longest=30.0, gap=600.0),
    Topic.OUTAGE_OVER: MessageTiming(quiet=3.0, longest=3.0, gap=0.0),
}
"""By topic. An outage of less than half a minute is not reported."""

_OF_RUNS = (Topic.FAILED, Topic.REPAIRED)


class Batching:
    """The news that wait for their message, and the messages sent lately. Times in seconds of any one clock."""

    def __init__(self) -> None:
        self._waiting: dict[MessageKey, tuple[float, float, int]] = {}
        """By key: when its first and its last news came, and how many there are."""
        self._sent: dict[MessageKey, float] = {}
        self._lately: deque[float] = deque(maxlen=MOST_MESSAGES)

    def due(self, sizes: Mapping[MessageKey, int], now: float, *, flush: bool = False) -> list[MessageKey]:
        """Return the keys whose message is due, all of them with ``flush``; ``sizes`` has the number of news by key."""
        waiting = {}
        for key, size in sizes.items():
            first, last, before = self._waiting.get(key, (now, now, size))
            waiting[key] = (first, now if size > before else last, size)
        self._waiting = waiting
        if flush:
            return list(sizes)
        room = MOST_MESSAGES - sum(now - at < WINDOW_SECONDS for at in self._lately)
        ready = [key for key in sizes if self._is_due(key, now)]
        of_runs = [key for key in ready if key.topic in _OF_RUNS]
        return [key for key in ready if key not in of_runs[room:]]

    def sent(self, key: MessageKey, now: float) -> None:
        """Record that the message for ``key`` was sent at ``now``."""
        self._waiting.pop(key, None)
        self._sent = {other: at for other, at in self._sent.items() if now - at < WINDOW_SECONDS}
        self._sent[key] = now
        if key.topic in _OF_RUNS:
            self._lately.append(now)

    def _is_due(self, key: MessageKey, now: float) -> bool:
        timing = TIMINGS[key.topic]
        first, last, _ = self._waiting[key]
        if key in self._sent and now - self._sent[key] < timing.gap:
            return False
        return now - last >= timing.quiet or now - first >= timing.longest
