"""Feeds what is learnt online: capacity per kind of replica, and growth of load per workload.

Every minute of steady engine metrics goes into `core/load/learn.py`, every quarter of a cold start into
`core/load/growth.py`. The bounded form goes into the status book every ten minutes and reaches status
hourly, at once where a figure moved far (`record/changes.py`). It decides nothing: gather reads `concurrency` and `growth`. Neighbour: `engines.py`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from wattshift.api.flexibleworkload import FlexibleWorkloadSpec
from wattshift.api.placements import Placement
from wattshift.api.powersite import PowerSiteSpec
from wattshift.api.workload_status import (
    CapacitySource,
    LearntCapacity,
    LearntGrowth,
)
from wattshift.api.workload_status import (
    Learnt as LearntStatus,
)
from wattshift.control.clock import Clock
from wattshift.control.hub.convert import objectives_of
from wattshift.control.hub.keys import ObjectKey
from wattshift.control.hub.store import Store, Stored
from wattshift.control.inputs.gather_workload import locate
from wattshift.control.inputs.world import World
from wattshift.control.record.status import StatusBook
from wattshift.core.engine import EngineStats
from wattshift.core.load import growth, learn
from wattshift.core.load.demand import prior_of
from wattshift.core.load.growth import Growth
from wattshift.core.load.guard import thresholds_milliseconds
from wattshift.core.load.learn import Capacity, Learnt, LoadWindow
from wattshift.core.load.learn_text import capacity_from, capacity_text, growth_from, growth_text
from wattshift.core.model import Objective
from wattshift.core.power.power_profile import PowerProfile
from wattshift.core.survey.full_load import on_full

log = logging.getLogger(__name__)
WINDOW_SECONDS = 60.0
"""Wall seconds of one window: long enough for samples, short enough for one concurrency."""
NOTE_SECONDS = 600.0
"""Wall seconds between two notes into the status book."""
MOST_PER_ROUND = 64
"""Workloads learnt from after one round of scrapes, so that probes are answered in between; who has
waited longest comes first."""
MOST_KINDS = 8
"""Kinds of replicas kept for one workload: those of now, and some of before a change."""
MOST_FAILURES = 3
"""In a row, after which what was learnt is taken for their cause."""
MOST_TOLD = 1_000_000
"""What the status' schema has as the most; samples and seconds may be more."""
DEFAULT_COLD_START_SECONDS = 300
STALE_INTERVALS = 3


class Engines(Protocol):
    """What is read of the engine loop."""

    def stats(self, workload_key: str, placement_name: str) -> EngineStats | None:
        """Statistics of one placement."""
        ...

    def load(
        self,
        workload_key: str,
        placement_name: str,
        objectives: tuple[Objective, ...],
        seconds: float,
    ) -> LoadWindow | None:
        """What the last seconds say about capacity."""
        ...


@dataclass(slots=True)
class _Known:
    """One workload: states by kind of replica, and what follows for its placements."""

    uid: str
    states: dict[str, Learnt] = field(default_factory=dict)
    growth: Growth = field(default_factory=Growth)
    kinds: dict[str, str] = field(default_factory=dict)
    """Placement -> key of the kind that it runs now."""
    capacities: dict[str, Capacity] = field(default_factory=dict)
    """By key."""
    generation: int = -1
    """Of the spec that `kinds` follow from."""
    windowed: float = -math.inf
    """Wall time up to which engine metrics were learnt from."""
    pending: bool = False
    """What an earlier process left is not in force yet: its target was not seen."""
    looked: float = -math.inf
    """Wall time of the last look for it."""
    failures: int = 0
    """In a row."""
    noted: float = -math.inf


