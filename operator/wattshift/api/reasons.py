"""Reasons of validation, references and connections: the same constants in conditions, events, metrics, logs, CLI.

Reasons of decisions are in `core/reasons.py`. A docstring per reason says what it means and what to do.
"""

from __future__ import annotations

from enum import StrEnum


class SpecReason(StrEnum):
    """Reasons of `Accepted` about one object."""

    VALID = "Valid"
    """The spec and its references are valid."""
    SCHEMA_INVALID = "SchemaInvalid"
    """The object does not fit the schema: it was stored by another version, or past the API server."""
    UNKNOWN_TIME_ZONE = "UnknownTimeZone"
    """The time zone is not in the IANA data base: name one such as Asia/Shanghai."""
    INVALID_DATE = "InvalidDate"
    """A date does not exist in the calendar."""
    WINDOW_ENDS_BEFORE_START = "WindowEndsBeforeStart"
    """A window of times of day ends before it starts: split it at midnight."""
    MINIMUM_ABOVE_MAXIMUM = "MinimumAboveMaximum"
    """A minimum is greater than its maximum."""
    DECIMAL_OUT_OF_RANGE = "DecimalOutOfRange"
    """A decimal number lies outside of the range that makes sense."""
    UNIT_DOES_NOT_FIT = "UnitDoesNotFit"
    """The unit does not measure the quantity."""
    CURRENCY_MISMATCH = "CurrencyMismatch"
    """A price signal has another currency than its contract."""
    SIGNAL_UNKNOWN = "SignalUnknown"
    """A signal name is not declared in `signals`."""
    SIGNAL_QUANTITY_MISMATCH = "SignalQuantityMismatch"
    """A signal measures something else than the field needs."""
    CONNECTION_UNKNOWN = "ConnectionUnknown"
    """A connection name is not declared in the site."""
    CALENDAR_UNKNOWN = "CalendarUnknown"
    """A calendar name is not declared in `calendars`."""
    BAND_UNKNOWN = "BandUnknown"
    """A band name is not in the calendar."""
    BAND_WITHOUT_RATE = "BandWithoutRate"
    """A band of the calendar has no rate: every band needs one."""
    BAND_UNREACHABLE = "BandUnreachable"
    """A band after one without a condition can never match: put it before."""
    COMPONENT_UNKNOWN = "ComponentUnknown"
    """A component name is not declared in `components`."""
    COMPONENT_CYCLE = "ComponentCycle"
    """Components refer to each other in a circle."""
    MEASURE_MISMATCH = "MeasureMismatch"
    """A component refers to one with a measure that does not fit."""
    PER_DOES_NOT_FIT = "PerDoesNotFit"
    """`per` does not fit the measure."""
    REGIME_UNKNOWN = "RegimeUnknown"
    """A regime name is not declared in `regimes`."""
    PROGRAM_UNKNOWN = "ProgramUnknown"
    """A program name is not declared in the contract."""
    PLACEMENT_UNKNOWN = "PlacementUnknown"
    """A placement name is not declared in `placements`."""
    PLACEMENT_DUPLICATE = "PlacementDuplicate"
    """Two placements name the same target in the same cluster."""
    REPLICAS_UNREACHABLE = "ReplicasUnreachable"
    """The bounds of the sum cannot be met by the bounds of the placements."""
    SHARES_EXCEED_WHOLE = "SharesExceedWhole"
    """Shares add up to more than the whole."""
    BLOCKS_NOT_ASCENDING = "BlocksNotAscending"
    """Blocks must ascend, and only the last has no end."""
    TIMES_NOT_ASCENDING = "TimesNotAscending"
    """Entries of a schedule must ascend in time."""
    INTERVALS_EXCEED_EVENT = "IntervalsExceedEvent"
    """The intervals of an event are longer than the event."""
    EVENT_NOT_SUPPORTED = "EventNotSupported"
    """The event's type cannot have this reference."""
    STATEFUL_CANNOT_MOVE = "StatefulCannotMove"
    """Conversations live in a process: Migrate and ShiftTraffic would lose them."""
    PROFILE_HAS_NO_POWER = "ProfileHasNoPower"
    """The power profile has no watts: nothing is planned with it, and nothing is invented."""
    PROFILE_NOT_FOUND = "ProfileNotFound"
    """The power profile does not exist: add a labelled ConfigMap in the operator's namespace."""
    TARGET_KIND_NOT_AVAILABLE = "TargetKindNotAvailable"
    """The kind of target is not supported yet."""
    TRAFFIC_NOT_AVAILABLE = "TrafficNotAvailable"
    """The traffic backend is not supported yet."""
    EVENT_SOURCE_NOT_AVAILABLE = "EventSourceNotAvailable"
    """The event source is not supported yet."""


