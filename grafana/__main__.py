"""``python -m grafana`` writes the dashboards' files."""

from grafana.build import write

write()
