"""What holds for every test: how deep property tests dig. `PILOT_PLUS_PROFILE=deep make test` digs for an evening."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", parent=settings.get_profile("fast"), max_examples=5000)
settings.load_profile(os.environ.get("PILOT_PLUS_PROFILE", "fast"))
