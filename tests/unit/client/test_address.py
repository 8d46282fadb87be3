"""Addresses as people write them."""

from __future__ import annotations

import pytest

from stoker.client import AddressError, Api, Endpoint
from stoker.client.address import Target, parse

UNDERSTOOD = {
    "127.0.0.1:7070": Target("127.0.0.1:7070", host="127.0.0.1", port=7070),
    " host:1 ": Target("host:1", host="host", port=1),
    "host": Target("host:7070", host="host", port=7070),
    "host:": Target("host:7070", host="host", port=7070),
    ":81": Target("127.0.0.1:81", host="127.0.0.1", port=81),
    "7171": Target("127.0.0.1:7171", host="127.0.0.1", port=7171),
    "models.example.com:443": Target("models.example.com:443", host="models.example.com", port=443),
    "http://host:7070": Target("host:7070", host="host", port=7070),
    "HTTP://host:7070/": Target("host:7070", host="host", port=7070),
    "http://host": Target("host:7070", host="host", port=7070),
    "grpc://host:5": Target("host:5", host="host", port=5),
    "tcp://host:5": Target("host:5", host="host", port=5),
    "https://host:5": Target("host:5", True, host="host", port=5),
    "grpcs://[::1]:5/": Target("[::1]:5", True, host="::1", port=5),
    "dns:///host:5": Target("host:5", host="host", port=5),
    "dns:host": Target("host:7070", host="host", port=7070),
    "dns://8.8.8.8/host:5": Target("dns://8.8.8.8/host:5"),
    "ipv4:1.2.3.4:5": Target("1.2.3.4:5", host="1.2.3.4", port=5),
    "ipv6:[::1]:5": Target("[::1]:5", host="::1", port=5),
    "[::1]:5": Target("[::1]:5", host="::1", port=5),
    "[::1]": Target("[::1]:7070", host="::1", port=7070),
    "::1": Target("[::1]:7070", host="::1", port=7070),
    "[fe80::1%eth0]:5": Target("[fe80::1%eth0]:5", host="fe80::1%eth0", port=5),
    "unix:/run/s.sock": Target("unix:/run/s.sock", path="/run/s.sock"),
    "unix:///run/s.sock": Target("unix:/run/s.sock", path="/run/s.sock"),
    "unix:s.sock": Target("unix:s.sock", path="s.sock"),
    "unix-abstract:name": Target("unix-abstract:name", path="\0name"),
}

REFUSED = {
    "": "'' is not an address",
    "  ": "is not an address",
    "a b": "is not an address",
    "host:seven": "'seven' in 'host:seven' is not a port",
    "host:0": "is not a port",
    "host:65536": "is not a port",
    "host:" + "9" * 5000: "is not a port",
    "70700": "is not a port",
    "[::1": "is not an address",
    "1:2:3": "'2:3' in '1:2:3' is not a port",
    "htp://host:1": "Did you mean http://?",
    "ftp://host:1": "'ftp://' is not understood",
    "http://host:8080/predictions/m": "give 'host:8080' without '/predictions/m'",
    "unix:": "has no path",
    "host\x1b[31m:1": "is not an address",
}


@pytest.mark.parametrize("text", UNDERSTOOD)
def test_an_address_is_understood(text: str) -> None:
    assert parse(text, 7070) == UNDERSTOOD[text]


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_means_nothing_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text, 7070)
    message = str(caught.value)
    assert REFUSED[text] in message
    assert message.isprintable() and len(message) < 300


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(AddressError) as caught:
        parse("https://me:secret@host:1", 7070)
    assert "secret" not in str(caught.value)


def test_each_api_has_its_own_default_port() -> None:
    endpoint = Endpoint(inference="host", management="https://host")
    assert endpoint.target(Api.INFERENCE).text == "host:7070"
    assert endpoint.target(Api.MANAGEMENT).text == "host:7071"
    assert not endpoint.uses_tls(Api.INFERENCE) and endpoint.uses_tls(Api.MANAGEMENT)
