"""`python -m tests.support.boot.cloud DIRECTORY INSTANCE`: all that a machine can reach, in a network of its own.

IMDSv2 at its own address; AWS's APIs and Ollama's releases by TLS at theirs, which the machine's /etc/hosts names.
Simulated: what it was asked is in DIRECTORY/asked.jsonl; it serves the files of DIRECTORY/served, and the parameters in
DIRECTORY/parameters.json. A file takes as long as DIRECTORY/seconds.json says, if that is there. A line on its standard
input is the number of seconds until spot takes the machine back.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from tests.support.aws.imds import Metadata

IMDS = "169.254.169.254"
ADDRESS = "127.1.1.1"
"""Of everything else."""
_SERVICES = ("ec2", "logs", "ssm", "monitoring", "dynamodb")
NAMES = (*(f"{service}.us-east-1.amazonaws.com" for service in _SERVICES), "github.com")


class Cloud:
    """What the handlers of its requests share."""

    def __init__(self, directory: Path) -> None:
        self._served = directory / "served"
        seconds = directory / "seconds.json"
        self._seconds: dict[str, float] = json.loads(seconds.read_text()) if seconds.exists() else {}
        self._parameters: dict[str, str] = json.loads((directory / "parameters.json").read_text())
        self._asked = (directory / "asked.jsonl").open("a", buffering=1)
        self._lock = threading.Lock()

    def note(self, host: str, action: str, values: dict[str, object]) -> None:
        """Write down a request."""
        with self._lock:
            self._asked.write(json.dumps({"at": time.time(), "host": host, "action": action, **values}) + "\n")

    def take_time(self, path: str) -> None:
        """Wait for as long as a file takes."""
        time.sleep(self._seconds.get(path.rpartition("/")[2], 0.0))

    def file(self, path: str) -> bytes | None:
        """Return a file of a release, by the last part of its path."""
        file = self._served / path.rpartition("/")[2]
        return file.read_bytes() if file.is_file() else None

    def answer(self, target: str, asked: dict[str, str]) -> bytes:
        """Answer an AWS API that takes JSON."""
        if target == "AmazonSSM.GetParameter":
            return json.dumps({"Parameter": {"Value": self._parameters[asked["Name"]]}}).encode()
        return b"{}"


def _handler(cloud: Cloud) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._say(200 if cloud.file(self.path) is not None else 404, b"")

        def do_GET(self) -> None:
            cloud.note(self.headers["Host"], "GET", {"path": self.path})
            cloud.take_time(self.path)
            found = cloud.file(self.path)
            self._say(404 if found is None else 200, found or b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential="):
                self._say(403, b"not signed")
                return
            target = self.headers.get("X-Amz-Target")
            asked = json.loads(body) if target else dict(parse_qsl(body))
            cloud.note(self.headers["Host"], target or asked["Action"], {"asked": asked})
            self._say(200, cloud.answer(target, asked) if target else b"<Response/>")

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main(directory: Path, instance: str) -> None:
    """Serve until the standard input ends."""
    for command in (["link", "set", "lo", "up"], ["addr", "add", f"{IMDS}/32", "dev", "lo"]):
        subprocess.run(["ip", *command], check=True)
    facts = {"instance-id": instance, "instance-type": "g4dn.xlarge", "instance-life-cycle": "spot"}
    metadata = Metadata(facts, lambda: None, (IMDS, 80))
    server = ThreadingHTTPServer((ADDRESS, 443), _handler(Cloud(directory)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)  # noqa: T201 - for whoever started it
    for line in sys.stdin:
        metadata.announce(float(line))
    metadata.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
