"""The pages: every file, link and make target that they name exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(page for folder in ("docs", "examples", "charts") for page in (ROOT / folder).rglob("*.md")),
]
OURS = ("operator", "tests", "e2e", "docs", "charts", "crds", "examples", "scripts", "requirements")


def test_every_file_that_a_page_names_exists():
    missing = []
    for page in PAGES:
        for named in re.findall(r"`([\w./-]+/[\w./-]*)`", page.read_text()):
            if named.split("/")[0] in OURS and not (ROOT / named).exists():
                missing.append(f"{page.relative_to(ROOT)}: {named}")
    assert missing == []


def test_every_relative_link_leads_somewhere():
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_every_make_target_that_a_page_names_exists():
    targets = set(re.findall(r"(?m)^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text()))
    unknown = [
        f"{page.relative_to(ROOT)}: make {name}"
        for page in PAGES
        for name in re.findall(r"`make ([a-z][a-z0-9-]*)", page.read_text())
        if name not in targets
    ]
    assert unknown == []


def test_modules_named_in_docstrings_exist():
    names = {path.name for folder in OURS for path in (ROOT / folder).rglob("*.py")}
    unknown = []
    for path in [*(ROOT / "operator").rglob("*.py"), *(ROOT / "e2e").rglob("*.py")]:
        head = path.read_text().split('"""')
        if len(head) > 1:
            unknown += [
                f"{path.relative_to(ROOT)}: {named}"
                for named in re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", head[1])
                if named not in names
            ]
    assert unknown == []
