"""Probes from progress, metrics declared once, logs without secrets."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from wattshift.control.clock import ManualClock
from wattshift.control.serve.health import HealthServer, Progress
from wattshift.obs import logs, reference
from wattshift.obs.metrics import Metrics


def test_a_part_that_does_not_beat_in_time_is_stalled_and_a_beat_heals_it():
    clock = ManualClock()
    progress = Progress(clock=clock.monotonic)
    progress.expect("planner", stall_seconds=10)
    clock.advance(10)
    assert progress.stalled() == {}
    clock.advance(1)
    assert progress.stalled() == {"planner": 11}
    progress.beat("planner")
    assert progress.stalled() == {}
    clock.advance(60)
    progress.dismiss("planner")
    assert progress.stalled() == {}


def test_a_beat_of_a_part_that_nobody_expects_is_ignored():
    progress = Progress(clock=ManualClock().monotonic)
    progress.beat("stranger")
    assert progress.ages() == {}


async def test_the_probes_answer_over_http():
    clock, state = ManualClock(), {"ready": (False, "not synced")}
    metrics = Metrics()
    metrics.leader.labels("op-1").set(1)
    progress = Progress(clock=clock.monotonic)
    progress.expect("governor", stall_seconds=5)
    server = HealthServer(
        host="127.0.0.1",
        port=0,
        progress=progress,
        ready=lambda: state["ready"],
        registry=metrics.registry,
    )
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:

            async def ask(path: str) -> tuple[int, str]:
                async with session.get(path) as answer:
                    return answer.status, await answer.text()

            assert (await ask("/livez"))[0] == 200
            assert await ask("/readyz") == (503, "not synced\n")
            state["ready"] = (True, "leading")
            assert (await ask("/readyz"))[0] == 200
            clock.advance(6)
            status, text = await ask("/livez")
            assert (status, "governor" in text) == (503, True)
            assert 'wattshift_leader{pod="op-1"} 1.0' in (await ask("/metrics"))[1]
    finally:
        await server.stop()


def test_metric_names_follow_the_convention_and_no_label_names_a_workload():
    metrics = Metrics(CollectorRegistry())
    for family in metrics.registry.collect():
        assert re.fullmatch(r"wattshift_[a-z0-9_]+", family.name)
        assert family.documentation
    for value in vars(metrics).values():
        labels = getattr(value, "_labelnames", ())
        assert not {"workload", "uid", "namespace", "object"} & set(labels)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh12345678",
        "GET https://user:hunter2secret@scada.example/x",
        'token="s3cr3t-value"',
        "password: correct-horse",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0xx.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_credential_is_cut_out(text):
    shown = logs.redacted(text)
    assert "[redacted]" in shown
    for secret in ("abcdefgh", "hunter2", "s3cr3t", "horse", "eyJzdWI", "MIIE"):
        assert secret not in shown


def test_ordinary_words_stay():
    text = "PowerSite gs-a: Secret gs-a lacks the label wattshift.io/credential"
    assert logs.redacted(text) == text


def lines(form: str, emit) -> str:
    root, stream = logging.getLogger(), io.StringIO()
    before = (root.handlers[:], root.level)
    try:
        logs.configure(form=form, stream=stream)
        emit(logging.getLogger("wattshift.test"))
    finally:
        root.handlers[:], _ = before[0], root.setLevel(before[1])
    return stream.getvalue()


def test_a_json_line_carries_reason_object_cluster_and_plan():
    extra = logs.fields(
        reason="SiteLimit", object="FlexibleWorkload/a/b", cluster="s/c", plan_id="0a", none=None
    )
    line = json.loads(lines("json", lambda log: log.info("scaled %s", 3, extra=extra)))
    assert line["message"] == "scaled 3"
    assert {k: line[k] for k in ("reason", "object", "cluster", "plan_id", "level")} == {
        "reason": "SiteLimit",
        "object": "FlexibleWorkload/a/b",
        "cluster": "s/c",
        "plan_id": "0a",
        "level": "info",
    }
    assert "none" not in line


def test_an_exception_is_logged_without_its_secret_and_what_is_no_json_does_not_raise():
    def emit(log):
        try:
            raise ValueError("token=abcdefghijk")
        except ValueError:
            log.exception("failed", extra={"object": {1, 2}})

    line = json.loads(lines("json", emit))
    assert "abcdefghijk" not in line["exception"]
    assert "ValueError" in line["exception"]
    text = lines("text", lambda log: log.warning("slow", extra={"reason": "X"}))
    assert text.rstrip().endswith("slow [reason=X]")


def test_the_reference_of_metrics_is_up_to_date():
    page = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
    assert page.read_text() == reference.document(), "make generate"
