"""The service by which an instance or a container of Amazon's learns who it is.

with Metadata(access_key, secret_key, token) as service:
    AWS_METADATA_ENDPOINT=service.url                                  an instance (IMDSv2)
    AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{service.url}/container"      a container (EKS, ECS)
"""

import json
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from tests.testbed.gate import Listening

SESSION = "session-of-an-instance"
ROLES = "/latest/meta-data/iam/security-credentials/"


class Handler(BaseHTTPRequestHandler):
    """One connection from a client; an instance shows the token it was given, a container its
    own."""

    protocol_version = "HTTP/1.1"
    keys: ClassVar[dict[str, str]]
    authorization: ClassVar[str]

    def do_PUT(self) -> None:
        """Begin a session."""
        lasts = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        known = self.path == "/latest/api/token" and lasts
        self.reply(200 if known else 400, SESSION)

    def do_GET(self) -> None:
        """Tell the name of the role, or its keys."""
        if self.path == "/container":
            allowed = self.headers.get("Authorization") == self.authorization
        else:
            allowed = self.headers.get("X-aws-ec2-metadata-token") == SESSION
        if not allowed:
            self.reply(401, "")
        elif self.path == ROLES:
            self.reply(200, "role")
        else:
            now = datetime.now(UTC)
            ends = (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            kind = {"Code": "Success", "Type": "AWS-HMAC", "RoleArn": "arn:aws:iam::1:role/role"}
            times = {"Expiration": ends, "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
            self.reply(200, json.dumps(self.keys | kind | times))

    def reply(self, status: int, text: str) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Metadata(Listening):
    """Gives keys to those who ask as Amazon documents it."""

    def __init__(self, access_key: str, secret_key: str, token: str, *, authorization: str) -> None:
        keys = {"AccessKeyId": access_key, "SecretAccessKey": secret_key, "Token": token}
        super().__init__(type("Told", (Handler,), {"keys": keys, "authorization": authorization}))
        self.url = f"http://127.0.0.1:{self.port}"
