"""What the whole test suite shares."""

import pytest
from hypothesis import HealthCheck, settings

# A deadline for each example measures what else the machine is doing, and so does the check of how long making it took.
settings.register_profile("layerstore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("layerstore")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--renew-golden", action="store_true", help="write the golden files anew instead of comparing with them"
    )
