"""Instance metadata as a machine sees it, one stub each.

Simulated, after the EC2 User Guide (Use IMDSv2; Instance metadata categories; Spot Instance interruption notices).
POST /power-off is ours: it is what a guest's power-off is to EC2.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.aws.wire import REGION

ROLE = "hearth-machine"
TOKEN = "AQAEALtoken=="
CREDENTIALS = {
    "Code": "Success",
    "Type": "AWS-HMAC",
    "AccessKeyId": "ASIAHEARTHMACHINE",
    "SecretAccessKey": "secret",
    "Token": "session-token",
    "Expiration": "2099-01-01T00:00:00Z",
}


class Metadata:
    """A machine's metadata service.

    Attributes:
        url: its address.
        broken: answer 500 to everything.
        asked: the paths that were asked for.
    """

    def __init__(
        self, facts: dict[str, str], power_off: Callable[[], None], address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.broken = False
        self.asked: list[str] = []
        self.power_off = power_off
        self._texts = {
            **facts,
            "placement/region": REGION,
            "iam/security-credentials/": ROLE,
            f"iam/security-credentials/{ROLE}": json.dumps(CREDENTIALS),
        }
        self._server = ThreadingHTTPServer(address, self._handler())
        self.url = f"http://{address[0]}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def announce(self, seconds: float) -> datetime:
        """An interruption in so many seconds; gives the time that is announced, which has no fractions."""
        when = datetime.now(UTC) + timedelta(seconds=seconds)
        text = f"{when:%Y-%m-%dT%H:%M:%SZ}"
        self._texts["spot/instance-action"] = json.dumps({"action": "terminate", "time": text})
        self._texts["spot/termination-time"] = text
        return when.replace(microsecond=0)

    def recommend(self) -> None:
        """A rebalance recommendation, which often comes earlier."""
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._texts["events/recommendations/rebalance"] = json.dumps({"noticeTime": now})

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def get(self, path: str, token: str | None) -> tuple[int, str]:
        self.asked.append(path)
        if self.broken:
            return 500, ""
        if token != TOKEN:
            return 401, ""
        text = self._texts.get(path.removeprefix("/latest/meta-data/"))
        return (200, text) if text is not None else (404, "")

    def put(self, path: str, lifetime: str | None) -> tuple[int, str]:
        if self.broken:
            return 500, ""
        return (200, TOKEN) if path == "/latest/api/token" and lifetime else (400, "")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        metadata = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(*metadata.get(self.path, self.headers.get("X-aws-ec2-metadata-token")))

            def do_PUT(self) -> None:
                self._say(*metadata.put(self.path, self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")))

            def do_POST(self) -> None:
                self._say(200, "")
                metadata.power_off()

            def _say(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler
