"""A small day for the demo's tests: samples, words and requests, made by hand."""

from __future__ import annotations

from typing import Any

from e2e.demo import scene
from e2e.demo.books import DayBooks
from e2e.demo.moments import PowerOrder
from e2e.demo.watch import Sample, SiteSample, Told, WorkloadSample
from wattshift.core.account import Books

MIDNIGHT = 1_784_044_800.0
"""2026-07-15T00:00+08:00."""
STEP = 600.0
ORDER = PowerOrder(
    site="gansu",
    name="order",
    upper_watts=4000.0,
    start=MIDNIGHT + 12 * 3600,
    end=MIDNIGHT + 15 * 3600,
    ramp_seconds=3600.0,
)


def at(hour: float) -> float:
    """Grid seconds of an hour of the day."""
    return MIDNIGHT + hour * 3600


def day(**changes: Any) -> list[Sample]:
    """A sample each ten grid minutes: chat moves at 06, batch pauses 08-10, the order is kept.

    `changes`: `gansu_watts(hour)`, `chat(hour)`, `code(hour)`, `batch(hour)`, `p95(hour)`.
    """
    return [_sample(index * STEP / 3600, changes) for index in range(144)]


def _sample(hour: float, changes: dict[str, Any]) -> Sample:
    watts = changes.get("gansu_watts", lambda h: 3000.0 if 12.5 <= h < 15.2 else 6000.0)(hour)
    chat = changes.get("chat", lambda h: (4, 0) if h < 6 else (0, 2))(hour)
    code = changes.get("code", lambda h: 4 if h >= 15.7 else 2)(hour)
    batch = changes.get("batch", lambda h: 0 if 8.2 <= h < 10 else 2)(hour)
    p95 = changes.get("p95", lambda h: 3000.0 if 15.5 <= h < 16 else 120.0)(hour)
    return Sample(
        wall=1000.0 + hour * 3600 / 432,
        grid=at(hour),
        sites={
            "shanghai": SiteSample(
                meter_watts=5000.0, limit_watts=36000.0, price=0.6, carbon=570.0
            ),
            "gansu": SiteSample(
                meter_watts=None if watts is None else watts + 2000.0,
                import_watts=watts,
                supply_watts=changes.get("wind", lambda _: 2000.0)(hour),
                limit_watts=4000.0 if 12 <= hour < 15 else 33000.0,
                binding="Event" if 12 <= hour < 15 else "ItCapacity",
                price=0.25,
                carbon=450.0,
                green_share=0.8,
            ),
            "inner-mongolia": SiteSample(),
        },
        workloads={
            scene.CHAT: WorkloadSample(
                replicas={"shanghai": (chat[0],) * 2, "gansu": (chat[1],) * 2},
                decision="Migrate",
                reason="SupplySurplus",
                ttft_p95_ms=140.0,
            ),
            scene.CODE: WorkloadSample(
                replicas={"shanghai": (code, code), "inner-mongolia": (0, 0)}, ttft_p95_ms=p95
            ),
            scene.BATCH: WorkloadSample(replicas={"inner-mongolia": (batch, batch)}, backlog=40),
        },
    )


def say(hour: float, workload: str, action: str, reason: str, note: str = "because") -> Told:
    """A decision of the operator."""
    return Told(
        grid=at(hour),
        subject=f"FlexibleWorkload/{workload}",
        action=action,
        reason=reason,
        note=note,
        source="status",
    )


def words() -> list[Told]:
    """What the operator said on that day."""
    return [
        say(5.8, scene.CHAT, "Migrate", "SupplySurplus", "move 4 of 4 replicas"),
        say(6.3, scene.CHAT, "Migrate", "HandedOver", "gansu serves with 2 replicas"),
        say(8.0, scene.BATCH, "Pause", "ExpensivePower", "0.43 per kWh now"),
        say(9.9, scene.BATCH, "Resume", "CheaperPower", "0.26 per kWh"),
        say(12.1, scene.CHAT, "ScaleTo", "EventLimit", "2000 W over event order 4000 W"),
        say(15.6, scene.CODE, "ScaleTo", "DemandGrowth", "7.0 concurrent requests"),
        say(15.6, scene.CODE, "Guard", "QueueGrowing", "40 requests wait"),
    ]


def request(second: float, ttft: float | None = 100.0, *, ok: bool = True) -> dict[str, Any]:
    """A client's record, `second` after the day began."""
    return {
        "scheduled_time": 1000.0 + second,
        "end_time": 1000.5 + second,
        "ttft_ms": ttft,
        "ok": ok,
    }


def empty_books() -> DayBooks:
    """No step at all."""
    return DayBooks(books=Books(), nothing=Books(), steps=0, gap_seconds=0.0)
