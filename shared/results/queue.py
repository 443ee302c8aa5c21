import re
from dataclasses import dataclass
from typing import Final, Self

from shared.brokers.factory import TOPICS
from shared.messaging.topology import queue_name

GROUP_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEAD: Final = "dead"


@dataclass(frozen=True, slots=True)
class ResultQueue:
    """A queue of results, and the group that reads it: each group gets everything."""

    prefix: str
    name: str
    """`faceid.decisions` or `faceid.alerts`."""
    group: str | None
    topic: str
    """The pattern of the topics that are routed there by default: `decision.#` or `alert.#`."""

    @classmethod
    def of(cls, prefix: str, queue: str, group: str | None) -> Self:
        """The queue by its short name, for this group. Raises ValueError for a group that can't name a queue."""
        if group is not None and (group == DEAD or not GROUP_NAME.fullmatch(group)):
            raise ValueError("group: 1 to 64 letters, digits, - or _, and not 'dead'")
        return cls(prefix, queue_name(prefix, queue), group, TOPICS[queue])

    @property
    def own(self) -> str:
        """The group's own queue, where groups are queues: `faceid.decisions.GROUP`, or the queue itself."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def dead(self) -> str:
        """Where the group's dead letters go: `faceid.decisions.GROUP.dead`, or `faceid.decisions.dead`."""
        return f"{self.own}.{DEAD}"
