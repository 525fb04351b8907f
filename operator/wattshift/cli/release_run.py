"""One run of `wattshift release`: ask by overrides, watch, stand in, let go at the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from wattshift.cli.connect import Hub, ObjectName, object_path
from wattshift.cli.giving_back import LeaseWatch, Left, StandIn, left_of, strip
from wattshift.cli.override_apply import apply_override, grid_now, grid_speed, override_document
from wattshift.control.clock import SystemClock
from wattshift.control.config import Config
from wattshift.errors import NeedsHuman, WattshiftError
from wattshift.kube.errors import ApiError
from wattshift.kube.resources import FLEXIBLE_WORKLOADS, POWER_SITES, Json

POLL_SECONDS = 1.0
EXTRA_SECONDS = 600
"""The overrides outlive the deadline by this, so that nothing is taken up again at once."""
RESTART_SECONDS = 5.0
_QUIET_LOOKS = 2
"""Looks in a row that must find nothing: an act that was under way may land in between."""


class Release:
    """Use `ask`, then `wait`."""

    def __init__(
        self,
        *,
        hub: Hub,
        config: Config | None,
        only: ObjectName | None,
        reason: str,
        deadline_seconds: int,
        operator_namespace: str,
        tell: Callable[[str], None],
    ) -> None:
        self._hub = hub
        self._config = config
        self._only = only
        self._reason = reason.strip() or "release"
        self._deadline_seconds = deadline_seconds
        self._tell = tell
        self._monotonic = hub.clock.monotonic
        self._deadline = self._monotonic() + deadline_seconds
        self._lease = LeaseWatch(
            client=hub.client,
            namespace=operator_namespace,
            name=config.lease.name if config is not None else "wattshift",
            monotonic=self._monotonic,
        )
        self._stand_in: StandIn | None = None
        self._stood_in = False
        self._asked: set[str] = set()
        self._requested_by = ""
        self._said = ""

    async def ask(self) -> None:
        """Set the override Release on every workload concerned."""
        self._requested_by = await self._hub.user_name()
        workloads, _ = await self._look()
        if not workloads and self._only is None:
            self._tell("there is no FlexibleWorkload")
        await self._ask_for(workloads)

    async def wait(self) -> int:
        """Until all stand as found; 0 also where they were let go at the deadline with --all."""
        quiet, left = 0, None
        try:
            while self._monotonic() < self._deadline:
                try:
                    workloads, sites = await self._look()
                    await self._ask_for(workloads)
                    left = left_of(workloads, sites)
                    dead = await self._lease.look()
                except WattshiftError as error:
                    self._say(f"the hub does not answer: {error.message}")
                    await asyncio.sleep(POLL_SECONDS)
                    continue
                standing_in = self._stand_in is not None and self._stand_in.running
                # NB: where nobody leads, nobody will look at an override, nor needs to.
                calm = left.nothing_held and (not left.unseen or (dead and not standing_in))
                quiet = quiet + 1 if calm else 0
                if quiet >= _QUIET_LOOKS:
                    return await self._finish()
                if self._stand_in is not None and self._stand_in.interrupted:
                    self._tell("interrupted")
                    return 1
                if dead and not standing_in and not left.nothing_held:
                    await self._take_over()
                if not calm:
                    self._say(f"waiting for {left.words()}")
                await asyncio.sleep(POLL_SECONDS)
        finally:
            if self._stand_in is not None:
                await self._stand_in.stop()
        return await self._give_up(left)

    async def _look(self) -> tuple[list[Json], list[Json]]:
        """Workloads concerned, and sites (only of interest when all are given back)."""
        if self._only is not None:
            try:
                return [await self._hub.read(self._only)], []
            except ApiError as error:
                if error.is_not_found and self._asked:
                    return [], []  # deleted while we waited: it was given back first
                raise
        try:
            workloads = await self._hub.listed(FLEXIBLE_WORKLOADS)
            sites = await self._hub.listed(POWER_SITES)
        except ApiError as error:
            if error.is_not_found:
                return [], []  # our kinds are gone: there is nothing that we hold
            raise
        ours = set(self._config.namespaces if self._config is not None else ())
        if ours:
            workloads = [row for row in workloads if row["metadata"]["namespace"] in ours]
        return workloads, sites

    async def _ask_for(self, workloads: list[Json]) -> None:
        speed = grid_speed(workloads)
        lasting = (self._deadline - self._monotonic() + EXTRA_SECONDS) * speed
        for body in workloads:
            path = object_path(body)
            if path in self._asked:
                continue
            until = self._grid(workloads) + lasting
            wanted = override_document("Release", until, self._reason, self._requested_by)
            try:
                await apply_override(self._hub.client, FLEXIBLE_WORKLOADS, body, wanted, force=True)
            except ApiError as error:
                if not error.is_not_found:
                    self._say(f"{path}: not asked: {error.message}")
                continue
            self._asked.add(path)
            self._tell(
                f"{path}: Release until {wanted['untilTime']}, asked by {self._requested_by}"
            )

    def _grid(self, workloads: list[Json]) -> float:
        """Grid time: exact where the settings say it, else by the newest status."""
        replay = self._config.clock_replay() if self._config is not None else None
        if replay is not None and replay.wall_start_time is not None:
            return SystemClock(replay).grid()
        return grid_now(workloads, self._hub.clock.utc())

    async def _take_over(self) -> None:
        if self._config is None:
            self._say(
                f"nobody has renewed the Lease for {self._lease.dead_seconds:.0f} s: start the operator, or run"
                " this with its settings (--config) and rights"
            )
            return
        if self._stand_in is not None:
            trouble = await self._stand_in.stop()
            self._say(f"giving back from here ended: {trouble or 'another leader came'}")
            await asyncio.sleep(RESTART_SECONDS)
        self._say("nobody leads: taking the Lease to give back from here")
        self._stand_in = StandIn(self._config)
        self._stand_in.start()
        self._stood_in = True

    async def _finish(self) -> int:
        await self._clear_if_alone()
        self._tell("everything stands as it was found")
        return 0

    async def _clear_if_alone(self) -> None:
        """Take the overrides away where nobody leads.

        NB: with a living operator they stay until they expire: without them it would take the
        workloads up again before an uninstall stops it.
        """
        if self._stand_in is not None:
            await self._stand_in.stop()
        nobody = await self._lease.look()
        if nobody or (self._stood_in and not self._lease.holder):
            await self._clear()

    async def _clear(self) -> None:
        workloads, _ = await self._look()
        for body in workloads:
            if object_path(body) in self._asked:
                try:
                    await apply_override(self._hub.client, FLEXIBLE_WORKLOADS, body, None)
                except (ApiError, NeedsHuman) as error:
                    self._tell(f"{object_path(body)}: override left: {error.message}")

    async def _give_up(self, left: Left | None) -> int:
        if left is None:
            raise NeedsHuman("the hub did not answer in time", reason="HubUnreachable")
        if self._only is not None:
            self._tell(f"not given back within {self._deadline_seconds} s: {left.words()}")
            return 1
        workloads, sites = await self._look()
        left = left_of(workloads, sites)
        instance = self._config.pod_name if self._config is not None else ""
        for line in await strip(self._hub.client, self._hub.clock, left, instance):
            self._tell(f"WARNING {line}")
        await self._clear_if_alone()
        return 0

    def _say(self, line: str) -> None:
        """Progress, once as long as it is the same."""
        if line != self._said:
            self._said = line
            self._tell(line)
