"""The prompt of models that were not trained on one of their own."""

from tasks.core.options import Headers, Pictures

NO_TEXT = "[no text]"
"""What a model answers where a page has nothing to read."""


_HEADERS = {
    Headers.KEEP: "Keep running headers, running footers and page numbers where they stand.",
    Headers.DROP: "Leave out running headers, running footers and page numbers.",
}
_PICTURES = {
    Pictures.OMIT: "Do not describe pictures or diagrams; write down the text within them.",
    Pictures.PLACEHOLDER: (
        "For each picture or diagram write one line, ![a few words that name it](picture), where it stands, and then "
        "the text within it."
    ),
}


def general_prompt(headers: Headers = Headers.KEEP, pictures: Pictures = Pictures.OMIT) -> str:
    """Return what a model is asked for about each page image.

    Args:
        headers: whether running headers and footers are part of the page's text.
        pictures: whether pictures leave a line.
    """
    rules = (
        "Follow the natural reading order: column by column, from top to bottom.",
        "Copy every word as it stands, in its own language and spelling. Do not translate, correct, summarize or add.",
        "Mark headings with #, ## and so on by their level. Write lists as Markdown lists.",
        "Write tables as Markdown tables. If cells span rows or columns, write an HTML table with rowspan and colspan.",
        "Write formulas as LaTeX: $...$ within a line, $$...$$ on lines of their own.",
        "Read handwriting, stamps and filled-in form fields as well.",
        "Keep footnotes and their marks.",
        _HEADERS[headers],
        "The page may begin or end in the middle of a sentence. Leave such a sentence unfinished.",
        _PICTURES[pictures],
        f"If the page has nothing to read, answer only: {NO_TEXT}",
    )
    listed = "\n".join(f"- {rule}" for rule in rules)
    return (
        f"Transcribe this page image to Markdown.\n{listed}\n"
        "Answer with the Markdown alone: no remarks, and no code fence around it."
    )


def schema_prompt(schema: str, instruction: str = "") -> str:
    """Return what a model is asked for about each page image where the answer follows a JSON Schema.

    Args:
        schema: the schema, which the model is shown whatever the server does with it.
        instruction: a person's own words, instead of the general ones.
    """
    rules = (
        "Take every value from the page. Do not guess, translate, correct or calculate.",
        "Copy texts as they stand. Write numbers and dates in the form that the schema asks for.",
        "Where the page does not tell a value, leave its name out; if the schema requires it, write null or an empty "
        "value, whichever the schema permits.",
        "Follow the natural reading order where several values belong to one list.",
    )
    listed = "\n".join(f"- {rule}" for rule in rules)
    return (
        f"{instruction or 'Extract the data of this page image as JSON.'}\n{listed}\n"
        "Answer with one JSON value that follows this JSON Schema, and with nothing else: no remarks, no code fence."
        f"\n\nJSON Schema:\n{schema}"
    )


def images_note(images: int) -> str:
    """Return what is added to a prompt where a page is too long for one image."""
    return f"\n\nThe page comes as {images} overlapping images, from top to bottom. Answer once for all of them."


def retry_note(problem: str) -> str:
    """Return what is added to a prompt after an answer that did not follow the schema."""
    return f"\n\nAn earlier answer was refused. {problem} Answer again, and correct this."
