"""What is raised where the web configuration is no good."""


class WebConfigError(Exception):
    """The web configuration cannot be used. The message names the file, the key, and what to do."""
