"""Structured logs: one JSON object a line, with reason, object, cluster and plan where they apply.

Use `logger.info("...", extra=fields(reason=..., object=key, cluster=..., plan_id=...))`. Values that
look like credentials are cut out: a safety net under the rule that no message holds a secret.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRETS = (
    re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(basic\s+)[A-Za-z0-9+/=]{8,}"),
    re.compile(
        r"(?i)((?:token|password|passwd|secret|api[-_]?key|authorization)[\"']?\s*[:=]\s*[\"']?)"
        r"[^\s\"',;&]{4,}"
    ),
    re.compile(r"(://[^/\s:@]+:)[^@\s/]+(?=@)"),
    re.compile(r"()eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    re.compile(
        r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
    ),
)
_NOISY = ("kopf", "aiohttp", "asyncio", "urllib3")


def fields(**values: Any) -> dict[str, Any]:
    """Structured fields of one line, for `extra=`; None and empty strings are left out."""
    return {name: value for name, value in values.items() if value not in (None, "")}


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def redacted(text: str) -> str:
    """`text` without what looks like a credential."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1[redacted]", text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render; never raises for what cannot be serialised."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        for name, value in _extra(record).items():
            line[name] = redacted(value) if isinstance(value, str) else value
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, default=lambda value: redacted(str(value)), ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One readable line, for terminals."""

    def format(self, record: logging.LogRecord) -> str:
        """Render."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        extra = " ".join(f"{k}={v}" for k, v in _extra(record).items())
        line = f"{moment} {record.levelname[0]} {record.name}: {record.getMessage()}"
        if extra:
            line += f" [{extra}]"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return redacted(line)


def configure(*, level: str = "info", form: str = "json", stream: TextIO | None = None) -> None:
    """Set the root logger up; call once at the start of the process."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
