"""Turns values into metric families: pure, one module a concept. Names and labels are a contract.

``report`` is all that one report says about the host; ``own`` what the exporter says about itself.
"""
