"""Power profiles: packaged data with sources, ConfigMaps on top, errors by name."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from wattshift.adapters.power.loader import (
    LoadedProfiles,
    ProfileError,
    load_profiles,
    parse_profile,
)
from wattshift.adapters.reasons import ProfileReason

PACKAGED = load_profiles()
GOOD: dict[str, Any] = {
    "name": "mine",
    "resourceName": "nvidia.com/gpu",
    "devicesPerReplica": 2,
    "loadedIdleWatts": 200,
    "floorWatts": 700,
    "wattsPerOutputTokenPerSecond": "0.12",
    "outputTokensPerSecondAtObjective": 1500,
    "maxConcurrencyAtObjective": 32,
    "coldStartSeconds": 240,
    "source": "measured on our nodes, 2026-10",
}


def documents() -> list[Any]:
    folder = files("wattshift.adapters.power") / "profiles"
    return [
        yaml.safe_load(f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith("yaml")
    ]


def test_the_vendors_are_there() -> None:
    vendors = {row.vendor for row in PACKAGED.telemetry}
    assert vendors >= {"NVIDIA", "Huawei Ascend", "AMD", "Cambricon", "Hygon"}
    assert PACKAGED.problems == ()


@pytest.mark.parametrize("document", documents(), ids=lambda d: str(d["vendor"]))
def test_every_number_of_every_packaged_profile_has_its_source(document: Any) -> None:
    for profile in document["profiles"]:
        numbers = {
            key
            for key, value in profile.items()
            if key not in {"name", "resourceName", "sources"} and value is not None
        }
        assert numbers == set(profile["sources"]), profile["name"]
        assert all(len(text) >= 15 for text in profile["sources"].values())
        assert profile["resourceName"] in document["resourceNames"]


@pytest.mark.parametrize("name", ["cambricon-mlu", "hygon-dcu", "gaudi"])
def test_watts_that_nobody_published_are_not_invented(name: str) -> None:
    profile = PACKAGED.profiles[name]
    assert not profile.has_power
    assert profile.watts_per_output_token_per_second is None
    problem = PACKAGED.why_unusable(name)
    assert problem is not None and problem.reason is ProfileReason.PROFILE_HAS_NO_POWER


def test_the_exporters_units_are_known() -> None:
    factors = {row.vendor: (row.watts_per_unit, row.joules_per_unit) for row in PACKAGED.telemetry}
    assert factors["NVIDIA"] == (1.0, 0.001)
    assert factors["AMD"] == (1.0, 1e-6)
    assert factors["Intel Gaudi"] == (0.001, None)


@pytest.mark.parametrize(
    ("rate", "watts"), [(470, 1765), (2511, 2002), (4915, 2354)], ids=["8", "64", "256"]
)
def test_the_h100_line_meets_the_published_points_within_two_percent(
    rate: float, watts: float
) -> None:
    profile = PACKAGED.profiles["h100-llama-3-1-70b"]
    slope = profile.watts_per_output_token_per_second
    assert profile.floor_watts is not None and slope is not None
    assert abs(profile.floor_watts + slope * rate - watts) <= 0.02 * watts


def test_estimates_stay_inside_the_published_floors() -> None:
    for name, tdp in (("h20-qwen3-32b", 400), ("ascend-910b", 400), ("mi300x", 750)):
        floor = PACKAGED.profiles[name].floor_watts
        assert floor is not None and 0.46 * tdp <= floor <= 0.64 * tdp


def test_packaged_profiles_are_ordered_idle_floor_busy() -> None:
    for profile in PACKAGED.profiles.values():
        if profile.has_power:
            assert 0 < profile.loaded_idle_watts < profile.floor_watts <= profile.busy_watts  # type: ignore[operator]


def test_a_config_map_adds_and_replaces() -> None:
    single = {key: value for key, value in GOOD.items() if key != "name"}
    loaded = load_profiles(
        {
            "ours": {
                "new-one.yaml": yaml.safe_dump(single),
                "list": yaml.safe_dump({"profiles": [{**GOOD, "name": "ascend-910b"}]}),
            }
        }
    )
    assert loaded.problems == ()
    assert loaded.profiles["new-one"].busy_watts == 880
    assert loaded.profiles["ascend-910b"].source == GOOD["source"]
    assert loaded.profiles["mi300x"] == PACKAGED.profiles["mi300x"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"resourceName": None}, "resourceName"),
    ({"devicesPerReplica": 0}, "at least 1"),
    ({"devicesPerReplica": None}, "devicesPerReplica is missing"),
    ({"maxConcurrencyAtObjective": None}, "maxConcurrencyAtObjective is missing"),
    ({"loadedIdleWatts": -5}, "loadedIdleWatts -5"),
    ({"loadedIdleWatts": "many"}, "loadedIdleWatts 'many'"),
    ({"loadedIdleWatts": True}, "loadedIdleWatts True"),
    ({"loadedIdleWatts": 100.5}, "whole number"),
    ({"floorWatts": 100}, "above floorWatts"),
    ({"busyWatts": 300}, "above busyWatts"),
    ({"wattsPerOutputTokenPerSecond": "NaN"}, "wattsPerOutputTokenPerSecond"),
    ({"source": ""}, "source"),
    ({"wattsPerToken": 1}, "unknown field 'wattsPerToken'"),
]


@pytest.mark.parametrize(("change", "part"), BAD, ids=[part for _, part in BAD])
def test_a_bad_profile_is_named_by_its_field_and_the_others_load(
    change: dict[str, Any], part: str
) -> None:
    text = yaml.safe_dump({"profiles": [{**GOOD, **change}, {**GOOD, "name": "fine"}]})
    loaded = load_profiles({"ours": {"p.yaml": text}})
    assert "fine" in loaded.profiles and "mine" not in loaded.profiles
    (problem,) = loaded.problems
    assert problem.reason is ProfileReason.PROFILE_INVALID
    assert part in problem.message
    assert problem.where == "ConfigMap ours/mine"
    assert loaded.why_unusable("mine") == problem


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "- 1",
        "profiles: 5",
        "just text",
        "x" * 300_000,
        "source: 2026-02-30",
        "[" * 3000,
        "coldStartSeconds: " + "9" * 400,
        "coldStartSeconds: " + "9" * 5000,
    ],
)
def test_a_text_that_is_no_profile_is_refused(text: str) -> None:
    loaded = load_profiles({"ours": {"p.yaml": text}})
    (problem,) = loaded.problems
    assert problem.where.removesuffix(".yaml") == "ConfigMap ours/p"
    assert loaded.profiles == PACKAGED.profiles


CURVE = "outputTokensPerSecondByConcurrency"


def test_a_curve_is_read_in_the_order_of_its_sequences() -> None:
    profile = parse_profile(GOOD | {CURVE: {"32": "1500", 1: 90, 8: "600"}})
    assert profile.output_tokens_per_second_by_concurrency == ((1, 90), (8, 600), (32, 1500))
    assert parse_profile(GOOD).output_tokens_per_second_by_concurrency == ()


@pytest.mark.parametrize(
    "curve",
    [{8: 600, 32: 500}, {8: 100, 16: 300}, {0: 1, 8: 9}, {8: 0}, {"x": 1}, {8: "y"}, [8], 7],
)
def test_a_curve_that_falls_or_outruns_its_sequences_is_refused(curve: Any) -> None:
    with pytest.raises(ProfileError, match=f"mine: .*({CURVE}|sequences)"):
        parse_profile(GOOD | {CURVE: curve})


def test_packaged_curves_meet_their_profiles_own_point() -> None:
    curves = [
        row for row in PACKAGED.profiles.values() if row.output_tokens_per_second_by_concurrency
    ]
    assert curves
    for row in curves:
        points = dict(row.output_tokens_per_second_by_concurrency)
        at = points[row.max_concurrency_at_objective]
        assert at == row.output_tokens_per_second_at_objective


def test_of_two_config_maps_with_one_name_the_first_counts() -> None:
    text = yaml.safe_dump({"profiles": [GOOD]})
    other = yaml.safe_dump({"profiles": [{**GOOD, "floorWatts": 999, "busyWatts": 1200}]})
    loaded = load_profiles({"b": {"p": other}, "a": {"p": text}})
    assert loaded.profiles["mine"].floor_watts == 700
    (problem,) = loaded.problems
    assert problem.reason is ProfileReason.PROFILE_DUPLICATE


def test_an_unknown_profile_has_no_problem_of_its_own() -> None:
    assert PACKAGED.why_unusable("nobody") is None
    assert isinstance(PACKAGED, LoadedProfiles)


def test_a_packaged_number_without_a_source_is_refused() -> None:
    row = {key: value for key, value in GOOD.items() if key != "source"}
    with pytest.raises(ProfileError, match=r"sources\.loadedIdleWatts"):
        parse_profile({**row, "sources": {"devicesPerReplica": "measured on our nodes"}})


@given(
    st.dictionaries(
        st.sampled_from(sorted(GOOD)),
        st.one_of(
            st.none(), st.text(), st.integers(), st.floats(), st.lists(st.integers(), max_size=2)
        ),
    )
)
def test_any_profile_is_taken_or_refused_with_a_message(change: dict[str, Any]) -> None:
    try:
        profile = parse_profile({**GOOD, **change})
    except ProfileError as error:
        assert str(error)
    else:
        assert profile.devices_per_replica >= 1