class ReferenceReason(StrEnum):
    """Reasons of `Accepted` about references between objects."""

    SITE_UNKNOWN = "SiteUnknown"
    """No PowerSite has this name."""
    CLUSTER_UNKNOWN = "ClusterUnknown"
    """The PowerSite has no cluster of this name."""
    SITE_CONNECTION_UNKNOWN = "SiteConnectionUnknown"
    """The PowerSite has no connection of this name."""
    SITE_SIGNAL_UNKNOWN = "SiteSignalUnknown"
    """The PowerSite has no signal of this name, or it measures something else."""
    SUPPLY_UNKNOWN = "SupplyUnknown"
    """No site of the contract has a supply of this name."""
    CONTRACT_UNKNOWN = "ContractUnknown"
    """No EnergyContract has this name."""
    CONTRACT_PROGRAM_UNKNOWN = "ContractProgramUnknown"
    """The EnergyContract has no program of this name."""
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    """The site does not allow workloads of this namespace."""
    TARGET_CLAIMED_BY_OTHER = "TargetClaimedByOther"
    """An older FlexibleWorkload has the same target."""
    CONTRACTS_OVERLAP = "ContractsOverlap"
    """Two contracts with the same part of the bill cover one point at one time."""
    ORIGIN_UNKNOWN = "OriginUnknown"
    """A site has no latency for an origin of the workload."""
    REGION_NOT_ALLOWED = "RegionNotAllowed"
    """The data boundary refuses the region of the site."""
    CLUSTER_IN_TWO_SITES = "ClusterInTwoSites"
    """Another PowerSite has the same cluster."""
    CURRENCY_NOT_CONVERTIBLE = "CurrencyNotConvertible"
    """The contract's currency is not the reporting currency and no exchange rate is set."""


class TargetReason(StrEnum):
    """Reasons of `TargetsResolved`."""

    RESOLVED = "Resolved"
    """Every target was found and opted in."""
    TARGET_NOT_FOUND = "TargetNotFound"
    """The target does not exist in the cluster."""
    TARGET_NOT_OPTED_IN = "TargetNotOptedIn"
    """The target lacks the label `wattshift.io/flexible`."""
    READINESS_UNKNOWN = "ReadinessUnknown"
    """The target's pods have no readiness probe: wattshift cannot know when they serve."""
    TARGET_REPLACED = "TargetReplaced"
    """The target has another UID than before: it was deleted and made again."""
    CLUSTER_NOT_READY = "ClusterNotReady"
    """The cluster does not answer."""


class ConnectionReason(StrEnum):
    """Reasons of `ClustersConnected` and of the state of one cluster."""

    CONNECTED = "Connected"
    """Every cluster answers."""
    NO_CLUSTERS = "NoClusters"
    """The site has no clusters."""
    CONNECTING = "Connecting"
    """The first answer is awaited."""
    UNREACHABLE = "Unreachable"
    """The API server does not answer."""
    UNAUTHORIZED = "Unauthorized"
    """The API server refuses the credential."""
    FORBIDDEN = "Forbidden"
    """The credential lacks a permission."""
    SERVER_ERROR = "ServerError"
    """The API server answers with errors."""
    INVALID_ANSWER = "InvalidAnswer"
    """The address does not answer as an API server does."""
    CERTIFICATE_INVALID = "CertificateInvalid"
    """The certificate of the API server is not trusted."""
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    """The Secret does not exist in the credentials namespace."""
    SECRET_NOT_LABELLED = "SecretNotLabelled"  # noqa: S105
    """The Secret lacks the label `wattshift.io/credential`."""
    SECRET_KEY_MISSING = "SecretKeyMissing"  # noqa: S105
    """The Secret lacks the key."""
    HOST_NOT_ALLOWED = "HostNotAllowed"
    """The host is not in the annotation `wattshift.io/allowed-hosts` of the Secret."""
    INSECURE_KUBE_CONFIG = "InsecureKubeConfig"
    """The kubeconfig runs a command, reads files or skips the verification of certificates."""
    CLUSTER_IDENTITY_CHANGED = "ClusterIdentityChanged"
    """kube-system has another UID than before: nothing is written there."""
    CLUSTER_TYPE_NOT_AVAILABLE = "ClusterTypeNotAvailable"
    """This way to reach a cluster is not supported yet."""


class SignalReason(StrEnum):
    """Reasons of `SignalsFresh`, of `PriceKnown` and of one signal."""

    FRESH = "Fresh"
    """Every signal is known and fresh."""
    NO_SIGNALS = "NoSignals"
    """No signals are declared."""
    SIGNALS_STALE = "SignalsStale"
    """A signal is older than `staleAfterSeconds`."""
    SIGNALS_UNKNOWN = "SignalsUnknown"
    """A signal has no value."""
    SOURCE_NOT_AVAILABLE = "SourceNotAvailable"
    """The source is not supported yet: the signal stays Unknown."""


REASONS: tuple[type[StrEnum], ...] = (
    SpecReason,
    ReferenceReason,
    TargetReason,
    ConnectionReason,
    SignalReason,
)
