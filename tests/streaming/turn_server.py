"""A TURN server that gives every known user a relay and nothing else, for tests."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aioice import stun

REALM, NONCE = "cantar", b"once"


@contextmanager
def turn_server(user: str, password: str) -> Iterator[int]:
    """Serve on a UDP port of this machine; yields the port."""
    key = hashlib.md5(f"{user}:{REALM}:{password}".encode()).digest()
    over = threading.Event()

    def answer(data: bytes, place: tuple[str, int]) -> stun.Message:
        request = stun.parse_message(data)
        reply = stun.Message(request.message_method, stun.Class.RESPONSE, request.transaction_id)
        if request.message_method == stun.Method.BINDING:
            reply.attributes["XOR-MAPPED-ADDRESS"] = place
            return reply
        try:
            assert request.attributes["USERNAME"] == user
            assert request.check_message_integrity(key)
        except (AssertionError, KeyError):
            reply.message_class = stun.Class.ERROR
            reply.attributes["ERROR-CODE"] = (401, "Unauthorized")
            reply.attributes["NONCE"], reply.attributes["REALM"] = NONCE, REALM
            return reply
        if request.message_method == stun.Method.ALLOCATE:
            reply.attributes["XOR-RELAYED-ADDRESS"] = ("127.0.0.1", 50000)
            reply.attributes["XOR-MAPPED-ADDRESS"] = place
            reply.attributes["LIFETIME"] = 600
        reply.add_message_integrity(key)
        return reply

    def serve() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                data, place = ear.recvfrom(2048)
                ear.sendto(bytes(answer(data, place)), place)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ear.getsockname()[1]
        finally:
            over.set()
            thread.join()
