"""Watching the directories whose entries are the engine's records, so that a change is seen before the next full scan.

An event is only a hint: it brings the next scan of the records forward and says nothing about what changed. The
periodic scan is the truth, so a watch that is missing, late or wrong costs freshness and never correctness.
"""
