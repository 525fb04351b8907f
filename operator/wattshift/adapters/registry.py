"""Which factory reads which member of the source union; the only list of sources.

Adding a source: one new file with a factory, one entry here (steps in `docs/adapters.md`).
A type that the API knows and this table does not makes its signal Unknown, `SourceNotAvailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wattshift.adapters.base import SignalConfig, SignalSource, SourceContext
from wattshift.adapters.failures import SourceNeedsHuman
from wattshift.adapters.grid.constant import ConstantSource
from wattshift.adapters.grid.daily_curve import DailyCurveSource
from wattshift.adapters.grid.file import FileSource
from wattshift.adapters.grid.http_json import HttpJsonSource
from wattshift.adapters.grid.prometheus import PrometheusSource
from wattshift.adapters.grid.schedule import ScheduleSource
from wattshift.adapters.reasons import SourceReason

Factory = Callable[[SignalConfig, SourceContext], SignalSource]
"""Reads `config.source_spec`; raises `SourceNeedsHuman` when its fields do not fit together."""

SOURCES: Mapping[str, Factory] = {
    "constant": ConstantSource,
    "dailyCurve": DailyCurveSource,
    "file": FileSource,
    "httpJson": HttpJsonSource,
    "prometheus": PrometheusSource,
    "schedule": ScheduleSource,
}

NOT_YET: frozenset[str] = frozenset(
    {
        "bacnet",
        "carbonAwareSdk",
        "electricityMaps",
        "entsoe",
        "modbus",
        "mqtt",
        "nut",
        "opcua",
        "plugin",
        "redfish",
        "snmp",
        "wattTime",
    }
)
"""In the API, not read by this release."""


def make_source(
    config: SignalConfig,
    context: SourceContext,
    sources: Mapping[str, Factory] = SOURCES,
) -> SignalSource:
    """Make the source of one signal.

    Raises:
        SourceNeedsHuman: `SourceNotAvailable` for a type without an entry, `SourceInvalid` when
            the fields of the source do not fit together.
    """
    factory = sources.get(config.source_type)
    if factory is None:
        raise SourceNeedsHuman(
            SourceReason.SOURCE_NOT_AVAILABLE,
            f"source type {config.source_type!r} is not read by this release; available: "
            f"{', '.join(sorted(sources))}",
        )
    try:
        return factory(config, context)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceNeedsHuman(
            SourceReason.SOURCE_INVALID, f"source {config.source_type}: {describe(error)}"
        ) from error


def describe(error: Exception) -> str:
    """What is wrong with a source's fields, for people."""
    if isinstance(error, KeyError):
        return f"field {error.args[0]!r} is missing"
    return str(error) or type(error).__name__


__all__ = ["NOT_YET", "SOURCES", "Factory", "make_source"]
