"""Pure functions from records and measurements to the report: sharing, ownership, growth."""
