from datetime import UTC, datetime, timedelta

import pytest

from features.errors import ConfigError
from features.utc import latest_event_time


@pytest.mark.parametrize(("text", "seconds"), [(None, 86_400), ("", 86_400), ("0", 0), ("3600", 3_600), ("0.5", 0.5)])
def test_events_may_be_ahead_by_the_tolerance_for_clocks(text, seconds, monkeypatch):
    if text is not None:
        monkeypatch.setenv("CLOUT_CLOCK_ALLOWANCE", text)
    ahead = latest_event_time() - datetime.now(UTC)
    assert timedelta(0) <= timedelta(seconds=seconds) - ahead < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "1e300", "1h"])
def test_invalid_tolerances_are_rejected(text, monkeypatch):
    monkeypatch.setenv("CLOUT_CLOCK_ALLOWANCE", text)
    with pytest.raises(ConfigError, match=rf"CLOUT_CLOCK_ALLOWANCE is '{text}'; expected a number of seconds"):
        latest_event_time()
