"""Wiring of the loops: gather, planner, governor, moves, releases, engines, books, `/v1`.

Called once by `assembly.py` with the parts that everybody shares; no logic here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wattshift.actuators.scale import ScaleActuator
from wattshift.actuators.warm import WarmBook
from wattshift.control.act import Actor
from wattshift.control.acting.moves import Mover
from wattshift.control.acting.release import Releaser
from wattshift.control.acting.rivals import Rivals
from wattshift.control.fleet_loop import FleetLoop
from wattshift.control.gather import Gatherer
from wattshift.control.governor_loop import GovernorLoop
from wattshift.control.inputs.engines import EngineLoop
from wattshift.control.inputs.learning import Learning
from wattshift.control.inputs.prices import Prices
from wattshift.control.inputs.profiles import Profiles
from wattshift.control.inputs.world import World
from wattshift.control.latest import Latest
from wattshift.control.record.books import Books
from wattshift.control.record.recorder import Recorder
from wattshift.control.record.show import Show
from wattshift.control.record.totals import Totals
from wattshift.control.release_loop import ReleaseLoop
from wattshift.control.runtime import Component, Runtime
from wattshift.control.serve.api_server import ApiServer
from wattshift.core.survey.need import needed


def build(runtime: Runtime, *, release_only: bool = False) -> Sequence[Component]:
    """Planner, governor and engine loops of the leading process, and `/v1` where it is asked for.

    With `release_only` nothing is planned: workloads are given back as found, and that is all.
    """
    config = runtime.config
    world = World(pool=runtime.pool, monotonic=runtime.clock.monotonic)
    engines = EngineLoop(
        runtime=runtime,
        world=world,
        session=runtime.session,
        prometheus=runtime.prometheus,
        credentials=runtime.credentials.get,
    )
    profiles = Profiles(config_maps=runtime.config_maps)
    learning = Learning(
        store=runtime.store,
        book=runtime.book,
        clock=runtime.clock,
        world=world,
        engines=engines,
        profiles=profiles.current,
    )
    engines.after_scrape(learning.advance)
    rivals = Rivals(book=runtime.book)
    prices = Prices(
        store=runtime.store,
        book=runtime.book,
        contracts=runtime.contracts,
        horizon_seconds=config.planner.horizon_seconds,
    )
    gather = Gatherer(
        runtime=runtime,
        world=world,
        prices=prices,
        rivals=rivals,
        engines=engines.stats,
        profiles=profiles.current,
        learning=learning,
    )
    actor = Actor(
        store=runtime.store,
        book=runtime.book,
        hub=runtime.hub,
        pool=runtime.pool,
        world=world,
        locate=gather.locate,
        clock=runtime.clock,
        scale=ScaleActuator(),
    )
    mover = Mover(
        actor=actor,
        book=runtime.book,
        warm=WarmBook(probe=engines.probe, monotonic=runtime.clock.monotonic),
        locate=gather.locate,
        need=needed,
        clock=runtime.clock,
    )
    releaser = Releaser(
        actor=actor,
        store=runtime.store,
        book=runtime.book,
        hub=runtime.hub,
        clock=runtime.clock,
    )
    show = Show(runtime=runtime, gather=gather, prices=prices)
    recorder = Recorder(
        capacity=config.recorder.steps,
        directory=Path(config.recorder.directory) if config.recorder.directory else None,
    )
    latest = Latest()
    if release_only:
        return (ReleaseLoop(runtime=runtime, gather=gather, releaser=releaser, show=show),)
    planner = FleetLoop(
        runtime=runtime,
        gather=gather,
        actor=actor,
        mover=mover,
        show=show,
        recorder=recorder,
        latest=latest,
    )
    governor = GovernorLoop(
        runtime=runtime,
        gather=gather,
        actor=actor,
        mover=mover,
        releaser=releaser,
        rivals=rivals,
        books=Books(runtime=runtime, gather=gather, prices=prices),
        totals=Totals(runtime=runtime),
        show=show,
        recorder=recorder,
        latest=latest,
    )
    loops = (engines, planner, governor)
    if config.server.api_port is None:
        return loops
    return (*loops, ApiServer(runtime=runtime, latest=latest, recorder=recorder))
