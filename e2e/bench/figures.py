"""Arithmetic of the benchmarks: percentiles, Prometheus histograms, processes, the machine."""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from e2e.lab.paths import REPOSITORY

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TICKS = os.sysconf("SC_CLK_TCK")
Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between order statistics; NaN without values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def spread(values: Sequence[float], digits: int = 4) -> dict[str, Any]:
    """count, p50, p99, maximum: how every list of figures is reported; null without values."""
    if not values:
        return {"count": 0, "p50": None, "p99": None, "max": None}
    return {
        "count": len(values),
        "p50": round(percentile(values, 0.5), digits),
        "p99": round(percentile(values, 0.99), digits),
        "max": round(max(values), digits),
    }


# ---- Prometheus text --------------------------------------------------------------------------


def parse_metrics(text: str) -> Samples:
    """Samples of the text format by (name, sorted labels)."""
    found: Samples = {}
    for line in text.splitlines():
        match = None if line.startswith("#") else _SAMPLE.match(line)
        if match:
            labels = tuple(sorted(_LABEL.findall(match[2] or "")))
            found[match[1], labels] = float(match[3])
    return found


def total(samples: Samples, name: str, **labels: str) -> float:
    """Sum over the series of a name that carry these labels."""
    wanted = set(labels.items())
    return sum(value for (key, row), value in samples.items() if key == name and wanted <= set(row))


def histogram(before: Samples, after: Samples, name: str, **labels: str) -> dict[str, Any]:
    """p50, p99 and mean of what a histogram gained; `inside` names the bucket of each percentile.

    Percentiles are interpolated linearly inside their bucket, as PromQL does.
    """
    wanted = set(labels.items())
    buckets: dict[float, float] = {}
    for (key, row), value in after.items():
        if key == f"{name}_bucket" and wanted <= set(row):
            bound = float(dict(row)["le"])
            gained = value - before.get((key, row), 0.0)
            buckets[bound] = buckets.get(bound, 0.0) + gained
    rows = sorted(buckets.items())
    count = rows[-1][1] if rows else 0.0
    if not count:
        return {"count": 0, "mean": None, "p50": None, "p99": None, "inside": {}}
    gained_sum = total(after, f"{name}_sum", **labels) - total(before, f"{name}_sum", **labels)
    result: dict[str, Any] = {"count": int(count), "mean": round(gained_sum / count, 4)}
    inside = {}
    for word, share in (("p50", 0.5), ("p99", 0.99)):
        value, low, high = _quantile(rows, share * count)
        result[word] = round(value, 4)
        inside[word] = [low, "inf" if math.isinf(high) else high]
    return result | {"inside": inside}


def _quantile(rows: Sequence[tuple[float, float]], rank: float) -> tuple[float, float, float]:
    low = below = 0.0
    for bound, cumulative in rows:
        if cumulative >= rank and cumulative > below:
            if math.isinf(bound):
                return low, low, bound
            return low + (bound - low) * (rank - below) / (cumulative - below), low, bound
        low, below = bound, cumulative
    return low, low, math.inf


# ---- processes --------------------------------------------------------------------------------


def memory_megabytes(pid: int | str = "self") -> dict[str, float]:
    """Resident memory of a process now, and its greatest so far, in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", text, re.MULTILINE))
    return {
        "rss": round(int(found["VmRSS"]) / 1024, 1),
        "greatest": round(int(found["VmHWM"]) / 1024, 1),
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def started_epoch(pid: int) -> float:
    """When a process began, in epoch seconds (to a hundredth)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    boot = next(
        float(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime")
    )
    return boot + int(fields[19]) / _TICKS


# ---- where and what ---------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system, and how busy it was when asked."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1].strip() if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memoryGibibytes": round(int(memory[1]) / 1024**2, 1) if memory else None,
        "system": f"{platform.system()} {platform.release()}",
        "loadAverage": [round(value, 2) for value in os.getloadavg()],
    }


def versions(
    packages: Iterable[str] = ("wattshift", "kopf", "aiohttp", "pydantic"),
) -> dict[str, str]:
    """Python and the packages that matter here."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in packages
    }


def commit() -> dict[str, Any]:
    """Commit that is measured, and whether the product's sources differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "operator", "charts", "crds", "e2e")
    return {"id": git("rev-parse", "--short=12", "HEAD") or "none", "modified": bool(changed)}


def say(text: str) -> None:
    """Progress for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def by_name(rows: Iterable[str]) -> Mapping[str, int]:
    """Counts, most frequent first."""
    found: dict[str, int] = {}
    for row in rows:
        found[row] = found.get(row, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
