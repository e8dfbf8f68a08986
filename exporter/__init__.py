"""layerstore-exporter: where a container host's disk goes, layer by layer, for Prometheus.

The flow, one direction only (``exporter/README.md`` gives the reasons)::

    watch ──hint──▶ daemon ──▶ store ──Catalog──▶ measure ──Usage──▶ account ──Report──▶ export
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("layerstore-exporter")
except PackageNotFoundError:  # a source tree on sys.path that was never installed
    __version__ = "0+unknown"
