"""Speed and cost, measured beside a reference in the same run: ``make bench``. No figure here is asserted by a test."""
