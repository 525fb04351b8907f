"""Settings: file, environment, refusals that name the setting."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from wattshift.control.config import Config, load
from wattshift.core.model import Mode
from wattshift.errors import NeedsHuman

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str) -> str:
    path = folder / "config.yaml"
    path.write_text(text)
    return str(path)


def test_without_a_file_the_operator_only_observes():
    config = load(environment={})
    assert config.mode is Mode.OBSERVE
    assert config.replay is None
    assert config.secrets_namespace == config.own_namespace


def test_the_file_is_read_and_the_pod_says_who_it_is(tmp_path):
    path = write(
        tmp_path,
        """
mode: Enforce
reportingCurrency: CNY
exchangeRates: [{currency: EUR, rate: "7.83"}]
replay: {startTime: "2026-11-22T00:00:00+08:00", speed: 288, wallStartTime: "2026-11-22T06:00:00Z"}
credentialsNamespace: vault
""",
    )
    config = load(
        path, {"POD_NAME": "op-1", "POD_NAMESPACE": "ws", "WATTSHIFT_HEALTH_PORT": "9999"}
    )
    assert (config.pod_name, config.own_namespace, config.secrets_namespace) == (
        "op-1",
        "ws",
        "vault",
    )
    assert config.server.health_port == 9999
    assert config.rate_of("EUR") == Decimal("7.83")
    assert config.rate_of("CNY") == 1
    assert config.rate_of("USD") is None
    replay = config.clock_replay()
    assert replay is not None
    assert (replay.speed, replay.start_time) == (288, 1795276800)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("mode: Yolo", "mode"),
        ("moed: Enforce", "moed"),
        ("replay: {startTime: '2026-11-22T00:00:00', speed: 2}", "replay.startTime"),
        ("replay: {startTime: '2026-11-22T00:00:00Z', speed: 0.5}", "replay.speed"),
        ("lease: {durationSeconds: 5, renewDeadlineSeconds: 10}", "lease"),
        ("exchangeRates: [{currency: EUR, rate: -1}]", "exchangeRates.0.rate"),
        ('exchangeRates: [{currency: EUR, rate: "0"}]', "EUR"),
        ('exchangeRates: [{currency: EUR, rate: "7"}, {currency: EUR, rate: "8"}]', "EUR"),
        ('exchangeRates: [{currency: CNY, rate: "2"}]', "CNY"),
        ("lease: {fenceMarginSeconds: 15}", "fenceMarginSeconds"),
        ("governor: {intervalSeconds: 0}", "governor.intervalSeconds"),
        ("- a list", "mapping"),
        ("a: [", "config.yaml"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, named):
    with pytest.raises(NeedsHuman) as caught:
        load(write(tmp_path, text), {})
    assert caught.value.reason == "ConfigInvalid"
    assert named in caught.value.message


def test_a_file_that_is_named_must_exist(tmp_path):
    with pytest.raises(NeedsHuman):
        load(str(tmp_path / "none.yaml"), {})


def test_decisions_see_the_settings_of_the_planner():
    config = Config.model_validate({"planner": {"intervalSeconds": 60, "headRoomPermille": 100}})
    settings = config.decision_settings()
    assert (settings.plan_interval_seconds, settings.head_room_permille) == (60, 100)


def test_every_setting_is_documented():
    text = (ROOT / "docs" / "configuration.md").read_text()

    def names(model, prefix=""):
        for field in model.model_fields.values():
            yield f"{prefix}{field.alias}"
            kind = field.annotation
            if isinstance(kind, type) and hasattr(kind, "model_fields"):
                yield from names(kind, f"{prefix}{field.alias}.")

    missing = [name for name in names(Config) if f"`{name}`" not in text]
    assert missing == []
