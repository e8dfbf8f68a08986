"""The Grafana dashboards *Host* and *Fleet*, as Python that writes them: ``python -m grafana``."""
