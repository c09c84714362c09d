"""The fields of requests, each with the Go type to which Ollama decodes it."""

from collections.abc import Mapping

TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "string"),
    "bool": (bool, "bool"),
    "images": (list, "[]api.ImageData"),
    "messages": (list, "[]api.Message"),
    "tools": (list, "api.Tools"),
    "openai_messages": (list, "[]openai.Message"),
    "stream_options": (dict, "openai.StreamOptions"),
    "response_format": (dict, "openai.ResponseFormat"),
    "integers": (list, "[]int"),
    "integer": (int, "int"),
    "number": ((int, float), "float64"),
    "files": (dict, "map[string]string"),
    "options": (dict, "map[string]interface {}"),
    "any": (object, ""),
}


def _fields(**names: str) -> dict[str, str]:
    """Return the type of each field; an argument lists the fields of one type."""
    return {name: kind for kind, listed in names.items() for name in listed.split()}


COMMON_FIELDS = _fields(
    string="model",
    bool="stream truncate shift logprobs",
    integer="top_logprobs",
    options="options",
    any="format keep_alive think",
)
GENERATE_FIELDS = COMMON_FIELDS | _fields(
    string="prompt suffix system template", bool="raw", integers="context", images="images"
)
CHAT_FIELDS = COMMON_FIELDS | _fields(messages="messages", tools="tools")
COMPLETION_FIELDS = _fields(
    string="model reasoning_effort",
    bool="stream logprobs",
    integer="max_tokens seed top_logprobs",
    number="temperature top_p frequency_penalty presence_penalty",
    openai_messages="messages",
    stream_options="stream_options",
    response_format="response_format",
    tools="tools",
    any="stop",
)
MESSAGE_FIELDS = _fields(string="role content", images="images")
MODEL_FIELDS = _fields(string="model name", bool="stream insecure verbose")
COPY_FIELDS = _fields(string="source destination")
CREATE_FIELDS = MODEL_FIELDS | _fields(
    string="from template system quantize",
    files="files adapters",
    options="parameters",
    messages="messages",
    any="license",
)
EMBED_FIELDS = _fields(string="model", bool="truncate", options="options", any="input keep_alive")
EMBEDDINGS_FIELDS = _fields(string="model prompt", options="options", any="keep_alive")
