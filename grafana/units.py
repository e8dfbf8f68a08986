"""Values as Grafana shows them: three digits and the unit."""


def value_text(value: float, unit: str) -> str:
    """A value with its unit, by Grafana's name of that."""
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    if unit == "s":
        for seconds, name in ((86400, " days"), (3600, " h"), (60, " min")):
            if value >= seconds:
                return f"{value / seconds:.3g}{name}"
        return f"{value:.3g} s"
    if unit in ("bytes", "binBps"):
        return _binary(value) + ("/s" if unit == "binBps" else "")
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def _binary(value: float) -> str:
    for prefix in ("", "Ki", "Mi", "Gi"):
        if abs(value) < 1000:
            return f"{value:.3g} {prefix}B"
        value /= 1024
    return f"{value:.3g} TiB"
