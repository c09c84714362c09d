"""The result of a batch: its report, and the result of each document where the results can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from pydantic import ConfigDict

from tasks.core.paths import parse_path
from tasks.results.document_result import DocumentResult
from tasks.results.report import Report
from tasks.storage.files import StoragePath


class BatchResult(Report):
    """The result of `process_batch`: its report, and where the report and the results are.

    Attributes:
        output: directory or s3:// prefix of all results.
        report_path: the report as Markdown, that of a part as JSON; None if there is none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    output: StoragePath
    report_path: StoragePath | None = None

    @classmethod
    def of(cls, report: Report, output: StoragePath, path: StoragePath | None) -> BatchResult:
        """Return the result of a batch that read into a directory and wrote a report."""
        return cls(**dict(report), output=output, report_path=path)

    @property
    def documents(self) -> Documents:
        """The documents that have results, in the order of the rows; `documents[0].text()` is the first one's text."""
        return Documents([row.output for row in self.rows if row.output])


class Documents(Sequence[DocumentResult]):
    """The results of a batch's documents, each read from its manifest on access."""

    def __init__(self, outputs: Sequence[str]) -> None:
        self._outputs = outputs

    def __len__(self) -> int:
        return len(self._outputs)

    @overload
    def __getitem__(self, index: int) -> DocumentResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[DocumentResult]: ...
    def __getitem__(self, index: int | slice) -> DocumentResult | list[DocumentResult]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        return DocumentResult.load(parse_path(self._outputs[index]))
