"""Static files: public, small, cached by the hash in their URL, and served from the service itself."""

import gzip
import re

import pytest
from fastapi.testclient import TestClient

from serving.app import create_app
from serving.middleware.api_keys import add_key
from serving.pages import static_files

LIMIT = 350 * 1024


def test_the_files_fit_into_the_size_limit():
    compressed = [static_files.content(name, name.endswith((".js", ".css", ".svg"))) for name in static_files.names()]
    assert len(compressed) >= 7
    assert sum(map(len, compressed)) < LIMIT


def test_every_vendored_library_has_its_licence():
    vendor = static_files.FOLDER / "vendor"
    libraries = {file.name.split("-")[0] for file in vendor.iterdir() if file.suffix != ".txt"}
    assert libraries == {file.name.removesuffix("-LICENSE.txt") for file in vendor.glob("*-LICENSE.txt")}


def test_own_files_contain_no_external_urls():
    for file in (*static_files.FOLDER.glob("*.*"), *(static_files.FOLDER.parent / "templates").iterdir()):
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"(https?:)?//\w+\.", text), file.name


def test_files_need_no_key_and_are_cached_by_their_hash(home, champion):
    add_key(home, "dashboard", "read")
    client = TestClient(create_app(home))
    for name in static_files.names():
        response = client.get(static_files.address(name))
        assert response.status_code == 200
        assert response.content == static_files.content(name, compressed=False)
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/static/tokens.css").headers["cache-control"] == "no-store"
    assert client.get("/static/vendor/htmx-LICENSE.txt").status_code == 401


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_text_is_compressed_if_the_client_accepts_it(client, encoding):
    response = client.get("/static/clout.js", headers={"Accept-Encoding": encoding})
    assert response.headers.get("content-encoding") == ("gzip" if encoding == "gzip" else None)
    assert gzip.decompress(static_files.content("clout.js", compressed=True)) == response.content
