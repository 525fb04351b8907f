"""Watches the running demo from outside: objects, Deployments, plants, clients. Changes nothing.

One `Sample` a second. The operator's words are taken from its objects and events; power from the
plants' own meters; latency from the clients' records.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from e2e.demo import scene
from e2e.demo.stage import Stage
from e2e.lab.client import Access, ApiError, Document
from e2e.lab.traffic.attainment import percentile
from e2e.lab.traffic.companion import get_json
from e2e.powered import API

LATENCY_WINDOW_SECONDS = 5.0
SAME_WITHIN = 12
"""Of the last things told, among which a repetition is looked for."""
_EVENTS = "/apis/events.k8s.io/v1/events"


@dataclass(slots=True, kw_only=True)
class SiteSample:
    """One site now; watts at the facility, money per kWh, grams per kWh; None = not known yet."""

    meter_watts: float | None = None
    """The plant's truth at its connection point."""
    import_watts: float | None = None
    supply_watts: float | None = None
    green_share: float | None = None
    limit_watts: float | None = None
    binding: str = ""
    price: float | None = None
    """Marginal price of one more bought kWh by the contract's status."""
    carbon: float | None = None
    within: str = ""
    """Reason of WithinLimit."""
    events: list[str] = field(default_factory=list)
    """Names and states of power events in status."""


@dataclass(slots=True, kw_only=True)
class WorkloadSample:
    """One workload now."""

    replicas: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(spec.replicas, ready) by site, read from the member clusters."""
    decision: str = ""
    reason: str = ""
    message: str = ""
    decision_time: str = ""
    move: str = ""
    """`source -> destination step` while a hand-over is open."""
    ttft_p95_ms: float | None = None
    within_share: float | None = None
    """Of the requests of the last seconds, by the clients."""
    requests: int = 0
    backlog: int | None = None


@dataclass(slots=True, kw_only=True)
class Sample:
    """The world at one moment."""

    wall: float
    grid: float
    sites: dict[str, SiteSample]
    workloads: dict[str, WorkloadSample]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that the operator said: a decision in a status, or an event."""

    grid: float
    subject: str
    """Kind/name."""
    action: str
    reason: str
    note: str
    source: str
    """`status` or `event`."""


class Watcher:
    """Collects samples and what was told."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="demo-watch")
        self.samples: list[Sample] = []
        self.told: list[Told] = []
        self.tokens: list[tuple[float, dict[str, float]]] = []
        """(grid time, output tokens by workload key) by the plants' counters."""
        self.requests: dict[str, list[dict[str, Any]]] = {scene.CHAT: [], scene.CODE: []}
        self._offsets: dict[Path, int] = {}
        self._seen: set[tuple[str, ...]] = set()
        self._steps = stage.power.folder / "demo-steps"
        self._steps.mkdir(parents=True, exist_ok=True)
        self._problems = 0

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def look(self) -> Sample:
        """Take one sample. Raises ProcessDied when a server of the lab has ended."""
        self._stage.require_running()
        power = self._stage.power
        jobs: dict[str, Callable[[], Any]] = {
            "psites": lambda: power.hub.items(f"{API}/powersites"),
            "contracts": lambda: power.hub.items(f"{API}/energycontracts"),
            "workloads": lambda: power.hub.items(f"{API}/flexibleworkloads"),
            "events": lambda: power.hub.items(_EVENTS),
        }
        for place in power.places:
            jobs[f"deployments {place.name}"] = self._deployments(power.access(place.name))
            jobs[f"truth {place.site}"] = lambda site=place.site: power.truth(site)  # type: ignore[misc]
        if self._stage.dispatcher is not None:
            jobs["backlog"] = self._backlog
        futures = {name: self._threads.submit(job) for name, job in jobs.items()}
        seen: dict[str, Any] = {}
        for name, future in futures.items():
            try:
                seen[name] = future.result(timeout=10)
            except (ApiError, OSError, TimeoutError, ValueError):
                self._problems += 1
                seen[name] = None
        sample = self._sample(seen)
        self.samples.append(sample)
        self._listen(seen, sample.grid)
        self._keep_steps()
        return sample

    # ---- parts ------------------------------------------------------------------------------

    @staticmethod
    def _deployments(access: Access) -> Callable[[], list[Document]]:
        return lambda: access.items(f"/apis/apps/v1/namespaces/{scene.NAMESPACE}/deployments")

    def _backlog(self) -> Any:
        assert self._stage.dispatcher is not None
        return get_json(f"{self._stage.dispatcher.info['url']}/state")

    def _sample(self, seen: Mapping[str, Any]) -> Sample:
        wall = time.time()
        clock = self._stage.clock
        grid = clock.start_time + (wall - clock.wall_start_time) * clock.speed
        sites = {site: SiteSample() for site in scene.SITES}
        tokens: dict[str, float] = {}
        for site, row in sites.items():
            _truth(row, seen.get(f"truth {site}"), tokens)
        for document in seen.get("psites") or []:
            _site(sites.get(document["metadata"]["name"]), document.get("status") or {})
        for document in seen.get("contracts") or []:
            name = document["spec"]["points"][0]["siteName"]
            _contract(sites.get(name), document.get("status") or {})
        if tokens:
            self.tokens.append((grid, tokens))
        workloads = {name: WorkloadSample() for name in scene.WORKLOADS}
        for document in seen.get("workloads") or []:
            _workload(workloads.get(document["metadata"]["name"]), document.get("status") or {})
        for place in self._stage.power.places:
            for document in seen.get(f"deployments {place.name}") or []:
                app = document["spec"]["selector"]["matchLabels"]["app"]
                if app in workloads:
                    workloads[app].replicas[place.name] = (
                        int(document["spec"].get("replicas", 0)),
                        int((document.get("status") or {}).get("readyReplicas", 0)),
                    )
        for model, path in self._stage.request_files:
            self.requests[model] += self._new_requests(path)
        for model, own in self.requests.items():
            _latency(workloads[model], own, wall)
        backlog = seen.get("backlog")
        if backlog:
            workloads[scene.BATCH].backlog = int(backlog["backlogUnits"])
        return Sample(wall=wall, grid=grid, sites=sites, workloads=workloads)

    def _new_requests(self, path: Path) -> list[dict[str, Any]]:
        if not path.exists():
            return []
        with path.open("rb") as source:
            source.seek(self._offsets.get(path, 0))
            data = source.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offsets[path] = self._offsets.get(path, 0) + len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _listen(self, seen: Mapping[str, Any], grid: float) -> None:
        for document in seen.get("workloads") or []:
            last = (document.get("status") or {}).get("lastDecision") or {}
            if last:
                self._hear(
                    (document["metadata"]["name"], last["time"], last["action"], last["reason"]),
                    Told(
                        grid=grid,
                        subject=f"FlexibleWorkload/{document['metadata']['name']}",
                        action=last["action"],
                        reason=last["reason"],
                        note=last.get("message", ""),
                        source="status",
                    ),
                )
        for document in seen.get("events") or []:
            regarding = document.get("regarding") or {}
            if not str(regarding.get("apiVersion", "")).startswith("wattshift.io/"):
                continue
            self._hear(
                (document["metadata"]["uid"],),
                Told(
                    grid=grid,
                    subject=f"{regarding['kind']}/{regarding['name']}",
                    action=document.get("action", ""),
                    reason=document.get("reason", ""),
                    note=document.get("note", ""),
                    source="event",
                ),
            )

    def _hear(self, key: tuple[str, ...], told: Told) -> None:
        """Keep what is new; a decision told by status and by an event is one."""
        if key in self._seen:
            return
        self._seen.add(key)
        same = (told.subject, told.action, told.reason, told.note)
        if all((r.subject, r.action, r.reason, r.note) != same for r in self.told[-SAME_WITHIN:]):
            self.told.append(told)

    def _keep_steps(self) -> None:
        """Copy recorded steps before the operator's ring drops them."""
        for path in self._stage.recorded_files():
            target = self._steps / path.name
            if not target.exists():
                try:
                    shutil.copyfile(path, target)
                except OSError:
                    continue

    @property
    def step_files(self) -> list[Path]:
        """Recorded steps, oldest first."""
        return sorted(self._steps.glob("step-*.json"))


