"""Random histories of three hubs, whose end must equal a model. Seeds that once failed stay here."""

from pathlib import Path

import pytest

from tests.feature.histories import live, net


# 103: what a relay took back was held by the guard, and came back as if it were still there.
@pytest.mark.parametrize("seed", [103])
async def test_after_any_history_every_hub_has_what_all_clusters_hold(tmp_path: Path, seed: int):
    async with net(tmp_path) as made:
        done = await live(made, seed, steps=40)
        await made.heal()
        try:
            await made.until_all_agree()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {'; '.join(done)}\n{error}") from error
