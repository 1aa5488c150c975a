"""Ports that are kept for servers that do not listen yet."""

import socket

import pytest

from redis_manager_fastapi.testing.ports import LOOPBACK, ReservedPort, bind


def test_two_reservations_never_share_a_port() -> None:
    reserved = ReservedPort()
    try:
        with pytest.raises(OSError, match="in use"):
            bind(reserved.port)
    finally:
        reserved.close()


def test_a_server_may_listen_on_its_reserved_port_again_and_again() -> None:
    reserved = ReservedPort()
    try:
        for _ in range(2):
            address = LOOPBACK, reserved.port
            with socket.create_server(address) as server, socket.create_connection(address):
                server.accept()[0].close()
    finally:
        reserved.close()
