"""Who may read what the exporter serves: the web configuration file, in the format of Prometheus' exporter-toolkit.

The format is told in https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. What it
knows and is not offered here (HTTP/2, inline certificates, TLS below 1.2, a rate limit) is refused by name at the
start: a file that seems to be in force and is not would be worse than none.

``document`` reads YAML strictly, ``config`` turns it into values, ``ciphers`` and ``tls`` make the TLS context,
``users`` checks passwords, ``policy`` is all of it as one value, ``keeper`` makes that again when a file changed.
Without a configuration only ``policy`` is imported: no YAML, no bcrypt.
"""
