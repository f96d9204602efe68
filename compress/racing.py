"""Which of several files is faster on a target, and whether the difference is one: interleaved rounds, intervals without a distribution."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from compress.measuring import encoded
from compress.profiling import random_inputs
from compress.progress import Progress
from targets import boards
from targets.base import Artifact, Latency, RunOptions, Target
from targets.errors import UserError

FIRST_ROUNDS, MOST_ROUNDS = 12, 40
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Interval:
    """A ratio of latencies, and the bounds that hold the true one with a confidence of 99 %."""

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Of the interval, as a part of the ratio."""
        return (self.high - self.low) / 2 / self.ratio


@dataclass(frozen=True)
class Runner:
    """One file of a race: its latency (milliseconds, the median of the rounds' medians) and how many times longer the first file takes.

    `interval` is None for the first file itself, and for counted or estimated latencies, which are the same each time.
    """

    artifact: Artifact
    latency_ms: float
    source: str
    ratio: float
    interval: Interval | None

    def verdict(self, smallest: float) -> str:
        """What may be said: a ratio of less than 1 + `smallest`, or an interval that reaches into it, is no difference."""
        low, high = (self.interval.low, self.interval.high) if self.interval else (self.ratio, self.ratio)
        if low > 1 + smallest:
            return "faster"
        return "slower" if high < 1 / (1 + smallest) else "no difference shown"


@dataclass(frozen=True)
class Race:
    """What a race on one board found. `precision` is the smallest difference that counts."""

    board: str
    runners: tuple[Runner, ...]
    rounds: int
    precision: float


def race(artifacts: Sequence[Artifact], board: str, options: RunOptions, precision: float, progress: Progress) -> Race:
    """Runs the files in turn, each round in another order and each run in a process of its own, until the intervals are narrow enough.

    A round gives each file the median of its repetitions; a file's ratio is the median over the rounds of the first file's time
    divided by its own, so what slows the machine for a while slows both. Rounds end when the half width of every interval is at most
    `precision` of its ratio, or after 40; where latencies are estimated from counts, which are the same each time, after one.
    Raises UserError where a file does not work on the board or nothing is timed there.
    """
    target, order = boards.target(board), np.random.default_rng(0)
    options = replace(options, layers=False, energy=False)
    for artifact in artifacts:
        for problem in target.check(artifact):
            raise UserError(f"{artifact.path}: does not work on {board}: {problem}")
    laps: list[list[Latency]] = [[] for _ in artifacts]
    with progress.task(f"{len(artifacts)} files in turn on {board}", MOST_ROUNDS) as task:
        while not _settled(laps, precision):
            for number in order.permutation(len(artifacts)):
                laps[number].append(_lap(target, artifacts[number], options))
            task.advance(1)
    return Race(
        board, tuple(_runner(artifact, laps[0], own) for artifact, own in zip(artifacts, laps, strict=True)), len(laps[0]), precision
    )


def interval(ratios: Sequence[float]) -> Interval:
    """The median of 8 ratios or more, between two of them that hold the true one with a confidence of at least 99 %.

    These are the order statistics of the sign test: nothing is asked of the ratios but that they are independent.

    >>> interval([1, 2, 3, 4, 5, 6, 7, 8, 9])
    Interval(ratio=5, low=1, high=9)
    """
    ordered, count = sorted(ratios), len(ratios)
    outside = [2 * sum(math.comb(count, k) for k in range(rank)) / 2**count for rank in range(1, count // 2)]
    rank = max(1, sum(share <= 1 - CONFIDENCE for share in outside))
    return Interval(median(ordered), ordered[rank - 1], ordered[count - rank])


def _lap(target: Target, artifact: Artifact, options: RunOptions) -> Latency:
    batch = next(encoded(artifact, inputs) for inputs, _ in random_inputs(artifact, 1, 0).batches(1))
    found = target.run(artifact, [batch], options)
    if found.latency is None:
        raise UserError(f"{artifact.path}: {target.board.name} gives no latency{f': {found.reason}' if found.reason else ''}")
    return found.latency


def _settled(laps: list[list[Latency]], precision: float) -> bool:
    rounds = len(laps[0])
    if rounds and all(own[0].source != "measured" for own in laps):
        return True
    if rounds < FIRST_ROUNDS or rounds >= MOST_ROUNDS:
        return rounds >= MOST_ROUNDS
    return all(interval(_ratios(laps[0], own)).half_width <= precision for own in laps[1:])


def _ratios(first: list[Latency], own: list[Latency]) -> list[float]:
    return [one.p50_ms / other.p50_ms for one, other in zip(first, own, strict=True)]


def _runner(artifact: Artifact, first: list[Latency], own: list[Latency]) -> Runner:
    ratios = _ratios(first, own)
    known = None if own is first or own[0].source != "measured" else interval(ratios)
    return Runner(artifact, median(lap.p50_ms for lap in own), own[0].source, median(ratios), known)
