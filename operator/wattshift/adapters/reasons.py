"""Reason constants of readings: why a signal has no value, or not the one the source gave.

The same word appears in `Reading.reason`, the condition `SignalsFresh`, metrics and the CLI.
Neighbours: `core/reasons.py` (decisions), `api/reasons.py` (validation).
"""

from __future__ import annotations

from enum import StrEnum


class SourceReason(StrEnum):
    """Why a reading is unknown, held or replaced; the docstring says what to do about it."""

    # the source itself
    SOURCE_NOT_AVAILABLE = "SourceNotAvailable"
    """The API knows this source type, this release does not read it yet: use another source."""
    SOURCE_INVALID = "SourceInvalid"
    """The source's own fields do not fit together: the message names the field."""
    SOURCE_NOT_FOUND = "SourceNotFound"
    """ConfigMap, key, column, path or JSON pointer does not exist: correct the name."""
    SOURCE_UNREACHABLE = "SourceUnreachable"
    """No connection, or a server error: retried with a growing interval."""
    SOURCE_TIMED_OUT = "SourceTimedOut"
    """No full answer within the time-out: retried with a growing interval."""
    SOURCE_BREAKER_OPEN = "SourceBreakerOpen"
    """Several failures in a row: asked again, once, when the breaker half-opens."""
    CREDENTIAL_REFUSED = "CredentialRefused"
    """The server said 401 or 403: renew the Secret or its rights."""
    CREDENTIAL_MISSING = "CredentialMissing"
    """No Secret or key of that name with the credential label: create or label it."""
    HOST_NOT_ALLOWED = "HostNotAllowed"
    """The Secret does not allow this host, or the URL leads where signals must not be read."""
    REDIRECT_REFUSED = "RedirectRefused"
    """The server redirects: give the final URL (a redirect would carry the credential away)."""
    ANSWER_TOO_LARGE = "AnswerTooLarge"
    """The answer is larger than the limit: ask for less."""
    ANSWER_NOT_READABLE = "AnswerNotReadable"
    """Not the format that the source promises (HTML for JSON, a broken row)."""
    QUERY_REFUSED = "QueryRefused"
    """The server understood the request and refused it (a 4xx): correct query or URL."""
    ADAPTER_FAULT = "AdapterFault"
    """A fault of this program while reading: please report it; the last good value ages."""
    # what the source said
    NO_DATA = "NoData"
    """An answer without a value: an empty vector, an empty table, a null. Unknown, never zero."""
    AMBIGUOUS_RESULT = "AmbiguousResult"
    """Several series for one signal: aggregate in the query (`sum(...)`, `max(...)`)."""
    NOT_A_NUMBER = "NotANumber"
    """NaN or text where a number belongs."""
    NOT_FINITE = "NotFinite"
    """Plus or minus infinity."""
    NEGATIVE = "Negative"
    """Below zero; only prices, temperatures and the site's meter may be."""
    IMPLAUSIBLE = "Implausible"
    """Outside `plausible`, or outside what the quantity can be (a ratio above one)."""
    SPIKE_UNCONFIRMED = "SpikeUnconfirmed"
    """More than ten times up or down from the last good value, and `plausible` does not bound both
    sides: the next reading must repeat it."""
    WRONG_UNIT = "WrongUnit"
    """The unit does not measure the quantity, or the source reports another unit than declared."""
    WRONG_ZONE = "WrongZone"
    """The source answered for another zone than the one asked."""
    OUT_OF_ORDER = "OutOfOrder"
    """Older than the reading already held; the newer one stays."""
    DUPLICATE_TIME = "DuplicateTime"
    """Two values for one instant that differ: the second counts when it is read again."""
    FROM_THE_FUTURE = "FromTheFuture"
    """The source time of an observation lies ahead of the grid clock: check the source's clock."""
    LOCAL_TIME_INVALID = "LocalTimeInvalid"
    """A local time that does not exist on that day (daylight saving), or without a time zone."""
    # age
    NOT_YET_READ = "NotYetRead"
    """Declared, not yet fetched."""
    STALE = "Stale"
    """Older than `staleAfterSeconds`."""
    STALE_HELD = "StaleHeld"
    """Stale; the last good value is held because `onStale` says Hold."""
    STALE_FALLBACK = "StaleFallback"
    """Stale or unknown; `onStale.fallbackValue` stands in."""
    STALE_ASSUME_WORST = "StaleAssumeWorst"
    """Stale or unknown; the decision takes the worst value that the quantity can have."""
    FALLBACK_MISSING = "FallbackMissing"
    """`onStale` says UseFallback and gives no usable `fallbackValue`."""
    GAP_FILLED = "GapFilled"
    """A row is missing for now; the one before holds while it is younger than its validity."""
    FORECAST_ENDED = "ForecastEnded"
    """The forecast's last step lies in the past."""


class EngineReason(StrEnum):
    """Why engine metrics of a placement are missing or incomplete."""

    NO_ENDPOINTS = "NoEndpoints"
    """No pod in service to ask."""
    SCRAPE_FAILED = "ScrapeFailed"
    """Pods exist, none answered."""
    SCRAPE_PARTIAL = "ScrapePartial"
    """Some pods did not answer; rates and windows lack their share."""
    METRIC_MISSING = "MetricMissing"
    """The engine does not expose a metric that the profile needs: an absent metric is not zero."""
    PROFILE_UNKNOWN = "EngineProfileUnknown"
    """No metric profile for this engine type."""
    OBJECTIVE_NOT_OBSERVABLE = "ObjectiveNotObservable"
    """The histogram has no bucket edge that can tell good from bad at this threshold."""


class ProfileReason(StrEnum):
    """Why a power profile cannot be used."""

    PROFILE_HAS_NO_POWER = "ProfileHasNoPower"
    """Nobody has published watts for this accelerator: measure, and give them in a ConfigMap."""
    PROFILE_INVALID = "ProfileInvalid"
    """A field is missing, of the wrong type, or impossible; the message names it."""
    PROFILE_DUPLICATE = "ProfileDuplicate"
    """Two ConfigMaps define one name; the first by name counts."""
