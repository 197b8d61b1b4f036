"""Who is let in: laws of rates and passes first, then each thing a stranger may try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.gate import PASS_S, TICKET_S, Denied, Gate, Rate, host_name
from tests.fakes import Clock


@given(
    waits=st.lists(st.floats(0, 30), max_size=80),
    count=st.integers(1, 10),
    seconds=st.floats(1, 120),
)
def test_no_address_ever_gets_more_than_its_rate(waits, count, seconds):
    clock = Clock()
    rate, admitted = Rate(count, seconds, clock.now), []
    for wait in waits:
        clock.sleep(wait)
        try:
            rate.check("a")
            admitted.append(clock.t)
        except Denied:
            continue
    for index, t in enumerate(admitted):
        within = [u for u in admitted[index:] if u - t <= seconds]
        assert len(within) <= 2 * count


def test_one_flood_does_not_slow_others_down():
    rate = Rate(2, 60, Clock().now)
    for _ in range(2):
        rate.check("a")
    with pytest.raises(Denied) as caught:
        rate.check("a")
    assert (caught.value.status, caught.value.retry_after) == (429, 30)
    rate.check("b")


def bearer(given):
    return {"Authorization": f"Bearer {given}"}


def test_a_pass_opens_for_an_hour_and_a_ticket_once():
    clock = Clock(1000.0)
    gate = Gate("secret", clock.now)
    got, ticket = gate.login("secret"), gate.ticket()
    gate.check_pass(bearer(got))
    gate.check_pass(bearer("secret"))
    gate.check_ticket(ticket)
    with pytest.raises(Denied, match="not valid"):
        gate.check_ticket(ticket)
    late = gate.ticket()
    clock.sleep(TICKET_S + 1)
    with pytest.raises(Denied, match="not valid"):
        gate.check_ticket(late)
    clock.sleep(PASS_S)
    with pytest.raises(Denied, match="needs its token"):
        gate.check_pass(bearer(got))


@pytest.mark.parametrize("given", ["", "x", "secre", "secret ", "sécret", "a.b.c.d", ".", "." * 50])
def test_what_is_not_ours_opens_nothing(given):
    gate = Gate("secret", Clock().now)
    other = Gate("secret", Clock().now)
    for bad in (given, gate.ticket(), other.login("secret"), gate.login("secret") + "0"):
        with pytest.raises(Denied) as caught:
            gate.check_pass(bearer(bad))
        assert caught.value.status == 401
    for bad in (given, gate.login("secret"), other.ticket()):
        with pytest.raises(Denied):
            gate.check_ticket(bad)
    for bad in (given, None, 7, ["secret"]):
        with pytest.raises(Denied):
            gate.login(bad)
    with pytest.raises(Denied):
        gate.check_pass({})


def test_on_loopback_no_token_is_needed_but_the_page_must_be_ours():
    gate = Gate(None, Clock().now)
    gate.check_pass({})
    for host in ("localhost:8080", "127.0.0.1", "[::1]:9"):
        gate.check_origin({"Host": host})
        gate.check_origin({"Host": host, "Origin": f"http://{host}"})
    for headers in (
        {"Host": "evil.example:8080"},  # a name of theirs that leads to us (DNS rebinding)
        {},
        {"Host": "localhost:8080", "Origin": "http://evil.example"},
        {"Host": "localhost:8080", "Origin": "http://localhost:9090"},
        {"Host": "localhost:8080", "Origin": "null"},
    ):
        with pytest.raises(Denied) as caught:
            gate.check_origin(headers)
        assert caught.value.status == 403


def test_elsewhere_any_name_of_ours_will_do_but_not_another_page():
    gate = Gate("secret", Clock().now)
    gate.check_origin({"Host": "cantar.example", "Origin": "https://cantar.example"})
    with pytest.raises(Denied):
        gate.check_origin({"Host": "cantar.example", "Origin": "https://evil.example"})


@given(st.text())
def test_any_host_has_a_name_or_none(host):
    assert isinstance(host_name(host), str)
