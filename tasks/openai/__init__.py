"""OpenAI's HTTP API, as vLLM, llama-server, LM Studio and gateways speak it: the only place that knows its wire."""
