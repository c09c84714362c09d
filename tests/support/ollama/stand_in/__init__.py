"""A real engine with made-up weights: llama.cpp's server, and an `ollama` that runs it."""
