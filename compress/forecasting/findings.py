"""What a forecast finds."""

from dataclasses import dataclass

from compress.report.content import Row, Verdict


@dataclass(frozen=True)
class Version:
    """The network after some of a recipe's passes: `passes` are their names, `step` the one that makes the difference.

    MACs are for one sample. Rows have no accuracy. `blocked` are the reasons why a file can't be written or doesn't work on a target.
    """

    passes: tuple[str, ...]
    step: str
    macs: int
    parameters: int
    rows: tuple[Row, ...]
    blocked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What a recipe will give. The first of `versions` is the network as it came, the last the whole recipe's.

    `untrained` are the passes whose training was left out. `other_macs`, where it is set, is what the MACs were with other samples and
    slightly other weights: the network's structure hangs on them, so figures of the last version are estimates.
    """

    name: str
    versions: tuple[Version, ...]
    untrained: tuple[str, ...]
    other_macs: int | None
    warnings: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    seconds: float

    @property
    def works(self) -> bool:
        """Whether nothing of the whole recipe is refused and no budget is missed, as far as is known before training."""
        return not self.versions[-1].blocked and all(verdict.kept is not False for verdict in self.verdicts)
