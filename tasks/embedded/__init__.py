"""The embedded server: Ollama's HTTP API on loopback over a real OCR engine.

It lets a machine without a GPU or Ollama read pages through the very client code that talks to the
real thing. Fields, status codes and error bodies are those of Ollama 0.33.

    engine     what an engine is, and how one is named on the command line
    tesseract  the default engine
    images     what an image must be before an engine sees it
    models     the store that `pull` fills
    fields     the fields of requests, and their Go types
    wire       requests as those types accept them
    answers    text to tokens, formats and response bodies
    runners    warmth: one load, expiry, reload, unload
    slots      at most N inferences at once, the others in order of arrival
    requests   what the endpoints that read are asked
    inference  /api/generate and /api/chat
    openai     /v1/models and /v1/chat/completions
    catalog    /api/tags, /api/ps and /api/show
    library    what changes the store: pull, delete, copy and create
    embeddings what is said to who asks for some
    routing    paths and methods, as Ollama's router treats them
    origins    foreign web pages are turned away, by their Origin
    hosts      and by the Host that they asked for
    server     the application and `serve`
"""
