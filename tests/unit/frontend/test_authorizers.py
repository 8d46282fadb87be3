"""The authorizers: what they let in, their key file, rotation, and tokens that an operator sets."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_time import FakeTime

from stoker.core.ports import TokenScope
from stoker.errors import (
    ConfigurationError,
    ResourceNotFound,
    StartupError,
    TokenNotReplaced,
    TokenRejected,
    TokensAreFixed,
)
from stoker.frontend import key_file
from stoker.frontend.auth import FixedTokens, OpenAuthorizer, TokenAuthorizer

INFERENCE, MANAGEMENT = TokenScope.INFERENCE, TokenScope.MANAGEMENT
AUTHORIZATION = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"
AUTHENTICATION = AUTHORIZATION.replace("Authorization", "Authentication")


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def authorizer(tmp_path: Path, clock: FakeTime) -> TokenAuthorizer:
    return TokenAuthorizer(folder=tmp_path, lifetime_s=60.0, monotonic=clock, wall=lambda: clock.now + 1e9)


def keys_in(folder: Path) -> dict[str, str]:
    content: dict[str, Any] = json.loads((folder / "key_file.json").read_text())
    return {name: member["key"] for name, member in content.items()}


def bearer(key: str) -> str:
    return f"Bearer {key}"


def opens(authorizer: Any, scope: TokenScope, key: str) -> bool:
    try:
        authorizer.check(scope, bearer(key))
    except TokenRejected as error:
        assert error.message == AUTHORIZATION
        return False
    return True


# ------------------------------------------------------------------------------------------------ checks


def test_each_key_opens_its_own_api_and_nothing_else(authorizer: TokenAuthorizer, tmp_path: Path) -> None:
    with authorizer.published():
        keys = keys_in(tmp_path)
        opened = {(kind, scope) for kind in keys for scope in TokenScope if opens(authorizer, scope, keys[kind])}
    assert opened == {("inference", INFERENCE), ("management", MANAGEMENT)}


def test_an_expired_key_opens_nothing_until_it_is_replaced(
    authorizer: TokenAuthorizer, tmp_path: Path, clock: FakeTime
) -> None:
    with authorizer.published():
        keys = keys_in(tmp_path)
        clock.now += 60.0
        assert not opens(authorizer, INFERENCE, keys["inference"])
        authorizer.rotate("inference", bearer(keys["API"]))
        assert opens(authorizer, INFERENCE, keys_in(tmp_path)["inference"])
        assert not opens(authorizer, MANAGEMENT, keys["management"])


def test_where_tokens_are_off_everyone_is_let_in_and_nothing_is_replaced() -> None:
    for scope in TokenScope:
        OpenAuthorizer().check(scope, None)
    with pytest.raises(ResourceNotFound):
        OpenAuthorizer().rotate("inference", "Bearer x")


# ---------------------------------------------------------------------------------------------- rotation


def test_a_new_key_ends_the_old_one_at_once_and_is_in_the_file(authorizer: TokenAuthorizer, tmp_path: Path) -> None:
    with authorizer.published():
        old = keys_in(tmp_path)
        authorizer.rotate("management", bearer(old["API"]))
        new = keys_in(tmp_path)
        assert new["management"] != old["management"]
        assert {**new, "management": ""} == {**old, "management": ""}
        assert opens(authorizer, MANAGEMENT, new["management"])
        assert not opens(authorizer, MANAGEMENT, old["management"])


@pytest.mark.parametrize("kind", ["management", "inference"])
@pytest.mark.parametrize("shown", ["management", "inference", "nobody's", None])
def test_only_the_api_key_replaces_keys(
    authorizer: TokenAuthorizer, tmp_path: Path, kind: str, shown: str | None
) -> None:
    with authorizer.published():
        keys = keys_in(tmp_path)
        with pytest.raises(TokenRejected) as caught:
            authorizer.rotate(kind, None if shown is None else bearer(keys.get(shown, shown)))
        assert caught.value.message == AUTHENTICATION
        assert keys_in(tmp_path) == keys


@pytest.mark.parametrize("kind", [None, "", "API", "api", "Management", "inference "])
def test_only_the_two_kinds_can_be_replaced(authorizer: TokenAuthorizer, tmp_path: Path, kind: str | None) -> None:
    with authorizer.published():
        with pytest.raises(TokenRejected) as caught:
            authorizer.rotate(kind, bearer(keys_in(tmp_path)["API"]))
        assert caught.value.message == AUTHENTICATION


def test_rotations_at_once_leave_one_valid_key_of_each_kind_which_is_the_files(
    authorizer: TokenAuthorizer, tmp_path: Path
) -> None:
    """Readers meanwhile always find a whole file, and each key of it was valid or is."""
    broken: list[str] = []
    done = threading.Event()
    with authorizer.published():
        api = keys_in(tmp_path)["API"]
        seen: list[dict[str, str]] = []

        def rotate(kind: str) -> None:
            for _ in range(25):
                authorizer.rotate(kind, bearer(api))

        def read() -> None:
            while not done.is_set():
                try:
                    seen.append(keys_in(tmp_path))
                except ValueError as error:
                    broken.append(str(error))

        reader = threading.Thread(target=read)
        reader.start()
        writers = [threading.Thread(target=rotate, args=(kind,)) for kind in ("management", "inference") * 2]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reader.join()
        last = keys_in(tmp_path)
        assert not broken
        assert opens(authorizer, INFERENCE, last["inference"])
        assert opens(authorizer, MANAGEMENT, last["management"])
        outdated = {keys["inference"] for keys in seen} - {last["inference"]}
        assert not any(opens(authorizer, INFERENCE, key) for key in outdated)
    assert not list(tmp_path.iterdir())


def test_a_key_that_cannot_be_written_down_replaces_nothing(
    authorizer: TokenAuthorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with authorizer.published():
        keys = keys_in(tmp_path)
        monkeypatch.setattr(key_file.os, "fsync", full)
        with pytest.raises(TokenNotReplaced) as caught:
            authorizer.rotate("inference", bearer(keys["API"]))
        monkeypatch.undo()
        assert str(tmp_path) not in caught.value.message
        assert keys_in(tmp_path) == keys
        assert opens(authorizer, INFERENCE, keys["inference"])
        assert list(tmp_path.iterdir()) == [tmp_path / "key_file.json"]
    assert "No space left on device" in caplog.text


# ------------------------------------------------------------------------------------------ the key file


def test_the_file_is_its_owners_alone_and_gone_afterwards(authorizer: TokenAuthorizer, tmp_path: Path) -> None:
    old_umask = os.umask(0)
    try:
        with authorizer.published() as path:
            assert path == tmp_path / "key_file.json"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            authorizer.rotate("inference", bearer(keys_in(tmp_path)["API"]))
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old_umask)
    assert not path.exists()


def test_a_link_in_its_place_is_replaced_and_not_followed(authorizer: TokenAuthorizer, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "key_file.json").symlink_to(victim)
    with authorizer.published() as path:
        assert not path.is_symlink()
    assert victim.read_text() == "precious"


def test_an_old_file_that_others_could_read_is_replaced(authorizer: TokenAuthorizer, tmp_path: Path) -> None:
    (tmp_path / "key_file.json").write_text("{}")
    (tmp_path / "key_file.json").chmod(0o644)
    with authorizer.published() as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_of_a_server_that_came_later_is_left_alone(authorizer: TokenAuthorizer, tmp_path: Path) -> None:
    with authorizer.published(), TokenAuthorizer(folder=tmp_path, lifetime_s=1.0).published():
        later = keys_in(tmp_path)
        authorizer._withdraw()
        assert keys_in(tmp_path) == later


def test_the_file_of_another_server_is_left_alone_though_it_got_the_old_inode(tmp_path: Path) -> None:
    """File systems give the number of a removed file to the next one."""
    first = key_file.KeyFile(tmp_path)
    first.write("first")
    first.path.write_text("second")
    first.remove()
    assert first.path.read_text() == "second"


def test_a_file_that_was_removed_meanwhile_is_no_trouble(authorizer: TokenAuthorizer) -> None:
    with authorizer.published() as path:
        path.unlink()
    assert not path.exists()
    with authorizer.published():
        assert path.exists()


def test_a_server_whose_keys_nobody_could_read_does_not_start(tmp_path: Path) -> None:
    authorizer = TokenAuthorizer(folder=tmp_path / "missing", lifetime_s=1.0)
    with pytest.raises(StartupError, match=r"Cannot write .*key_file\.json: No such file.*token_file"):
        authorizer.published().__enter__()


def test_where_others_cannot_be_kept_out_no_file_is_left(
    authorizer: TokenAuthorizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    def readable_by_all(fd: int) -> os.stat_result:
        status = list(real(fd))
        status[0] |= 0o044
        return os.stat_result(status)

    monkeypatch.setattr(key_file.os, "fstat", readable_by_all)
    with pytest.raises(StartupError, match="cannot keep other users from reading it"):
        authorizer.published().__enter__()
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def test_nothing_that_is_logged_holds_a_key(
    authorizer: TokenAuthorizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with authorizer.published():
        before = keys_in(tmp_path)
        authorizer.rotate("inference", bearer(before["API"]))
        after = keys_in(tmp_path)
    assert "inference token was replaced" in caplog.text
    assert not [key for key in {*before.values(), *after.values()} if key in caplog.text]


# ------------------------------------------------------------------------------------------ fixed tokens


def fixed(source: Path | None = None, **given: str | None) -> FixedTokens:
    tokens = FixedTokens(given={TokenScope(kind): word for kind, word in given.items()}, source=source)
    tokens.load()
    return tokens


def test_tokens_by_value_open_their_apis() -> None:
    tokens = fixed(inference="i" * 30, management="m" * 30)
    assert opens(tokens, INFERENCE, "i" * 30)
    assert opens(tokens, MANAGEMENT, "m" * 30)
    assert not opens(tokens, INFERENCE, "m" * 30)
    assert tokens.paths == []


def test_an_api_without_a_token_is_closed_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    tokens = fixed(inference="i" * 30, management=None)
    assert not opens(tokens, MANAGEMENT, "")
    assert not opens(tokens, MANAGEMENT, "i" * 30)
    with pytest.raises(TokenRejected):
        tokens.check(MANAGEMENT, None)
    assert "nobody can use the management API" in caplog.text


def test_a_token_that_can_be_guessed_is_mentioned_but_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    fixed(inference="hunter2", management="m" * 30)
    assert "The inference token is short enough to be guessed" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_request_cannot_replace_fixed_tokens() -> None:
    with pytest.raises(TokensAreFixed, match="set by its operator"):
        fixed(inference="i" * 30).rotate("inference", "Bearer x")


def test_tokens_come_from_a_folder_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "inference").write_text("i" * 30 + "\n")
    (tmp_path / "management").write_text("m" * 30)
    tokens = fixed(tmp_path)
    assert opens(tokens, INFERENCE, "i" * 30)
    assert opens(tokens, MANAGEMENT, "m" * 30)


def test_a_value_wins_over_the_file(tmp_path: Path) -> None:
    source = tmp_path / "tokens.json"
    source.write_text('{"inference": "from-the-file", "management": "also-from-the-file"}')
    tokens = fixed(source, inference="from-the-environment")
    assert opens(tokens, INFERENCE, "from-the-environment")
    assert not opens(tokens, INFERENCE, "from-the-file")
    assert opens(tokens, MANAGEMENT, "also-from-the-file")


def test_a_file_that_changes_is_read_again_and_the_old_token_ends(tmp_path: Path) -> None:
    source = tmp_path / "tokens.json"
    source.write_text('{"inference": "first"}')
    tokens = fixed(source)
    source.write_text('{"inference": "second"}')
    tokens.reload()
    assert opens(tokens, INFERENCE, "second")
    assert not opens(tokens, INFERENCE, "first")


@pytest.mark.parametrize("content", [b"", b"{", b'{"inference": "top secret"}', b"\xff\xfe", b" " * 70_000, None])
def test_a_file_that_became_useless_keeps_the_old_tokens(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "tokens.json"
    source.write_text('{"inference": "first"}')
    tokens = fixed(source)
    source.unlink() if content is None else source.write_bytes(content)
    tokens.reload()
    assert opens(tokens, INFERENCE, "first")
    assert "the old tokens stay valid" in caplog.text
    assert "top secret" not in caplog.text


@pytest.mark.parametrize("content", [None, b"", b'{"inference": "top secret"}'])
def test_a_token_file_that_cannot_be_used_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    source = tmp_path / "tokens.json"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"token_file: .*tokens\.json: ") as caught:
        fixed(source)
    assert "top secret" not in caught.value.message
