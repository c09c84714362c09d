"""The errors of requests, with Ollama's status for each.

RequestError
|-- BadRequestError      400  malformed: correct the request
|   |-- InvalidNameError 400  no model can have that name
|   `-- ImageError       400  not a readable image: send another
|-- CloudModelError      403  Ollama's cloud has that model: take one that can be pulled
|-- UnknownModelError    404  pull the model, or correct its name
|-- QueueFullError       503  try again later
|-- OptionError          500  an option has the wrong type: correct it (500 is Ollama's choice)
|-- TemplateError        500  `template` cannot be parsed: correct it (likewise)
`-- FormatError          500  `format` is neither "json" nor a schema: correct it (likewise)
EngineNotFoundError           the engine named on the command line leads to no function
"""


class RequestError(Exception):
    """The base class: a request that gets an error status and message."""

    status = 500


class BadRequestError(RequestError, ValueError):
    """The request is malformed."""

    status = 400


class InvalidNameError(BadRequestError):
    """No model can have that name."""


class ImageError(BadRequestError):
    """The bytes are not a readable image."""


class CloudModelError(RequestError):
    """The model runs only in Ollama's cloud."""

    status = 403


class UnknownModelError(RequestError, LookupError):
    """The model has not been pulled, or there are no weights for it on this machine."""

    status = 404


class QueueFullError(RequestError):
    """Too many requests wait for a load."""

    status = 503


class OptionError(RequestError, ValueError):
    """An option has the wrong type."""


class TemplateError(RequestError, ValueError):
    """`template` cannot be parsed."""


class FormatError(RequestError, ValueError):
    """`format` is neither "json" nor a schema."""


class EngineNotFoundError(ValueError):
    """The name of an engine leads to no function."""
