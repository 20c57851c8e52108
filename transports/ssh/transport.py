"""paramiko's transport, told what to offer, and kept from waiting for itself."""

import errno
import logging
import queue
import struct
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import paramiko
from paramiko.channel import Channel
from paramiko.common import cMSG_CHANNEL_WINDOW_ADJUST, cMSG_GLOBAL_REQUEST
from paramiko.message import Message

from transports.ssh.packets import DataMessage, Packetizer
from transports.ssh.wire import Wire

_DATA: Final = 94  # SSH_MSG_CHANNEL_DATA
WINDOW_SIZE: Final = 8 << 20
_ENDS_WITHIN_S: Final = 0.2
# What it logs is raised as well; without a handler Python would print it to the operator.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Transport(paramiko.Transport):
    """An SSH connection over a wire.

    While keys are exchanged anew, no other message may be sent, and paramiko lets each thread that
    has one wait. Its own thread would wait for a message that it must read itself (for as long as
    30 s, and then the connection ends), so what that thread has to say is left to another one.
    """

    def __init__(self, wire: Wire, url: str) -> None:
        super().__init__(
            wire,  # type: ignore[arg-type]
            default_window_size=WINDOW_SIZE,
            packetizer_class=Packetizer,
        )
        self.wire = wire
        self.url = url
        self.name = "voltar-ssh"
        # held from the look whether a channel is closed until what is meant for it is on its way
        self._order = threading.RLock()
        self._later: queue.SimpleQueue[Message | DataMessage | None] = queue.SimpleQueue()
        self._sender: threading.Thread | None = None

    @property
    def preferred_keys(self) -> Sequence[str]:
        """Host key algorithms as they are set, without certificates, which are not checked."""
        return tuple(self.get_security_options().key_types)

    def take_pubkeys(self, names: Sequence[str]) -> None:
        """Sign with these algorithms only, where a key can be used with several."""
        self._preferred_pubkeys = tuple(names)

    def rekey_after(self, size: int) -> None:
        """Exchange keys anew after so many bytes, if that is sooner than by itself."""
        packetizer = self.packetizer
        packetizer.REKEY_BYTES = min(packetizer.REKEY_BYTES, size)

    def widen(self, channel: Channel, size: int) -> None:
        """Let the server send `size` more bytes on a channel."""
        message = Message()
        message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
        message.add_int(channel.remote_chanid)
        message.add_int(size)
        self._send_user_message(message)

    def ask_whether_alive(self) -> None:
        """Send what every server answers, if only by a refusal; nobody waits for that."""
        message = Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        self._send_user_message(message)

    def send_data(self, channel: Channel, data: memoryview) -> None:
        """Send all of `data` on a channel, as its window opens. Raises OSError.

        Nothing follows the message that closes a channel: OpenSSH ends the connection for that.
        """
        while data:
            with channel.lock:
                size = 0 if channel.closed else channel._wait_for_send_window(len(data))  # type: ignore[attr-defined]
            head = struct.pack(">BII", _DATA, channel.remote_chanid, size)
            with self._order:
                if size == 0 or channel.closed:
                    raise BrokenPipeError(errno.EPIPE, "the command or the link has ended")
                self._send_user_message(DataMessage(head, data[:size]))
            data = data[size:]

    def end_data(self, channel: Channel) -> None:
        """Tell that no more data come on a channel, unless it is closed."""
        with self._order:
            channel.shutdown_write()

    def has_ended(self) -> bool:
        """Whether the connection is over. Its channels see that first: so it gets a moment for it,
        or a link that breaks would be taken for a command that the server ends."""
        self.join(_ENDS_WITHIN_S)
        return not self.is_active()

    def get_exception(self) -> Exception | None:
        """Return what ended the connection, as an error that paramiko's callers expect.

        What makes no sense ends its thread by whatever error that happens to be.
        """
        error = super().get_exception()
        if error is None or isinstance(error, paramiko.SSHException | EOFError | OSError):
            return error
        told = paramiko.SSHException("what it sends makes no sense")
        told.__cause__ = error
        return told

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._later.put(None)

    def _send_user_message(self, data: Message | DataMessage) -> None:
        if threading.current_thread() is not self:
            with self._order:
                super()._send_user_message(data)  # type: ignore[misc]
        elif self._sender is not None or not self._sent_at_once(data):
            self._later.put(data)
            self._start_sender()

    def _sent_at_once(self, message: Message | DataMessage) -> bool:
        with ExitStack() as held:
            for lock in (self._order, self.clear_to_send_lock):
                if not self.clear_to_send.is_set() or not lock.acquire(blocking=False):
                    return False
                held.callback(lock.release)
            self._send_message(message)  # type: ignore[attr-defined]
        return True

    def _start_sender(self) -> None:
        if self._sender is None:
            self._sender = threading.Thread(target=self._send_later, daemon=True, name=self.name)
            self._sender.start()

    def _send_later(self) -> None:
        try:
            while (message := self._later.get()) is not None:
                with self._order:
                    super()._send_user_message(message)  # type: ignore[misc]
        except (OSError, EOFError, paramiko.SSHException):
            self.close()  # the peer cannot go on without it
