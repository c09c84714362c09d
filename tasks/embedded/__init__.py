"""The embedded server: Ollama's HTTP API on loopback over a real OCR engine.

It lets a machine without a GPU or Ollama read pages through the same client code that talks to a real
Ollama. Fields, status codes and error bodies are those of Ollama 0.33.

    engine, tesseract   engines, and the default one
    found, spaces       the lines that it found, with the spaces that it left out
    layout              the text of a page, from where its lines stand
    lines, tables       paragraphs, and tables of numbers
    images              images before an engine reads them
    languages           trained data on this machine
    models, custom      the store that `pull` fills, and the one of a custom engine
    fields, wire        the fields of requests, and their decoding
    requests, answers   checked requests, and the answers to them
    runners, slots      loaded models, and the limit on concurrent inferences
    inference, openai   the endpoints that read pages
    catalog, library    the endpoints that show and change the store
    embeddings          the endpoints that refuse embeddings
    routing, guards     paths and methods; the Origin and Host headers
    server              the application
"""
