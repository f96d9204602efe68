"""What won't pay: passes whose savings a target doesn't feel, told before the work."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from compress.forecasting.files import same
from compress.forecasting.findings import Version
from compress.report import wording
from compress.report.content import Row

FELT = 0.3
"""The share of what fewer MACs promise that a latency must gain: 2 times fewer, 1.3 times faster."""
FEWER_MACS, SLOWER, FASTER = 1.2, 0.8, 1.1
"""Ratios from which one speaks of fewer MACs, and of a target that is slower or faster; what is between is noise of short measurements."""


def advice(versions: Sequence[Version]) -> list[str]:
    """A line for each pass and target that it doesn't pay on, and for each file that won't work."""
    found = [line for before, now in pairwise(versions) for line in _between(before, now)]
    return [*versions[-1].blocked, *found]


def _between(before: Version, now: Version) -> Iterator[str]:
    fewer = before.macs / max(1, now.macs)
    ratios = [(row, other.latency_ms / row.latency_ms) for row, other in _pairs(before, now) if row.latency_ms and other.latency_ms]
    for row, faster in ratios:
        where = f"{now.step}: {row.artifact} on {row.target}"
        if faster < SLOWER:
            yield f"{where} is {1 / faster:.2g} times slower with it ({row.latency_source}); leave it out for this target"
        elif fewer >= FEWER_MACS and faster < 1 + FELT * (fewer - 1):
            yield f"{where} is {faster:.2g} times faster ({row.latency_source}) for {fewer:.2g} times fewer MACs; {_cure(row)}"
    unfelt = [row for row, faster in ratios if SLOWER <= faster < FASTER and fewer < FEWER_MACS]
    if unfelt:
        where = " and ".join(dict.fromkeys(row.target for row in unfelt))
        yield f"{now.step}: no faster on {where}; {_bytes(before, now)}"


def _pairs(before: Version, now: Version) -> Iterator[tuple[Row, Row]]:
    for row in now.rows:
        other = same(row, before.rows)
        if other is not None:
            yield row, other


def _cure(row: Row) -> str:
    return f"see with 'edgepress profile {row.artifact} --target {row.target}' which layers don't follow"


def _bytes(before: Version, now: Version) -> str:
    """What a pass does for sizes: of the file, and of the file compressed."""
    for row, other in _pairs(before, now):
        if row.zipped_bytes and other.zipped_bytes:
            zipped = f"{wording.size(other.zipped_bytes)} -> {wording.size(row.zipped_bytes)}"
            return f"{row.artifact} {wording.size(other.bytes)} -> {wording.size(row.bytes)}, zipped {zipped}"
    return "its bytes aren't known"
