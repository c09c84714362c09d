"""A real engine without a real model: llama.cpp's server, weights that were made up, and an `ollama` that runs it."""
