"""Settings that hold for all tests."""

import os

import hypothesis

# Threads of the booster that wait in a busy loop slow each other down thirtyfold on a machine that others use as well.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

hypothesis.settings.register_profile(
    "clout",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("clout")
