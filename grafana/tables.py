"""What the rows of a table stand for: by which labels PromQL and the reader tell them apart, and where they lead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana.frame import TO_CONTAINER, TO_HOST
from grafana.panels import Label, Rows

_TITLES: Final[Mapping[str, str]] = {
    "instance": "Host",
    "store": "Store",
    "name": "Container",
    "state": "State",
    "image": "Image",
    "repository": "Repository",
    "tag": "Tag",
    "image_id": "ID",
    "chain_id": "Chain ID",
    "job": "Job",
    "alertname": "Alert",
    "alertstate": "State",
    "stage": "Stage",
}
"""What a column of labels is called, the same in every table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What one row is about."""

    key: Sequence[str]
    """The labels that tell rows apart."""
    links: Mapping[str, str] = field(default_factory=dict)
    """A URL for a label's cells, with Grafana's variables."""

    def each(self, expr: str, *also: str) -> str:
        """One value of *expr* for each row, whichever target told it; *also* are labels to be shown beside the key."""
        return f"max by ({', '.join((*self.key, *also))}) ({expr})"

    def rows(self, widths: Mapping[str, int], *, sort: str, ascending: bool = False) -> Rows:
        """Rows that show the labels of *widths*, in that order and so wide in pixels. What else is in the key is
        hidden."""
        return Rows(
            labels={name: Label(title=_TITLES[name], width=width) for name, width in widths.items()},
            hidden=[name for name in self.key if name not in widths],
            links=self.links,
            sort=sort,
            ascending=ascending,
        )


HOSTS: Final = Subject(key=["instance"], links={"instance": TO_HOST})
CONTAINERS: Final = Subject(key=["instance", "store", "container_id", "name"], links={"name": TO_CONTAINER})
IMAGES: Final = Subject(key=["instance", "store", "image_id"])
LAYERS: Final = Subject(key=["instance", "store", "chain_id"])
ALERTS: Final = Subject(key=["instance", "job", "alertname", "stage", "alertstate"], links={"instance": TO_HOST})
