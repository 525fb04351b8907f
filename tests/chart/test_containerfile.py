"""The Containerfile: what a review would look for; the image itself is tested in e2e/kind."""

from __future__ import annotations

import re

from .conftest import ROOT, Rendered

TEXT = (ROOT / "Containerfile").read_text()
STAGES = re.split(r"^FROM ", TEXT, flags=re.M)[1:]


def test_the_last_stage_begins_from_nothing():
    assert STAGES[-1].splitlines()[0] == "scratch"
    assert TEXT.startswith("#") and "ARG BASE_IMAGE=docker.io/library/python:3.11-slim" in TEXT


def test_nothing_is_installed_without_a_hash():
    installs = re.findall(
        r"pip(?: --python \S+)? install\s+(.*?)(?: && |$)", TEXT.replace("\\\n", " "), re.M
    )
    assert len(installs) == 3
    for words in installs:
        assert "--require-hashes" in words or "--no-index" in words


def test_every_locked_requirement_has_a_hash():
    for name in ("image.txt", "build.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
        for line in text.splitlines():
            assert not line.strip() or "--hash=sha256:" in line, f"{name}: {line[:60]}"


def test_it_runs_as_the_user_of_the_chart_and_starts_the_operator():
    pod = Rendered({}).pods()["Deployment"]
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in STAGES[-1]
    assert 'ENTRYPOINT ["wattshift"]' in STAGES[-1]
    assert f'CMD ["{pod["containers"][0]["args"][0]}"]' in STAGES[-1]


def test_no_setting_of_a_package_client_reaches_the_last_stage():
    assert not re.search(r"PIP_|UV_|INDEX_URL|PROXY", STAGES[-1])


def test_the_build_sees_only_what_it_copies():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {line[1:] for line in rules if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.M)
        for word in line.split()[:-1]
    }
    assert copied == allowed
