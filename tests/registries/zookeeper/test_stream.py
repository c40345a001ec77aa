"""What we rely on inside of kazoo, which is pinned: a new version is tried here first."""

import inspect
from importlib.metadata import version

import kazoo.client
from kazoo.protocol.connection import ConnectionHandler


def test_kazoo_is_the_version_that_was_tried():
    assert version("kazoo") == "2.11.0"


def test_the_methods_that_we_replace_are_called_as_we_expect():
    expected = {
        "_read": ["self", "length", "timeout"],
        "_read_socket": ["self", "read_timeout"],
        "_send_request": ["self", "read_timeout", "connect_timeout"],
        "_read_watch_event": ["self", "buffer", "offset"],
        "_write": ["self", "msg", "timeout"],
    }
    for name, parameters in expected.items():
        assert list(inspect.signature(getattr(ConnectionHandler, name)).parameters) == parameters


def test_the_fields_that_we_touch_are_there():
    client = kazoo.client.KazooClient()
    for name in ("_queue", "_pending", "_stopped", "_session_id", "_session_passwd", "chroot"):
        assert hasattr(client, name)
    for name in ("_xid", "_socket", "_read_sock", "_write_sock", "_socket_error_handling"):
        assert hasattr(client._connection, name)
