"""What a file is: its encoding and format, where its header stands, and which program wrote it.

The file goes by once, piece by piece, while it is being stored: only all of it tells UTF-8 from Windows-1252.
"""

import codecs
from collections.abc import Iterator

from msgspec import Struct

from modules.networking.importing import vcards
from modules.networking.importing.columns import fields_of, recognised, source_of
from modules.networking.importing.records import CsvRecords, Record, UnreadableFile
from modules.networking.values import ImportField, ImportFormat, ImportSource

HEAD_BYTES = 64 * 1024
DELIMITERS = ",;\t|"
PREAMBLE_ROWS = 20
"""LinkedIn writes notes before the header; nobody writes more than that."""
MAX_COLUMNS = 500
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Detected(Struct, frozen=True, kw_only=True):
    format: ImportFormat
    source: ImportSource
    encoding: str
    delimiter: str = ","
    columns: list[str]
    fields: list[ImportField | None]
    offset: int
    """The byte at which the rows begin."""
    line: int
    """The line at which they begin."""


class Detector:
    """`feed` it every piece of the file, then ask what it `found`."""

    def __init__(self) -> None:
        self._head = b""
        self._mark = 0
        self._candidates: dict[str, codecs.IncrementalDecoder] | None = None
        self._has_nul = False

    def feed(self, content: bytes) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head += content[: HEAD_BYTES - len(self._head)]
        if self._candidates is None:
            self._mark, names = _candidates(content)
            self._candidates = {name: codecs.getincrementaldecoder(name)() for name in names}
            content = content[self._mark :]
        self._decode(content)

    def _decode(self, content: bytes, *, final: bool = False) -> None:
        candidates = self._candidates or {}
        for name, decoder in list(candidates.items()):
            try:
                text = decoder.decode(content, final)
            except UnicodeDecodeError:
                del candidates[name]
                continue
            self._has_nul = self._has_nul or "\0" in text
            return

    def found(self) -> Detected:
        """Raises `UnreadableFile` where it is no contact list."""
        self._decode(b"", final=True)
        if self._has_nul:
            raise UnreadableFile("The file holds NUL characters, so it is not text")
        if not self._candidates:
            raise UnreadableFile("The file's encoding is none of UTF-8, UTF-16 and Windows-1252")
        encoding = next(iter(self._candidates))
        head = self._head[self._mark :]
        text = codecs.getincrementaldecoder(encoding)(errors="ignore").decode(head)
        if text.lstrip()[:11].upper() == "BEGIN:VCARD":
            return _vcard(encoding, self._mark)
        return _csv(head, encoding, self._mark)


def _candidates(content: bytes) -> tuple[int, list[str]]:
    """How long the byte order mark is, and the encodings that the first piece leaves possible, the likeliest first."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return len(mark), [encoding]
    sample = content[:2000]
    if sample[1::2].count(0) > len(sample) // 4:
        return 0, ["utf-16-le"]
    if sample[::2].count(0) > len(sample) // 4:
        return 0, ["utf-16-be"]
    return 0, ["utf-8", "cp1252"]


def _vcard(encoding: str, mark: int) -> Detected:
    return Detected(
        format=ImportFormat.VCARD,
        source=ImportSource.VCARD,
        encoding=encoding,
        columns=vcards.COLUMNS,
        fields=list(vcards.FIELDS.values()),
        offset=mark,
        line=1,
    )


def _csv(head: bytes, encoding: str, mark: int) -> Detected:
    found = [(delimiter, record) for delimiter in DELIMITERS for record in _first_rows(head, encoding, delimiter, mark)]
    if not found:
        raise UnreadableFile("There is no header line")
    delimiter, header = max(found, key=_likeness_to_a_header)
    if len(header.cells) > MAX_COLUMNS:
        raise UnreadableFile(f"The header names more than {MAX_COLUMNS} columns")
    columns = [cell.strip() for cell in header.cells]
    source = source_of(columns)
    return Detected(
        format=ImportFormat.CSV,
        source=source,
        encoding=encoding,
        delimiter=delimiter,
        columns=columns,
        fields=fields_of(columns, source),
        offset=header.end,
        line=header.next_line,
    )


def _first_rows(head: bytes, encoding: str, delimiter: str, mark: int) -> Iterator[Record]:
    records = CsvRecords(encoding=encoding, delimiter=delimiter, offset=mark)
    try:
        records.feed(head, final=len(head) < HEAD_BYTES)
        yield from records.take(PREAMBLE_ROWS)
    except UnreadableFile:
        return


def _likeness_to_a_header(candidate: tuple[str, Record]) -> tuple[int, int, int]:
    """The most columns that we know; then the earliest row; then the most columns."""
    _, record = candidate
    return recognised(record.cells), -record.line, len(record.cells)
