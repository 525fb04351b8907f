"""Reads audit logs: who was denied, which binding allowed what, who wrote what, unused grants.

The audit log is the API server's own record, so what it shows does not depend on the product.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Document = dict[str, Any]
WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_ALLOWED_BY = re.compile(r'allowed by (\w+) "([^"]+)" of (\w+) "([^"]+)"')


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One finished request. `time` is when it was received, in epoch seconds."""

    time: float
    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    path: str
    code: int
    decision: str
    reason: str
    body: Any
    user_agent: str

    @property
    def denied(self) -> bool:
        """Refused by authorization or admission's policy (403) or for want of identity (401)."""
        return self.decision == "forbid" or self.code == 401

    @property
    def target(self) -> str:
        """`deployments/scale`, as rules write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def is_write(self) -> bool:
        """Whether it changes something (dry runs too; look at `path`)."""
        return self.verb in WRITE_VERBS

    def binding(self) -> str:
        """`ClusterRoleBinding/x -> ClusterRole/y` that allowed it; '' when none is named."""
        match = _ALLOWED_BY.search(self.reason)
        return f"{match[1]}/{match[2]} -> {match[3]}/{match[4]}" if match else ""

    def __str__(self) -> str:
        where = "/".join(filter(None, (self.namespace, self.target, self.name))) or self.path
        return f"{self.user} {self.verb} {where} -> {self.code}"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One verb on one resource that a rule gives: the unit of 'unused'."""

    verb: str
    group: str
    resource: str
    names: tuple[str, ...] = ()

    def covers(self, event: AuditEvent) -> bool:
        """Whether this grant is what the event needed."""
        if self.resource.startswith("/"):
            path = event.path.split("?")[0]
            wild = self.resource.endswith("*") and path.startswith(self.resource[:-1])
            return (
                not event.resource
                and self.verb in (event.verb, "*")
                and (path == self.resource or wild)
            )
        return (
            self.verb in (event.verb, "*")
            and self.group in (event.group, "*")
            and self.resource in (event.target, "*", f"*/{event.subresource or '-'}")
            and (not self.names or event.name in self.names)
        )

    def __str__(self) -> str:
        only = f" ({', '.join(self.names)})" if self.names else ""
        group = f"{self.group}/" if self.group else ""
        return f"{self.verb} {group}{self.resource}{only}"


class AuditLog:
    """The audit log of one cluster, read anew at each call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def events(
        self,
        *,
        user: str | None = None,
        since: float = 0.0,
        verbs: Iterable[str] | None = None,
        target: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> list[AuditEvent]:
        """Events in order that match everything given; `target` is `deployments/scale`."""
        wanted = None if verbs is None else frozenset(verbs)
        return [
            event
            for event in self._read()
            if event.time >= since
            and user in (None, event.user)
            and (wanted is None or event.verb in wanted)
            and target in (None, event.target)
            and namespace in (None, event.namespace)
            and name in (None, event.name)
        ]

    def denied(self, *, user: str | None = None, since: float = 0.0) -> list[AuditEvent]:
        """Requests that were refused for want of permission."""
        return [e for e in self.events(user=user, since=since) if e.denied]

    def writes(
        self,
        target: str | None = None,
        *,
        user: str | None = None,
        since: float = 0.0,
        namespace: str | None = None,
        name: str | None = None,
        successful: bool = True,
    ) -> list[AuditEvent]:
        """Writes with their request bodies (Secrets without); only 2xx unless told otherwise."""
        found = self.events(
            user=user,
            since=since,
            verbs=WRITE_VERBS,
            target=target,
            namespace=namespace,
            name=name,
        )
        return [e for e in found if not successful or 200 <= e.code < 300]

    def bindings(self, user: str) -> Counter[str]:
        """How many of the user's requests each binding allowed."""
        return Counter(b for e in self.events(user=user) if (b := e.binding()))

    def _read(self) -> Iterator[AuditEvent]:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as log:
            for line in log:
                if not line.endswith("\n"):
                    return  # being written
                entry = json.loads(line)
                if entry.get("stage") in ("ResponseComplete", "Panic", "ResponseStarted"):
                    yield _event(entry)


def service_account(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def grants(rules: Sequence[Document]) -> list[Grant]:
    """The rules of a Role or ClusterRole taken apart into single grants."""
    found: set[Grant] = set()
    for rule in rules:
        names = tuple(sorted(rule.get("resourceNames") or ()))
        for verb in rule.get("verbs") or ():
            for path in rule.get("nonResourceURLs") or ():
                found.add(Grant(verb, "", path))
            for group in rule.get("apiGroups") or ():
                for resource in rule.get("resources") or ():
                    found.add(Grant(verb, group, resource, names))
    return sorted(found)


def unused_grants(
    rules: Sequence[Document], events: Iterable[AuditEvent], *, namespace: str | None = None
) -> list[Grant]:
    """Grants of these rules that no allowed event needed; `namespace` for a Role's own."""
    allowed = [
        e for e in events if not e.denied and (namespace is None or e.namespace == namespace)
    ]
    return [g for g in grants(rules) if not any(g.covers(e) for e in allowed)]


def unused_rules(
    rules: Sequence[Document], events: Iterable[AuditEvent], *, namespace: str | None = None
) -> list[Document]:
    """Whole rules of which not a single grant was needed."""
    kept = list(events)
    return [
        rule
        for rule in rules
        if len(unused_grants([rule], kept, namespace=namespace)) == len(grants([rule]))
    ]


def _event(entry: Document) -> AuditEvent:
    reference = entry.get("objectRef") or {}
    notes = entry.get("annotations") or {}
    body = entry.get("requestObject")
    return AuditEvent(
        time=datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp(),
        user=entry.get("user", {}).get("username", ""),
        verb=entry.get("verb", ""),
        group=reference.get("apiGroup", ""),
        resource=reference.get("resource", ""),
        subresource=reference.get("subresource", ""),
        namespace=reference.get("namespace", ""),
        # A create carries its object's name only in the body.
        name=reference.get("name") or ((body or {}).get("metadata") or {}).get("name", "")
        if isinstance(body, dict) or body is None
        else reference.get("name", ""),
        path=entry.get("requestURI", ""),
        code=int((entry.get("responseStatus") or {}).get("code") or 0),
        decision=notes.get("authorization.k8s.io/decision", ""),
        reason=notes.get("authorization.k8s.io/reason", ""),
        body=body,
        user_agent=entry.get("userAgent", ""),
    )
