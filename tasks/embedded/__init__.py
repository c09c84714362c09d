"""The embedded server: Ollama's HTTP API on loopback over a real OCR engine.

It lets a machine without a GPU or Ollama read pages through the very client code that talks to the
real thing. Fields, status codes and error bodies are those of Ollama 0.33.

    engine     what an engine is, and how one is named on the command line
    tesseract  the default engine
    images     what an image must be before an engine sees it
    models     the store that `pull` fills
    wire       requests as Ollama's Go types accept them
    answers    text to tokens, formats and response bodies
    runners    warmth: one load, expiry, reload, unload
    slots      at most N inferences at once, the others in order of arrival
    inference  /api/generate and /api/chat
    server     the application and `serve`
"""
