"""Power profiles in force: the packaged ones, and those of labelled ConfigMaps; parsed on change."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from wattshift.adapters.power.loader import LoadedProfiles, load_profiles
from wattshift.control.hub.watches import OwnConfigMaps
from wattshift.core.power.power_profile import PowerProfile

log = logging.getLogger(__name__)
LABEL = "wattshift.io/power-profile"
"""Marks a ConfigMap of the operator's namespace as one with profiles."""


class Profiles:
    """Loads once per change of the ConfigMaps; a bad profile is reported and left out."""

    def __init__(self, *, config_maps: OwnConfigMaps) -> None:
        self._config_maps = config_maps
        self._from: Mapping[str, Mapping[str, str]] | None = None
        self._loaded: LoadedProfiles | None = None

    def current(self) -> tuple[PowerProfile, ...]:
        """All usable profiles, by name."""
        labelled = self._config_maps.labelled(LABEL)
        if self._loaded is None or labelled != self._from:
            self._loaded, self._from = load_profiles(labelled), labelled
            for problem in self._loaded.problems:
                log.warning(
                    "%s: %s", problem.where, problem.message, extra={"reason": str(problem.reason)}
                )
        return tuple(self._loaded.profiles[name] for name in sorted(self._loaded.profiles))