class Learning:
    """What was learnt of all workloads. Event loop's thread only."""

    def __init__(
        self,
        *,
        store: Store,
        book: StatusBook,
        clock: Clock,
        world: World,
        engines: Engines,
        profiles: Callable[[], tuple[PowerProfile, ...]],
    ) -> None:
        self._store = store
        self._book = book
        self._clock = clock
        self._world = world
        self._engines = engines
        self._profiles = profiles
        self._known: dict[ObjectKey, _Known] = {}

    def concurrency(self, workload_key: str, placement_name: str) -> float | None:
        """Learnt sequences per replica of a placement; None until learnt."""
        known = self._known.get(ObjectKey.workload(workload_key))
        if known is None:
            return None
        found = known.capacities.get(known.kinds.get(placement_name, ""))
        return found.sequences if found is not None and found.learnt else None

    def slowing(self, workload_key: str, placement_name: str) -> float | None:
        """Share by which sequences of a placement slow each other down; None until learnt."""
        known = self._known.get(ObjectKey.workload(workload_key))
        state = None if known is None else known.states.get(known.kinds.get(placement_name, ""))
        return None if state is None else state.slowing.share

    def growth(self, workload_key: str) -> int:
        """Growth of a workload's load over its cold start in permille; 0 until learnt."""
        known = self._known.get(ObjectKey.workload(workload_key))
        return 0 if known is None else known.growth.permille

    def advance(self) -> None:
        """Take what is new; cheap where nothing is due."""
        stored = {row.key: row for row in self._store.workloads()}
        for key in self._known.keys() - stored.keys():
            del self._known[key]
        profiles: Mapping[str, PowerProfile] | None = None
        now = self._clock.monotonic()
        due: list[tuple[bool, float, Stored, FlexibleWorkloadSpec, _Known]] = []
        for key, row in stored.items():
            if not isinstance(row.spec, FlexibleWorkloadSpec):
                continue
            known = self._known.get(key)
            if known is None or known.uid != row.uid:
                known = self._known[key] = self._loaded(key, row)
                known.windowed = now  # what was before this process is in no window of it
            if profiles is None:
                profiles = {profile.name: profile for profile in self._profiles()}
            self._grow(key, row.spec, known, profiles)
            known.pending &= now - known.windowed < WINDOW_SECONDS
            if known.pending or now - known.windowed >= WINDOW_SECONDS:
                since = known.looked if known.pending else known.windowed
                due.append((not known.pending, since, row, row.spec, known))
        due.sort(key=lambda item: item[:2])
        for *_, row, spec, known in due[:MOST_PER_ROUND]:
            self._take(row, spec, known, profiles or {})

    def _take(
        self,
        stored: Stored,
        spec: FlexibleWorkloadSpec,
        known: _Known,
        profiles: Mapping[str, PowerProfile],
    ) -> None:
        """One window of a workload; what goes wrong with it keeps no other from its turn."""
        now = self._clock.monotonic()
        try:
            if known.pending:
                known.looked = now
                self._follow(stored, spec, known, profiles, windows=False)
                known.pending = not known.capacities
                return
            known.windowed = now
            self._follow(stored, spec, known, profiles, windows=True)
            if now - known.noted >= NOTE_SECONDS:
                known.noted = now
                self._note(stored.key, known)
            known.failures = 0
        except Exception:
            known.pending = False  # the next minute is soon enough
            known.failures += 1
            log.exception("nothing is learnt", extra=_about(stored.key) | {"reason": "Bug"})
            if known.failures >= MOST_FAILURES:
                log.warning("learning begins anew", extra=_about(stored.key) | {"reason": "Bug"})
                self._known[stored.key] = _Known(uid=stored.uid, windowed=now)

    # ---- capacity ------------------------------------------------------------------------------

    def _follow(
        self,
        stored: Stored,
        spec: FlexibleWorkloadSpec,
        known: _Known,
        profiles: Mapping[str, PowerProfile],
        *,
        windows: bool,
    ) -> None:
        """What follows for every placement, with `windows` from one more of each.

        A target that is not seen for a while is what it was, as long as nobody changed the spec.
        """
        now = self._clock.utc()
        before = known.kinds if known.generation == stored.generation else {}
        kinds: dict[str, str] = {}
        states = dict(known.states)
        priors: dict[str, tuple[float, tuple[float, ...]]] = {}
        for place in spec.placements:
            profile = profiles.get(_profile_name(spec, place))
            objectives = self._objectives(spec, place)
            key = self._key(stored, spec, place, objectives) or before.get(place.name, "")
            if profile is None or not objectives or not key:
                continue
            kinds[place.name] = key
            state = states.get(key, Learnt(key=key, time=now))
            if windows:
                window = self._engines.load(stored.key.path, place.name, objectives, WINDOW_SECONDS)
                state = state if window is None else learn.update(state, window, now)
            states[key] = state
            allowed = tuple(1 - row.attainment_permille / 1000 for row in objectives)
            priors[key] = (prior_of(profile), allowed)
        known.capacities = {
            key: learn.capacity(learn.decayed(states[key], now), prior=prior, allowed=allowed)
            for key, (prior, allowed) in priors.items()
        }
        known.kinds, known.states, known.generation = kinds, states, stored.generation
        if windows:
            _forget(known)

    def _objectives(self, spec: FlexibleWorkloadSpec, place: Placement) -> tuple[Objective, ...]:
        """Objectives with what the longest way to a placement leaves of them."""
        trip = self._round_trip(spec, place.site_name)
        return tuple(
            replace(row, threshold_milliseconds=thresholds_milliseconds(row, trip)[-1])
            for row in objectives_of(spec)
        )

    def _round_trip(self, spec: FlexibleWorkloadSpec, site_name: str) -> int:
        site = self._store.get(ObjectKey.site(site_name))
        if site is None or not isinstance(site.spec, PowerSiteSpec):
            return 0
        known = {row.origin_name: row.round_trip_milliseconds for row in site.spec.origin_latencies}
        trips = [known.get(row.name, 0) for row in spec.origins if row.share_permille]
        return max(trips, default=0)

    def _key(
        self,
        stored: Stored,
        spec: FlexibleWorkloadSpec,
        place: Placement,
        objectives: tuple[Objective, ...],
    ) -> str:
        """Digest of all that decides how fast a replica is; empty while its target is not seen."""
        found = locate(stored.key.namespace, spec, place, self._world)
        engine = place.engine or spec.engine
        if found is None or engine is None:
            return ""
        parts = [
            engine.type.value,
            [[row.name, *sorted(row.adapter_names or ())] for row in spec.models],
            found.target.template_digest,
            _profile_name(spec, place),
            [[row.metric.value, row.threshold_milliseconds] for row in objectives],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    # ---- growth --------------------------------------------------------------------------------

    def _grow(
        self,
        key: ObjectKey,
        spec: FlexibleWorkloadSpec,
        known: _Known,
        profiles: Mapping[str, PowerProfile],
    ) -> None:
        """Load of now over all placements; unknown where one that has engines is not read."""
        now, horizon = self._clock.utc(), 0
        kinds: dict[str, PowerProfile | None] = {}
        for place in spec.placements:
            profile = kinds[place.name] = profiles.get(_profile_name(spec, place))
            horizon = max(horizon, profile.cold_start_seconds if profile else 0)
        horizon = horizon or DEFAULT_COLD_START_SECONDS
        last = known.growth.recent[-1][0] if known.growth.recent else -math.inf
        if 0 <= now - last < horizon / growth.STEPS_PER_HORIZON:
            return
        load, seen = 0.0, False
        for place in spec.placements:
            stats = self._engines.stats(key.path, place.name)
            if stats is None:
                continue
            if stats.age_seconds > STALE_INTERVALS * stats.scrape_interval_seconds:
                if stats.pods_expected > 0:
                    return
                continue
            load += self._on_full(known, place.name, kinds[place.name], stats) + stats.waiting
            seen = True
        if seen:
            known.growth = growth.update(known.growth, load, now, float(horizon))

    def _on_full(
        self, known: _Known, placement_name: str, profile: PowerProfile | None, stats: EngineStats
    ) -> float:
        """Sequences in decode as on full replicas: lowered replicas are no growth."""
        key = known.kinds.get(placement_name, "")
        found, state = known.capacities.get(key), known.states.get(key)
        capacity = 0.0 if profile is None else prior_of(profile)
        return on_full(
            profile,
            None if state is None else state.slowing.share,
            stats.concurrency,
            replicas=stats.pods_scraped,
            capacity=capacity if found is None else found.sequences,
        )

    # ---- what survives -------------------------------------------------------------------------

    def _loaded(self, key: ObjectKey, stored: Stored) -> _Known:
        """What an earlier process left in status; a part that cannot be read begins anew."""
        known = _Known(uid=stored.uid)
        status = self._book.workload(key).learnt
        if status is None:
            return known
        for row in status.capacities:
            try:
                known.states[row.key] = capacity_from(row.bins, row.key)
            except ValueError as error:
                log.warning("capacity begins from its prior: %s", error, extra=_about(key))
        known.pending = bool(known.states)
        if status.growth is not None:
            try:
                known.growth = growth_from(status.growth.bins)
            except ValueError as error:
                log.warning("growth begins anew: %s", error, extra=_about(key))
        return known

    def _note(self, key: ObjectKey, known: _Known) -> None:
        record = self._book.workload(key)
        noted = LearntStatus(
            capacities=[_row(known, name) for name in sorted(known.states)],
            growth=_growth_row(known.growth),
            batch=None if record.learnt is None else record.learnt.batch,
        )
        if noted != record.learnt and (noted.capacities or noted.growth):
            self._book.update(key, replace(record, learnt=noted))


def _profile_name(spec: FlexibleWorkloadSpec, place: Placement) -> str:
    return place.power_profile_name or spec.power_profile_name or ""


def _forget(known: _Known) -> None:
    """Keep the kinds of now and the latest of before; a kind without a window is no news."""
    now = set(known.kinds.values())
    rows = sorted(known.states.values(), key=lambda row: (row.key in now, row.time), reverse=True)
    known.states = {row.key: row for row in rows[:MOST_KINDS] if row.cells or row.key in now}


def _row(known: _Known, key: str) -> LearntCapacity:
    state, found = known.states[key], known.capacities.get(key)
    return LearntCapacity(
        key=key,
        placement_names=sorted(name for name, row in known.kinds.items() if row == key),
        sequences=0 if found is None else min(MOST_TOLD, math.floor(found.sequences + 1e-9)),
        source=CapacitySource.LEARNT if found and found.learnt else CapacitySource.PRIOR,
        samples=min(1000 * MOST_TOLD, state.samples),
        message="not in use now" if found is None else found.message,
        bins=capacity_text(state),
    )


def _growth_row(state: Growth) -> LearntGrowth | None:
    if not state.weights:
        return None
    return LearntGrowth(
        permille=state.permille,
        samples=min(MOST_TOLD, round(state.samples)),
        horizon_seconds=min(31 * MOST_TOLD, round(state.horizon_seconds)),
        bins=growth_text(state),
    )


def _about(key: ObjectKey) -> dict[str, str]:
    return {"object": str(key), "reason": "BinsUnreadable"}
