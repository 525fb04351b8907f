"""The live view: one table redrawn in place on a terminal, plain lines elsewhere; text only."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO

from e2e.demo import scene
from e2e.demo.moments import hour_text
from e2e.demo.watch import Sample, Told, WorkloadSample

PLAIN_EVERY = 10
"""Samples between two plain lines about power."""
NEWS = 6
"""Decisions that stay visible below the table."""
_TOLD = ("ScaleTo", "Pause", "Resume", "Migrate", "Restore", "Guard")


def watts(value: float | None) -> str:
    """`12.3 kW`, or `-`."""
    return "-" if value is None else f"{value / 1000:.1f} kW"


def bar(share: float | None, width: int = 12) -> str:
    """A share of 1 as a bar."""
    if share is None:
        return " " * width
    full = round(min(1.0, max(0.0, share)) * width)
    return "#" * full + "." * (width - full)


def frame(sample: Sample, told: Sequence[Told], pace: scene.Pace, width: int = 120) -> list[str]:
    """All lines of the table."""
    lines = [
        (
            f"grid time {hour_text(sample.grid)}   (x{pace.speed:g}: one second is "
            f"{pace.speed / 60:.1f} minutes; latency runs on the wall clock)"
        ),
        "",
        (
            f"{'SITE':<15} {'POWER':>8}  {'of limit':<12} {'LIMIT':>8} {'':<10} {'CNY/kWh':>8} "
            f"{'g/kWh':>6} {'WIND':>8} {'GREEN':>6}"
        ),
    ]
    for name, row in sample.sites.items():
        share = row.meter_watts / row.limit_watts if row.meter_watts and row.limit_watts else None
        price = "-" if row.price is None else f"{row.price:.4f}"
        carbon = "-" if row.carbon is None else f"{row.carbon:.0f}"
        green = "-" if row.green_share is None else f"{row.green_share:.0%}"
        lines.append(
            f"{name:<15} {watts(row.meter_watts):>8}  {bar(share)} {watts(row.limit_watts):>8} "
            f"{row.binding[:10]:<10} {price:>8} {carbon:>6} {watts(row.supply_watts or None):>8} "
            f"{green:>6}"
        )
    lines += ["", f"{'WORKLOAD':<19} {'REPLICAS (ready/asked)':<34} {'P95 TTFT':>9} {'DECISION'}"]
    lines += [_workload_line(name, row) for name, row in sample.workloads.items()]
    lines += ["", "LATEST DECISIONS"]
    news = [row for row in told if row.action in _TOLD][-NEWS:]
    lines += [news_line(row) for row in news]
    return [line[:width] for line in lines]


def _workload_line(name: str, row: WorkloadSample) -> str:
    counts = "  ".join(
        f"{place} {ready}/{asked}" for place, (asked, ready) in sorted(row.replicas.items())
    )
    if row.backlog is not None:
        latency = f"{row.backlog} left"
    else:
        latency = "-" if row.ttft_p95_ms is None else f"{row.ttft_p95_ms:.0f} ms"
    decision = f"{row.decision} {row.reason}" if row.decision else "-"
    if row.move:
        decision = f"moving {row.move}"
    return f"{name:<19} {counts:<34} {latency:>9} {decision}"


def news_line(row: Told) -> str:
    """One decision: when, who, what, why."""
    name = row.subject.partition("/")[2]
    return f"{hour_text(row.grid)}  {name:<19} {row.action:<8} {row.reason:<16} {row.note}"


class Screen:
    """Where the live view goes."""

    def __init__(self, stream: TextIO, pace: scene.Pace) -> None:
        self._stream = stream
        self._pace = pace
        self._terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._drawn = 0
        self._shown = 0
        self._count = 0

    def show(self, sample: Sample, told: Sequence[Told]) -> None:
        """Draw a sample."""
        news = [row for row in told if row.action in _TOLD]
        if self._terminal:
            size = shutil.get_terminal_size()
            lines = frame(sample, told, self._pace, size.columns - 1)[: size.lines - 1]
            if self._drawn:
                self._stream.write(f"\x1b[{self._drawn}A")
            self._stream.write("".join(f"\x1b[2K{line}\n" for line in lines))
            for _ in range(self._drawn - len(lines)):
                self._stream.write("\x1b[2K\n")
            self._drawn = max(self._drawn, len(lines))
        else:
            for row in news[self._shown :]:
                print(news_line(row), file=self._stream)
            if self._count % PLAIN_EVERY == 0:
                print(plain_line(sample), file=self._stream)
        self._shown = len(news)
        self._count += 1
        self._stream.flush()


def plain_line(sample: Sample) -> str:
    """One line about power and replicas, where nothing can be redrawn."""
    sites = ", ".join(
        f"{name} {watts(row.meter_watts)} at {'-' if row.price is None else f'{row.price:.3f}'}"
        for name, row in sample.sites.items()
    )
    counts = ", ".join(
        f"{name} {sum(ready for _, ready in row.replicas.values())}"
        for name, row in sample.workloads.items()
    )
    return f"{hour_text(sample.grid)}  {sites} CNY/kWh | replicas: {counts}"


def wrapped(text: str, indent: str, width: int = 110) -> list[str]:
    """Text in lines of at most `width`, all but the first indented."""
    return textwrap.wrap(text, width, subsequent_indent=indent) or [""]
