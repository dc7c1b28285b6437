"""The address that a service listens on."""

import socket

from features.errors import CloutError


def listening(host: str, port: int) -> socket.socket:
    """Listen; port 0 lets the system choose one.

    Raises
    ------
    CloutError : the address is taken, or not of this machine

    """
    if not 0 <= port < 65_536:
        raise CloutError(f"cannot listen on {host} port {port}: ports are numbered 0 to 65535.")
    try:
        made = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise CloutError(f"cannot listen on {host} port {port}: {error}. Choose another host or port.") from error
    # Taken up anew it knows to be TCP, without which asyncio leaves Nagle's delay on: 40 ms on each kept-alive answer.
    return socket.socket(fileno=made.detach())


def url(host: str, listening: socket.socket) -> str:
    """Return where a service that listens is reached."""
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{listening.getsockname()[1]}"
