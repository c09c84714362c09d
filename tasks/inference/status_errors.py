"""Errors of HTTP statuses that mean the same on every server."""

from collections.abc import Collection

from tasks.core.errors import HearthError, ServerError, TransientError


def status_error(
    url: str, status: int, words: str, passing: Collection[int], *, authorized: bool
) -> HearthError | None:
    """Return the error of a status in `passing`, or of one that refuses access; None for any other.

    `words` is the server's message; `authorized` is whether the request carried a token.
    """
    if status in passing:
        return TransientError(f"{url} cannot answer just now: {words}.")
    if status in {401, 403}:
        cause = "the token is not the server's" if authorized else "Hearth sent no token (HEARTH_URL_TOKEN)"
        return ServerError(f"{url} refuses access ({words}): {cause}; check the address.")
    return None
