"""Blobs of bytes over a local socket, and who is at the other end. What comes is Flower's protobuf, never a pickle."""

import os
import socket
import struct

LENGTH = struct.Struct("!Q")
MAX_BLOB_BYTES = 2**31 - 1  # protobuf's own limit
_PEER = struct.Struct("3i")  # pid, uid, gid: `struct ucred` of unix(7)


def send(connection: socket.socket, blob: bytes) -> None:
    """Send one blob with its length before it."""
    connection.sendall(LENGTH.pack(len(blob)))
    connection.sendall(blob)


def receive(connection: socket.socket) -> bytes:
    """Return the next blob. Raises: EOFError where the other side ends early, ValueError for an impossible length."""
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    if length > MAX_BLOB_BYTES:
        raise ValueError(f"a blob of {length} bytes is announced; at most {MAX_BLOB_BYTES} are taken")
    return bytes(_exactly(connection, length))


def peer(connection: socket.socket) -> tuple[int, int]:
    """Return process id and user id of the other end, as the kernel knows them. Linux only."""
    pid, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return pid, uid


def same_user(connection: socket.socket) -> bool:
    """Return whether the other end is a process of this process's user; root is nobody special here."""
    return peer(connection)[1] == os.geteuid()


def _exactly(connection: socket.socket, count: int) -> bytearray:
    blob = bytearray(count)
    left = memoryview(blob)
    while left:
        received = connection.recv_into(left)
        if not received:
            raise EOFError("the other side has closed the connection")
        left = left[received:]
    return blob
