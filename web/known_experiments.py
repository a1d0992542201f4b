"""Experiments by their id alone, as pages name them."""

from collections.abc import Mapping
from typing import Any

from analytics_app.db import is_away, transaction
from analytics_app.definitions import DEFINITIONS
from analytics_app.errors import Unavailable
from analytics_app.experiments import definitions_store as store
from analytics_app.experiments.logic import Experiment


class Known:
    """The experiments of this process' copy of the definitions, put together anew when the copy has changed."""

    def __init__(self) -> None:
        self._by_id: Mapping[int, Experiment] = {}
        self._made_of: Any = None

    def by_id(self) -> Mapping[int, Experiment]:
        """All of them."""
        held = DEFINITIONS.snapshot.of_websites.get("experiments", {})
        if held is not self._made_of:
            self._by_id = {one.id: one for of_website in held.values() for one in of_website}
            self._made_of = held
        return self._by_id

    async def find(self, experiment_id: int) -> Experiment | None:
        """The experiment; one that the copy does not know is looked up, and a miss remembered for a second.

        None where there is none, or its website is deleted. Raises `Unavailable` where that cannot be known.
        """
        if experiment_id not in self.by_id():
            try:
                await DEFINITIONS.ask_once(f"experiment {experiment_id}", lambda: _fetch(experiment_id))
            except Exception as error:
                if is_away(error):
                    raise Unavailable("The experiment cannot be looked up right now; try again") from None
                raise
        found = self.by_id().get(experiment_id)
        return found if found is not None and DEFINITIONS.website(found.website_id) is not None else None


async def _fetch(experiment_id: int) -> None:
    async with transaction() as db:
        website_id = await store.website_of(db, experiment_id)
    if website_id is not None:
        await DEFINITIONS.renew_one("website", website_id)
        await DEFINITIONS.renew_one("experiments", website_id)


KNOWN = Known()
"""Those of this process."""