def _truth(row: SiteSample, truth: Document | None, tokens: dict[str, float]) -> None:
    now = (truth or {}).get("now") or {}
    if not now:
        return
    row.meter_watts, row.import_watts = now["load_watts"], now["import_watts"]
    row.supply_watts = now["supply_watts"]
    row.green_share = now["green_watts"] / now["load_watts"] if now["load_watts"] else None
    for key, books in ((truth or {}).get("workloads") or {}).items():
        tokens[key] = tokens.get(key, 0.0) + books["tokens"]


def _site(row: SiteSample | None, status: Document) -> None:
    if row is None:
        return
    power = status.get("power") or {}
    row.limit_watts, row.binding = power.get("limitWatts"), power.get("bindingLimit") or ""
    for signal in status.get("signals") or []:
        if signal["name"] == "carbon" and signal.get("value") is not None:
            row.carbon = float(signal["value"])
    for condition in status.get("conditions") or []:
        if condition["type"] == "WithinLimit":
            row.within = condition["reason"]
    row.events = [f"{event['name']} {event['state']}" for event in status.get("activeEvents") or []]


def _contract(row: SiteSample | None, status: Document) -> None:
    price = (status.get("marginalPriceUp") or {}).get("energy")
    if row is not None and price is not None:
        row.price = float(price)


def _workload(row: WorkloadSample | None, status: Document) -> None:
    if row is None:
        return
    last = status.get("lastDecision") or {}
    row.decision, row.reason = last.get("action", ""), last.get("reason", "")
    row.message, row.decision_time = last.get("message", ""), last.get("time", "")
    move = status.get("move")
    if move:
        row.move = f"{move['sourcePlacement']} -> {move['destinationPlacement']} {move['step']}"


def _latency(row: WorkloadSample, requests: list[dict[str, Any]], wall: float) -> None:
    recent = [r for r in requests[-2000:] if r["end_time"] >= wall - LATENCY_WINDOW_SECONDS]
    row.requests = len(recent)
    if not recent:
        return
    ttft = [r["ttft_ms"] for r in recent if r["ttft_ms"] is not None]
    row.ttft_p95_ms = percentile(ttft, 0.95)
    good = [r for r in recent if r["ok"] and (r["ttft_ms"] or 0) <= 1000]
    row.within_share = len(good) / len(recent)
