"""Output for people: tables and trees on a console, plain text in a pipe, and the same values as JSON."""
