"""`python -m tasks.embedded`: start the embedded server."""

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from tasks.embedded.custom import CustomStore
from tasks.embedded.engine import DEFAULT_ENGINE, find_engine
from tasks.embedded.errors import BadRequestError, EngineNotFoundError
from tasks.embedded.guards import LocalHostsOnly
from tasks.embedded.languages import directories_in
from tasks.embedded.models import Store
from tasks.embedded.server import DEFAULT_MAX_QUEUE, build_app, serve
from tasks.embedded.wire import parse_keep_alive

PROGRAM = "python -m tasks.embedded"


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped. Return the exit code: 0 stopped, 1 port taken, 2 wrong arguments."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level="WARNING" if options.quiet else "INFO", format="%(message)s", stream=sys.stderr)
    logging.getLogger("uvicorn").setLevel("WARNING")
    try:
        engine = find_engine(options.engine)
        addresses = {info[4][0] for info in socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)}
    except (EngineNotFoundError, OSError) as error:
        parser.error(str(error))
    if not options.allow_network and not all(ipaddress.ip_address(each).is_loopback for each in addresses):
        parser.error(
            f"{options.host} is not a loopback address, and this server has no authentication: everyone who reaches"
            " the port can read pages, and pull and delete models. Pass --allow-network to open it nevertheless"
        )
    try:
        listener = _listen(options.host, options.port)
    except OSError as error:
        sys.stderr.write(
            f"{PROGRAM}: cannot listen on {options.host}:{options.port}: {os.strerror(error.errno or 0)}\n"
        )
        return 1
    is_default = options.engine == DEFAULT_ENGINE
    store = Store(options.models, directories_in(options.tessdata)) if is_default else CustomStore(options.engine)
    app = build_app(
        store, engine, num_parallel=options.num_parallel, keep_alive=options.keep_alive, max_queue=options.max_queue
    )
    if not options.allow_network:
        app.add_middleware(LocalHostsOnly)
    log = logging.getLogger(__package__)
    log.info("listening on http://%s:%d, %d slots", options.host, listener.getsockname()[1], options.num_parallel)
    # uvicorn stops on SIGTERM and then sends it to itself again: by then it has been obeyed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    serve(listener, app)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Ollama's API over an OCR engine on this machine.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=11435, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--num-parallel", type=_positive, default=os.cpu_count() or 1, help="pages at once (default: one per processor)"
    )
    parser.add_argument(
        "--keep-alive",
        type=_keep_alive,
        default="5m",
        help="time loaded after the last use (default: %(default)s)",
    )
    parser.add_argument(
        "--max-queue",
        type=int,
        default=DEFAULT_MAX_QUEUE,
        help="maximum requests waiting for a load (%(default)s)",
    )
    parser.add_argument("--models", type=Path, help="model directory (default: HEARTH_EMBEDDED_MODELS or the cache)")
    parser.add_argument(
        "--tessdata", default="", metavar="DIRS", help="trained data, separated by : (default: HEARTH_TESSDATA)"
    )
    parser.add_argument("--engine", default=DEFAULT_ENGINE, help="package.module:function (default: %(default)s)")
    parser.add_argument("--allow-network", action="store_true", help="listen beyond loopback, without authentication")
    parser.add_argument("--quiet", action="store_true", help="log warnings only")
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _keep_alive(text: str) -> float:
    try:
        return parse_keep_alive(int(text) if text.lstrip("-").isdigit() else text)
    except BadRequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # asyncio sends small answers without a delay of 40 ms only on sockets that name their protocol;
    # those of socket.create_server do not.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # a page that is being read cannot be interrupted, and would delay the exit
