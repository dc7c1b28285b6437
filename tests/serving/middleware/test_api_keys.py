"""API keys: shown once, stored as hashes, required where configured, and reloaded by a running service."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from hashlib import sha256

import httpx
import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from features.errors import CloutError
from serving.api import docs
from serving.app import OPEN_PATHS, create_app, serve
from serving.middleware import authentication
from serving.middleware.api_keys import (
    SHAPE,
    KeyCache,
    KeysError,
    add_key,
    copy_file,
    find_key,
    keys_file,
    read_keys,
    remove_key,
)
from serving.pages import static_files
from tests import preloaded
from training.home import Home
from training.records.database import RecordsError
from training.records.opt_outs import opt_out

CLOUT = "import sys; from serving.cli.main import main; sys.argv[0] = 'clout'; main()"
# Contents of keys.json as an earlier version wrote it, and its plain keys.
EARLIER = {
    "format": 1,
    "keys": [
        {
            "id": "4108ff2a85c6",
            "name": "dashboard",
            "scope": "read",
            "sha256": "63b26af6d64d5600e521a4b00f0ab96e98f9418ebbb2d3604443d4cd1b530192",
            "made": "2026-11-29T02:02:14Z",
        },
        {
            "id": "bd0d2b9fed76",
            "name": "boss",
            "scope": "admin",
            "sha256": "2cdac7db8bcf7ab325027808dd1ccd1018567aea51ad1c73a13fef454e3babb3",
            "made": "2026-11-29T02:02:14Z",
        },
    ],
}
EARLIER_KEYS = {
    "dashboard": "clout_4108ff2a85c6_00392a02348e459c44570b3fceaef5634bba54a3a7f72503e5cb675ea698d11e",
    "boss": "clout_bd0d2b9fed76_4ac3fa8829e0325399089421ade9f0fb520db964a203594b745fe05c40de4f7f",
}


@pytest.fixture
def empty(tmp_path):
    return Home(tmp_path / "home")


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def client_of(home, **settings):
    return TestClient(create_app(home, **settings), raise_server_exceptions=False)


def test_find_key_accepts_only_the_exact_key(empty):
    key = add_key(empty, "ann", "read")
    keys = read_keys(empty)
    assert find_key(keys, key).name == "ann"
    other = key[:-1] + ("0" if key[-1] != "0" else "1")
    for wrong in (other, key[:-1], key + "0", key.upper(), "", "clout_", f" {key}", key.split("_")[2]):
        assert find_key(keys, wrong) is None
    assert find_key({}, key) is None


def test_a_key_has_256_random_bits_and_is_unique(empty):
    keys = [add_key(empty, f"k{n}", "read") for n in range(20)]
    assert all(SHAPE.fullmatch(key) and len(bytes.fromhex(key.split("_")[2])) == 32 for key in keys)
    assert len({key.split("_")[2] for key in keys}) == len({key.split("_")[1] for key in keys}) == 20


def test_only_the_hash_is_stored(empty):
    key = add_key(empty, "ann", "review")
    stored = b"".join(path.read_bytes() for path in empty.folder.iterdir())
    assert key.split("_")[2].encode() not in stored
    assert sha256(key.encode()).hexdigest().encode() in stored
    assert {path.name for path in empty.folder.iterdir()} <= {"records.db", "records.db-wal", "records.db-shm"}


def test_keys_added_concurrently_are_all_stored(empty):
    threads = [threading.Thread(target=add_key, args=(empty, f"k{n}", "read")) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_keys(empty)) == 16


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "a\n", "ä"])
def test_invalid_names_are_refused(empty, name):
    with pytest.raises(KeysError, match="cannot name a key; expected up to 64"):
        add_key(empty, name, "read")
    assert not empty.folder.exists()


def test_keys_that_cannot_be_added_or_removed_are_reported(empty):
    add_key(empty, "ann", "read")
    with pytest.raises(KeysError, match="a key named 'ann' already"):
        add_key(empty, "ann", "admin")
    with pytest.raises(KeysError, match="'root' is not a valid scope; expected one of read, review, admin"):
        add_key(empty, "bob", "root")
    with pytest.raises(KeysError, match="no key is named 'bob'; there are: ann"):
        remove_key(empty, "bob")
    remove_key(empty, "ann")
    with pytest.raises(KeysError, match="there are: none"):
        remove_key(empty, "ann")


def stored_key(**fields):
    return {"id": "a", "name": "n", "scope": "read", "sha256": "0" * 64, "made": ""} | fields


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\xff",
        "[" * 100_000,
        '{"format": 1}',
        '{"format": 2, "keys": []}',
        '{"format": 1, "keys": {}}',
        *(
            json.dumps({"format": 1, "keys": [key]})
            for key in (
                {},
                1,
                stored_key(scope="root"),
                stored_key(sha256=""),
                stored_key(id=["a"]),
                stored_key(name=1),
                stored_key(more=1),
            )
        ),
    ],
)
def test_damaged_keys_are_reported_and_prevent_the_start(empty, text):
    empty.folder.mkdir()
    keys_file(empty).write_text(text, encoding="latin-1")
    for act in (read_keys, create_app, lambda home: add_key(home, "ann", "read"), lambda home: remove_key(home, "ann")):
        with pytest.raises(KeysError, match=r"keys\.json is damaged; restore it from a copy"):
            act(empty)
    assert keys_file(empty).read_text(encoding="latin-1") == text


def test_an_unwritable_home_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CloutError, match="cannot be used"):
        add_key(Home(tmp_path / "file" / "home"), "ann", "read")


@pytest.mark.fast
def test_the_commands_show_a_key_once(clout, empty):
    added = clout(empty, "keys", "add", "ann", "--scope", "review")
    key = added.stdout.strip()
    assert added.returncode == 0
    assert SHAPE.fullmatch(key)
    assert key not in added.stderr
    listed = clout(empty, "keys", "list")
    assert re.search(rf"ann +review +{key.split('_')[1]} +20", listed.stdout)
    (listed_key,) = json.loads(clout(empty, "keys", "list", "--json").stdout)
    assert set(listed_key) == {"name", "scope", "id", "made"}
    assert key.split("_")[2] not in listed.stdout + listed.stderr
    assert clout(empty, "keys", "add", "bob", "--scope", "root").returncode == 2
    assert clout(empty, "keys", "remove", "ann").returncode == 0
    assert "no API keys" in clout(empty, "keys", "list").stderr
    failed = clout(empty, "keys", "remove", "ann")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "error: no key is named 'ann'" in failed.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_other_addresses_are_refused_without_keys(empty, host):
    environment = os.environ | {"CLOUT_HOME": str(empty.folder), "COLUMNS": "200"}
    command = [sys.executable, "-c", CLOUT, "serve", "--host", host, "--port", "0"]
    run = preloaded.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "make one with 'clout keys add NAME --scope read'" in run.stderr
    assert "Listening" not in run.stderr


@pytest.mark.parametrize(("host", "demanded"), [("127.0.0.1", False), ("127.1", False), ("::1", False)])
def test_loopback_needs_no_keys(empty, host, demanded):
    assert authentication.require_keys_off_loopback(empty, host) == demanded


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::ffff:192.0.2.1", "0"])
def test_other_addresses_are_allowed_with_keys(empty, host):
    with pytest.raises(KeysError, match="not a loopback address"):
        authentication.require_keys_off_loopback(empty, host)
    add_key(empty, "ann", "read")
    assert authentication.require_keys_off_loopback(empty, host) is True
    empty.records.write_bytes(b"no database " * 1000)
    with pytest.raises(RecordsError, match="file is not a database"):
        serve(empty, host, 0)


def test_an_unresolvable_host_is_reported(empty):
    with pytest.raises(CloutError, match=r"cannot listen on .*Choose another host"):
        authentication.require_keys_off_loopback(empty, "no such host")


def test_loopback_without_keys_is_open(home, champion):
    client = client_of(home)
    assert client.get("/v1/users/user0001/explanation").status_code == 200
    assert client.get("/docs").status_code == 200


def test_a_guarded_service_without_keys_refuses_all_requests(home, champion):
    client = client_of(home, guarded=True)
    for path in ("/v1/users/user0001/score", "/v1/model", "/metrics", "/nowhere", "/docs/nowhere"):
        assert client.get(path).status_code == client.head(path).status_code == 401
    for path in ("/health", "/ready", "/docs", "/openapi.json", "/docs/start.js"):
        assert client.get(path).status_code == client.head(path).status_code == 200


ASKED = {
    "/v1/users/user0001/score": "read",
    "/v1/model": "read",
    "/v1/catalogue": "read",
    "/metrics": "read",
    "/v1/users/user0001/explanation": "review",
    "/v1/users/user0001/what-if": "review",
    "/v1/users/user0001/change": "review",
}


@pytest.mark.parametrize("scope", ["read", "review", "admin"])
def test_scopes(home, champion, scope):
    key = add_key(home, "ann", scope)
    client = client_of(home)
    for path, needed in ASKED.items():
        answer = client.get(path, headers=bearer(key))
        allowed = ["read", "review", "admin"].index(scope) >= ["read", "review", "admin"].index(needed)
        assert (answer.status_code != 403) == allowed, path
        if not allowed:
            assert answer.headers["content-type"] == "application/problem+json"
            assert f'error="insufficient_scope", scope="{needed}"' in answer.headers["www-authenticate"]
            assert answer.json()["detail"] == f"the key 'ann' has scope {scope}, expected {needed}."
    body = {"users": ["user0001"]}
    assert client.post("/v1/scores", json=body, headers=bearer(key)).status_code == 200
    assert client.post("/v1/scores", json=body).status_code == 401


def test_absent_and_wrong_keys(home, champion):
    key = add_key(home, "ann", "read")
    client = client_of(home)
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    headers_list = [{}, bearer(wrong), bearer(""), {"Authorization": key}, {"Authorization": f"Basic {key}"}]
    headers_list += [{"Authorization": f"Bearer {key} {key}"}, {"Authorization": b"Bearer \xff"}]
    for headers in headers_list:
        answer = client.get("/v1/users/user0001/score", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith('Bearer realm="clout"')
        assert answer.json()["instance"] == "/v1/users/user0001/score"
        assert key not in answer.text
        assert wrong not in answer.text
    twice = [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {wrong}")]
    assert client.get("/v1/model", headers=twice).status_code == 401
    for headers in (bearer(key), {"authorization": f"bearer {key}"}):
        assert client.get("/v1/users/user0001/score", headers=headers).status_code == 200


def test_the_key_is_checked_before_path_and_body(home, champion):
    add_key(home, "ann", "read")
    client = client_of(home)
    assert client.get("/nowhere").status_code == client.get("/health/").status_code == 401
    assert client.request("PATCH", "/v1/model").status_code == 401
    assert client.post("/v1/scores", content="{", headers={"content-type": "application/json"}).status_code == 401


def test_a_running_service_reloads_keys(home, champion):
    client = client_of(home)
    first = "/v1/users/user0001/score"
    assert client.get(first).status_code == 200
    old = add_key(home, "old", "read")
    assert client.get(first).status_code == 401
    assert client.get(first, headers=bearer(old)).status_code == 200
    new = add_key(home, "new", "read")
    assert {client.get(first, headers=bearer(key)).status_code for key in (old, new)} == {200}
    remove_key(home, "old")
    assert client.get(first, headers=bearer(old)).status_code == 401
    assert client.get(first, headers=bearer(new)).status_code == 200
    remove_key(home, "new")
    assert client.get(first).status_code == client.get(first, headers=bearer(new)).status_code == 401


def damage(home):
    remove_records(home)
    home.records.write_bytes(b"no database " * 1000)


def remove_records(home):
    for file in home.folder.glob("records.db*"):
        file.unlink()


@pytest.mark.parametrize("damage_records", [damage, remove_records])
def test_damage_and_loss_keep_the_last_good_keys(home, champion, caplog, damage_records):
    key = add_key(home, "ann", "read")
    client = client_of(home)
    assert client.get("/v1/model", headers=bearer(key)).status_code == 200
    damage_records(home)
    for _ in range(3):
        assert client.get("/v1/model", headers=bearer(key)).status_code == 200
        assert client.get("/v1/model").status_code == 401
    assert caplog.text.count("The service keeps the 1 API keys it has.") == 1
    remove_records(home)
    other = add_key(home, "bob", "read")
    assert client.get("/v1/model", headers=bearer(other)).status_code == 200


def test_unreadable_records_at_the_start_refuse_all_requests(home, champion):
    key = add_key(home, "ann", "read")
    damage(home)
    client = client_of(home)
    for headers in ({}, bearer(key)):
        answer = client.get("/v1/model", headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:clout:problem:no-records")
    assert client.get("/health").status_code == 200
    remove_records(home)
    key = add_key(home, "ann", "read")
    assert client.get("/v1/model", headers=bearer(key)).status_code == 200
    assert client.get("/v1/model").status_code == 401


def test_replicas_share_keys_through_their_database(tmp_path, database, champion):
    one, other = (Home(tmp_path / name, database=database) for name in ("one", "other"))
    client = client_of(other)
    assert client.get("/v1/catalogue").status_code == 200
    key = add_key(one, "ann", "read")
    assert until_answer(client, 401, {}) == 401
    assert client.get("/v1/catalogue", headers=bearer(key)).status_code == 200
    remove_key(other, "ann")
    assert until_answer(client, 401, bearer(key)) == 401
    assert not one.folder.exists()


def until_answer(client, status, headers):
    """Send requests until one has the given status; return the last status."""
    end = time.monotonic() + 20
    while (match := client.get("/v1/catalogue", headers=headers).status_code) != status and time.monotonic() < end:
        time.sleep(0.05)
    return match


def test_an_unreachable_database_refuses_all_requests(tmp_path, champion):
    home = Home(tmp_path, database="postgresql://clout@127.0.0.1:9/none")
    assert client_of(home).get("/v1/catalogue").status_code == 503
    assert authentication.require_keys_off_loopback(home, "0.0.0.0") is True


def test_unchanged_keys_are_not_reloaded(home, monkeypatch):
    add_key(home, "ann", "read")
    keys = KeyCache(home, False)
    monkeypatch.setattr(keys._cached, "_load", lambda _: pytest.fail("read again"))
    assert keys.required()
    opt_out(home, "user0007")
    assert keys.required()


class TestKeysFile:
    """The keys.json of an earlier version is imported."""

    def test_keys_are_imported_once(self, empty):
        empty.folder.mkdir()
        keys_file(empty).write_text(json.dumps(EARLIER))
        keys = read_keys(empty)
        assert {name: find_key(keys, key).name for name, key in EARLIER_KEYS.items()} == {n: n for n in EARLIER_KEYS}
        assert [asdict(key) for key in keys.values()] == EARLIER["keys"]
        assert not keys_file(empty).exists()
        assert json.loads((empty.folder / "keys.json.imported").read_text()) == EARLIER
        remove_key(empty, "boss")
        assert [key.name for key in read_keys(empty).values()] == ["dashboard"]

    @pytest.mark.usefixtures("champion")
    def test_a_service_requires_imported_keys(self, home):
        keys_file(home).write_text(json.dumps(EARLIER))
        client = client_of(home)
        assert client.get("/v1/model").status_code == 401
        assert client.get("/v1/model", headers=bearer(EARLIER_KEYS["dashboard"])).status_code == 200

    def test_a_restored_file_adds_nothing(self, empty):
        empty.folder.mkdir()
        for _ in range(2):
            keys_file(empty).write_text(json.dumps(EARLIER))
            assert len(read_keys(empty)) == 2

    def test_another_key_of_the_same_name_is_refused(self, empty):
        add_key(empty, "boss", "read")
        keys_file(empty).write_text(json.dumps(EARLIER))
        with pytest.raises(KeysError, match=r"different keys of the same name \(boss\); rename those in the file"):
            read_keys(empty)
        assert keys_file(empty).exists()

    @pytest.mark.parametrize("command", [("keys", "remove", "boss"), ("keys", "add", "new", "--scope", "read")])
    def test_commands_import(self, clout, empty, command):
        empty.folder.mkdir()
        keys_file(empty).write_text(json.dumps(EARLIER))
        assert clout(empty, *command).returncode == 0
        names = {key.name for key in read_keys(empty).values()}
        assert names == ({"dashboard"} if "remove" in command else {"dashboard", "boss", "new"})


def test_every_route_requires_a_scope_or_is_listed_as_open(home, champion):
    routes = create_app(home).routes
    assert len(routes) >= 10
    scopes = {}
    for route in routes:
        if isinstance(route, APIRoute):
            needed = [
                tuple(dependency.scopes)
                for dependency in route.dependencies
                if isinstance(dependency.dependency, authentication.RequireScope)
            ]
            scopes |= {(route.path, method): needed for method in route.methods}
    assert max(map(len, scopes.values())) == 1
    without_scope = {path for (path, _), needed in scopes.items() if not needed}
    files = {route.path for route in routes} - {path for path, _ in scopes}
    assert without_scope == authentication.PROBES | {"/sign-in"}
    assert files == docs.OPEN_PATHS | static_files.open_paths()
    assert without_scope | files == authentication.PROBES | OPEN_PATHS


def test_openapi_documents_scheme_scope_and_problems(home, champion):
    document = client_of(home).get("/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            statuses = set(operation["responses"])
            assert ({"401", "403", "429"} <= statuses) == (path not in authentication.PROBES)
            assert {"408", "413", "414", "431", "500"} <= statuses
    assert document["paths"]["/v1/users/{user}/explanation"]["get"]["security"] == [{"key": ["review"]}]


def test_logs_contain_no_secret(home, champion, caplog):
    caplog.set_level(logging.DEBUG)
    client = client_of(home)
    key = add_key(home, "ann", "read")
    read_keys(home)
    wrong = "clout_" + "0" * 12 + "_" + "f" * 64
    for headers in (bearer(key), bearer(wrong), {"Authorization": f"Basic {key}"}):
        client.get("/v1/model", headers=headers)
        client.get("/v1/users/user0001/explanation", headers=headers)
    remove_key(home, "ann")
    client.get("/v1/model", headers=bearer(key))
    assert "API keys are now: ann." in caplog.text
    for secret in (key.split("_")[2], wrong.split("_")[2]):
        assert secret not in caplog.text


def test_a_real_service_accepts_keys_and_prints_no_secret(home):
    key = add_key(home, "ann", "read")
    run = [sys.executable, "-c", CLOUT, "serve", "--port", "0"]
    environment = os.environ | {"CLOUT_HOME": str(home.folder)}
    with preloaded.Popen(run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            address = next(match[1] for line in process.stderr if (match := re.search(r"on (http://[\d.:]+),", line)))
            with httpx.Client(base_url=address, trust_env=False, timeout=20) as client:
                assert client.get("/v1/users/a%2Fb/score").status_code == 401
                answer = client.get("/v1/users/a%2Fb/score", headers=bearer(key))
                assert answer.json()["user"] == "a/b"
                assert "server" not in answer.headers
                assert client.get("/metrics", params={"key": key}).status_code == 401
                other = add_key(home, "bob", "review")
                assert client.get("/v1/users/a%2Fb/explanation", headers=bearer(other)).status_code == 200
        finally:
            process.terminate()
            out, err = process.communicate(timeout=20)
    assert '"route": "/v1/users/{user}/score", "status": 200' in out + err
    assert "a%2Fb" not in out + err
    assert not {secret for secret in (key, other) if secret.split("_")[2] in out + err}


def test_a_start_without_the_database_uses_cached_keys(postgresql, tmp_path, champion):
    home = Home(tmp_path / "replica", database=postgresql.new_database())
    key = add_key(home, "dashboard", "read")
    assert KeyCache(home, guarded=False).required()
    postgresql.stop()
    try:
        keys = KeyCache(home, guarded=False)
        assert keys.required()
        assert keys.find(key).name == "dashboard"
        elsewhere = KeyCache(Home(tmp_path / "new", database=home.database), guarded=False)
        with pytest.raises(RecordsError):
            elsewhere.required()
    finally:
        postgresql.start()
    assert copy_file(home).stat().st_mode & 0o777 == 0o600
