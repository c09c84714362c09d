"""The fields of requests, each with the Go type that Ollama decodes it to."""

from collections.abc import Mapping

TYPES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "string"),
    "bool": (bool, "bool"),
    "strings": (list, "[]string"),
    "images": (list, "[]api.ImageData"),
    "messages": (list, "[]api.Message"),
    "tools": (list, "api.Tools"),
    "openai messages": (list, "[]openai.Message"),
    "stream options": (dict, "openai.StreamOptions"),
    "response format": (dict, "openai.ResponseFormat"),
    "integers": (list, "[]int"),
    "integer": (int, "int"),
    "number": ((int, float), "float64"),
    "files": (dict, "map[string]string"),
    "options": (dict, "map[string]interface {}"),
    "any": (object, ""),
}
COMMON_FIELDS = {
    "model": "string",
    "stream": "bool",
    "format": "any",
    "keep_alive": "any",
    "options": "options",
    "think": "any",
    "truncate": "bool",
    "shift": "bool",
    "logprobs": "bool",
    "top_logprobs": "integer",
}
GENERATE_FIELDS = COMMON_FIELDS | {
    "prompt": "string",
    "suffix": "string",
    "system": "string",
    "template": "string",
    "context": "integers",
    "raw": "bool",
    "images": "images",
}
CHAT_FIELDS = COMMON_FIELDS | {"messages": "messages", "tools": "tools"}
COMPLETION_FIELDS = {
    "model": "string",
    "messages": "openai messages",
    "stream": "bool",
    "stream_options": "stream options",
    "max_tokens": "integer",
    "temperature": "number",
    "top_p": "number",
    "frequency_penalty": "number",
    "presence_penalty": "number",
    "seed": "integer",
    "stop": "any",
    "response_format": "response format",
    "reasoning_effort": "string",
    "tools": "tools",
    "logprobs": "bool",
    "top_logprobs": "integer",
}
MESSAGE_FIELDS = {"role": "string", "content": "string", "images": "images"}
MODEL_FIELDS = {"model": "string", "name": "string", "stream": "bool", "insecure": "bool", "verbose": "bool"}
COPY_FIELDS = {"source": "string", "destination": "string"}
CREATE_FIELDS = MODEL_FIELDS | {
    "from": "string",
    "files": "files",
    "adapters": "files",
    "template": "string",
    "system": "string",
    "quantize": "string",
    "parameters": "options",
    "messages": "messages",
    "license": "any",
}
EMBED_FIELDS = {"model": "string", "input": "any", "truncate": "bool", "options": "options", "keep_alive": "any"}
EMBEDDINGS_FIELDS = {"model": "string", "prompt": "string", "options": "options", "keep_alive": "any"}
