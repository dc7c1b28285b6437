"""The pages of the models: every registered version with its gate, and a version with its findings and its card."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, Request, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from features.errors import RegistryError
from serving.api.dependencies import READ, ServiceDependency
from serving.pages.model_report import Attacks, Calibration, attacks, calibration
from serving.pages.rendering import PageRoute, page
from training.home import Home
from training.registry import run_documents
from training.registry.model_registry import (
    FORCED_TAG,
    GATE_TAG,
    PASSED,
    PROMOTED_TAG,
    champion_version,
    versions,
)

router = APIRouter(route_class=PageRoute, include_in_schema=False)
CACHED_DOCUMENTS = 16
ACRONYMS = {"auc": "AUC", "ndcg": "NDCG", "r2": "R\N{SUPERSCRIPT TWO}"}


@dataclass(frozen=True)
class Version:
    """A registered version: whether it is the champion and passed its gate, and why and when it was promoted."""

    version: str
    is_champion: bool
    passed: bool
    promoted: str | None
    forced: str | None


@dataclass(frozen=True)
class Finding:
    """A finding of the gate: its name, its sentence, and whether the limit is met; None if that is not known."""

    name: str
    message: str
    passed: bool | None


@dataclass(frozen=True)
class Documents:
    """What was logged with a version, without what is about single users."""

    findings: tuple[Finding, ...]
    calibration: Calibration | None
    attacks: Attacks | None
    card: Markup | None


@dataclass(frozen=True)
class ModelView:
    """What the page of a version shows.

    `champion` is the version whose figures they are; `guarantee` is as in `CommunityView`, None for other versions than
    the champion, whose card states it.
    """

    champion: str
    version: Version
    findings: tuple[Finding, ...]
    calibration: Calibration | None
    attacks: Attacks | None
    card: Markup | None
    guarantee: float | None = None


def all_versions(home: Home) -> tuple[Version, ...]:
    """Return every registered version, newest first.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    champion = champion_version(home)
    return tuple(_version(name, tags, champion) for name, tags in reversed(versions(home).items()))


def _version(name: str, tags: dict[str, str], champion: str | None) -> Version:
    return Version(name, name == champion, tags.get(GATE_TAG) == PASSED, tags.get(PROMOTED_TAG), tags.get(FORCED_TAG))


def model_view(home: Home, version: str, tags: dict[str, str]) -> ModelView:
    """Collect what the page of a version with some tags shows.

    Raises
    ------
    RegistryError : the registry cannot be reached

    """
    return ModelView(version, _version(version, tags, champion_version(home)), **vars(_documents(home, version)))


@lru_cache(maxsize=CACHED_DOCUMENTS)
def _documents(home: Home, version: str) -> Documents:
    """Read what was logged with a version; it never changes, unless a deleted user is removed from it."""
    report = run_documents.report(home, version) or {}
    return Documents(
        findings=tuple(map(_finding, report.get("gate", {}).get("findings", ()))),
        calibration=calibration(report) if "bands" in report else None,
        attacks=attacks(report),
        card=_card(home, version),
    )


def _finding(document: dict[str, Any]) -> Finding:
    words = (ACRONYMS.get(word, word) for word in document["name"].split("_"))
    return Finding(" ".join(words), document["message"], document["passed"])


def _card(home: Home, version: str) -> Markup | None:
    try:
        return render_markdown(run_documents.card(home, version))
    except RegistryError:  # it was registered without one
        return None


def render_markdown(text: str) -> Markup:
    """Render Markdown as HTML: headings one level lower, tables that scroll, and no HTML of its own."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + 1}"
        if token.attrs.pop("style", None) == "text-align:right":  # the policy forbids styles within a page
            token.attrs["class"] = "figure"
    html = markdown.renderer.render(tokens, markdown.options, {})
    scroll = '<div class="scroll" tabindex="0" role="region" aria-label="Table of the card"><table>'
    return Markup(html.replace("<table>", scroll).replace("</table>", "</table></div>"))


@router.get("/models/{version}", dependencies=[READ])
def model_page(request: Request, version: str, service: ServiceDependency) -> Response:
    """Return the page of a version."""
    tags = versions(service.home)
    if version not in tags:
        names = ", ".join(tags) or "none yet"
        detail = f"there is no version {version!r} of the model; versions there: {names}."
        return page(request, "error", 404, title="No such model", problem={"status": 404, "detail": detail})
    view = model_view(service.home, version, tags[version])
    if version == service.champion_version:
        view = replace(view, guarantee=service.guarantee)
    return page(request, "model", view=view)
