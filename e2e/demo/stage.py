"""Sets the stage: clusters, models, chart, objects, load; in the order a user would go.

Every long step says what it does. The grid clock is set last, so that the day begins when all is
ready; a quarter hour of warm-up belongs to the evening before.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import yaml

from e2e.demo import scene
from e2e.lab.client import Document, wait_for
from e2e.lab.lab import SYSTEM_NAMESPACE
from e2e.lab.progress import say, ticking
from e2e.lab.telemetry.clock import GridClock, clock_from
from e2e.lab.traffic.companion import Companion
from e2e.powered import PoweredLab

READY_SECONDS = 12.0
READY_SHARE = 0.8
"""From setting the clock to midnight: enough to install the chart and apply the objects, and more on
a slower machine, judged by the time that clusters and models took."""
RECORDER = "/tmp/recorder"


class Stage:
    """A context manager; everything it started ends with it, also after a crash."""

    def __init__(self, pace: scene.Pace) -> None:
        self.pace = pace
        self.power = PoweredLab(scene.places())
        self.clients: dict[str, Companion] = {}
        self.request_files: list[tuple[str, Path]] = []
        """(model, file with one line a request as its clients saw it)."""
        self.dispatcher: Companion | None = None
        self.changed: list[str] = []
        """What was substituted in the example objects."""
        self.event: Document = {}
        """The power event as it was applied."""
        self.clock: GridClock = clock_from(None)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End everything; safe to call twice."""
        with ticking("stopping everything") if self.power.lab.clusters else nullcontext():
            self.power.stop()

    def start(self) -> Self:
        """Until the operator is installed, the objects are applied and the load runs."""
        power, begun = self.power, time.monotonic()
        with ticking("three API servers with controllers and nodes (shanghai is the hub)"):
            power.lab.start()
        with ticking("models as found: 9 engines, sized for the peak"):
            for service in scene.services():
                power.deploy(service)
            power.start_entry()
        with ticking("chart, members' part: roles and a credential for the hub"):
            for place in power.places[1:]:
                power.lab.install_member(place.name, namespaces=[scene.NAMESPACE])
        self._set_clock(max(READY_SECONDS, READY_SHARE * (time.monotonic() - begun)))
        self._start_load()
        with ticking("plants, Prometheus, chart on the hub"):
            power.start_power()
            power.lab.install_hub(
                namespaces=[scene.NAMESPACE],
                values=scene.chart_values(self.pace, power.clock, RECORDER),
                wait=False,
            )
        with ticking("objects of examples/east-west"):
            self._apply_objects()
        for words in self.changed:
            say(f"substituted for this lab: {words}")
        return self

    def _set_clock(self, ready_seconds: float) -> None:
        wall = time.time() + ready_seconds
        self.power.clock = {
            "startTime": self.pace.start_time,
            "speed": self.pace.speed,
            "wallStartTime": wall,
            "wallStartText": datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        self.clock = clock_from(self.power.clock)

    def _start_load(self) -> None:
        """Clients of the interactive models, and the dispatcher that holds the batch work."""
        power = self.power
        seconds = self.clock.wall_start_time - time.time() + self.pace.wall_seconds
        for model in (scene.CHAT, scene.CODE):
            load = scene.client_load(model, power.model_url(model))
            self._clients(model, f"clients-{model}", load, seconds)
        self.dispatcher = power.companion(
            "dispatcher",
            "e2e.lab.traffic.dispatcher",
            {
                "clock": power.clock,
                "model": scene.BATCH,
                "name": scene.BATCH,
                "url": power.model_url(scene.BATCH),
                "initialUnits": 400,
                "unitsPerGridHour": 35,
                "outputTokens": 48,
                "promptTokens": 64,
                "perWorker": 4,
                "journal": str(power.folder / "dispatcher.jsonl"),
            },
        ).wait()
        power.extra_targets = {"dispatcher": f"{self.dispatcher.info['url']}/metrics"}

    def start_burst(self, replicas: int) -> None:
        """A crowd arrives at the code assistant, sized by the replicas that run."""
        load = scene.burst_load(
            self.power.model_url(scene.CODE), replicas, self.pace.burst_overload
        )
        self._clients(scene.CODE, "burst", load, self.pace.burst_seconds)

    def _clients(self, model: str, name: str, load: dict[str, Any], seconds: float) -> None:
        out = self.power.folder / f"{name}.requests.jsonl"
        self.request_files.append((model, out))
        self.clients[name] = self.power.clients(
            name,
            {
                "durationSeconds": seconds,
                "windowSeconds": 5,
                "out": str(out),
                "loads": [{key: value for key, value in load.items() if value is not None}],
            },
        )

    def _apply_objects(self) -> None:
        text = self.power.hub.kubectl("kustomize", str(scene.EXAMPLES))
        documents: list[Document] = [row for row in yaml.safe_load_all(text) if row]
        found, self.changed = scene.substitute(
            documents, prometheus=self.power.prometheus_url, speed=self.pace.speed
        )
        wait_for(
            "the objects are taken by the hub", lambda: self._applied(found), timeout_seconds=60
        )
        event = yaml.safe_load((scene.EXAMPLES / "event.yaml").read_text())
        self.event, words = scene.stretched_event(event, self.pace.speed)
        self.changed.append(words)
        manager = "--field-manager=grid-operator"
        self.power.hub.kubectl("apply", "--server-side", manager, "-f", "-", stdin=self.event)

    def _applied(self, documents: list[Document]) -> bool:
        """Apply; raises KubectlFailed while the API server does not serve the new kinds yet."""
        self.power.hub.apply(*documents)
        return True

    def require_running(self) -> None:
        """Raise ProcessDied with the end of its log when one of the lab's servers is gone."""
        power = self.power
        for companion in (power.entry, self.dispatcher, *power.plants.values()):
            if companion is not None:
                companion.process.require_running()

    # ---- what the observer reads --------------------------------------------------------------

    def recorded_files(self) -> list[Path]:
        """Steps that the operator has recorded and not yet dropped."""
        return sorted(self.power.folder.rglob("recorder/step-*.json"))

    def addresses(self) -> Mapping[str, Any]:
        """For people who want to look: `DEMO_KEEP=1`."""
        power = self.power
        return {
            "kubeconfigs": {
                place.name: str(power.access(place.name).kubeconfig) for place in power.places
            },
            "prometheus": power.prometheus_url,
            "models": {name: power.model_url(name) for name in scene.WORKLOADS},
            "plants": {site: plant.info["url"] for site, plant in power.plants.items()},
            "operatorNamespace": SYSTEM_NAMESPACE,
            "files": str(power.folder),
        }
