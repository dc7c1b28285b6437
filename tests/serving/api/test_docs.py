"""The documentation page: it loads nothing from other sites, and works if keys are required."""

import re
from importlib.util import find_spec

import pytest
from fastapi.testclient import TestClient

from serving.api import docs
from serving.app import create_app
from serving.middleware.api_keys import add_key

needs_swagger = pytest.mark.skipif(find_spec("fastapi_offline") is None, reason="the package fastapi-offline is absent")


@pytest.fixture
def client(home, champion):
    add_key(home, "dashboard", "read")
    return TestClient(create_app(home), raise_server_exceptions=False)


def test_the_page_links_only_to_files_of_the_service(client):
    addresses = re.findall(r'(?:src|href)="([^"]+)"', client.get(docs.PATH).text)
    assert set(addresses) - {"data:,"} == {path[1:] for path in docs.OPEN_PATHS if path.startswith("/docs/")}
    assert re.findall(r"https?:|//", docs.PAGE + docs.SCRIPT) == []


def test_the_page_script_and_document_need_no_key(client):
    for path, kind in {docs.PATH: "text/html", "/docs/start.js": "text/javascript", "/openapi.json": "json"}.items():
        answer = client.get(path)
        assert answer.status_code == 200
        assert kind in answer.headers["content-type"]
    assert 'url: "openapi.json"' in client.get("/docs/start.js").text
    assert client.get("/v1/model").status_code == 401


def test_the_document_declares_the_key_of_the_page(client):
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/v1/model"]["get"]["security"] == [{"key": ["read"]}]


@needs_swagger
def test_files_of_swagger_are_served(client):
    script, style = (client.get(f"/docs/{name}") for name in docs.SWAGGER_FILES)
    assert script.status_code == style.status_code == 200
    assert script.headers["content-type"].startswith("text/javascript")
    assert style.headers["content-type"].startswith("text/css")
    assert b"SwaggerUIBundle" in script.content
    assert b"@import" not in style.content
    assert re.findall(rb"url\((?!['\"]?data:)", style.content) == []


@needs_swagger
def test_files_of_swagger_are_not_loaded_by_other_sites(client):
    answer = client.get("/docs/swagger-ui-bundle.js")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
