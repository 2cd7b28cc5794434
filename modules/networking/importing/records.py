"""Records of a file that comes in pieces: bytes in, rows of cells out, and the place where each one ends.

Memory holds one piece and the record that it cuts in two. Whoever goes on later starts at a record's `end` and `line`.
"""

import codecs
import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator

from msgspec import Struct

from core.sdk import Invalid

MAX_FIELD_CHARACTERS = 100_000
MAX_RECORD_CHARACTERS = 2_000_000
"""A photo in a vCard is as long as that; a file whose quotes don't match must not be read into memory as one row."""
csv.field_size_limit(MAX_FIELD_CHARACTERS)


class UnreadableFile(Invalid):
    """The file as a whole can't be imported; its detail says why."""

    code = "unreadable-file"
    title = "The file can't be read"


class Record(Struct, frozen=True):
    line: int
    """Where it begins, the file's first line being 1."""
    cells: list[str]
    end: int
    """Bytes of the file up to and with it."""
    next_line: int


class Lines(Iterator[str]):
    """Whole lines, their ends kept; notes what was taken since the last record."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.taken: list[str] = []
        self.ran_out = False

    def __next__(self) -> str:
        line = self._lines.readline()
        if not line:
            self.ran_out = True
            raise StopIteration
        self.taken.append(line)
        return line


class Records(ABC):
    """Feed it the file piece by piece; between two pieces, take records until there are fewer than asked for."""

    def __init__(self, *, encoding: str, offset: int = 0, line: int = 1) -> None:
        """`offset` is the byte at which the first piece begins, and `line` the number of its first line."""
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._offset = offset
        self._line = line
        self._text = ""
        self._final = False
        self._lines = Lines("")
        self._cells = self.split(self._lines)

    @abstractmethod
    def split(self, lines: Lines) -> Iterator[list[str] | None]:
        """The cells of each record, None for one that is no record. Takes no line beyond the record that it yields."""

    def feed(self, content: bytes, *, final: bool = False) -> None:
        try:
            text = self._text + self._decoder.decode(content, final)
        except UnicodeDecodeError as error:
            raise UnreadableFile(f"After line {self._line}: bytes that are no {self._encoding}") from error
        cut = len(text) if final else _end_of_last_line(text)
        self._final = final
        self._text = text[cut:]
        self._lines = Lines(text[:cut])
        self._cells = self.split(self._lines)

    def take(self, limit: int) -> list[Record]:
        """The next records, blank ones left out. Fewer than `limit` means that another piece is needed."""
        records: list[Record] = []
        while len(records) < limit:
            try:
                cells = next(self._cells, None)
            except csv.Error as error:
                raise UnreadableFile(f"Line {self._line}: {error}") from error
            taken, self._lines.taken = self._lines.taken, []
            if self._lines.ran_out and not self._final:
                self._put_back(taken)
                break
            if not taken:
                break
            begin = self._line
            self._line += len(taken)
            self._offset += sum(map(self._bytes_of, taken))
            if cells is not None and any(cell.strip() for cell in cells):
                records.append(Record(begin, cells, self._offset, self._line))
        return records

    @property
    def place(self) -> tuple[int, int]:
        """The byte and the line at which to go on."""
        return self._offset, self._line

    def _put_back(self, taken: list[str]) -> None:
        """A record whose end has not come in yet."""
        self._text = "".join(taken) + self._text
        if len(self._text) > MAX_RECORD_CHARACTERS:
            raise UnreadableFile(f"Line {self._line}: a row of more than {MAX_RECORD_CHARACTERS} characters")

    def _bytes_of(self, line: str) -> int:
        if line.isascii() and not self._encoding.startswith("utf-16"):
            return len(line)
        return len(line.encode(self._encoding))


class CsvRecords(Records):
    def __init__(self, *, encoding: str, delimiter: str, offset: int = 0, line: int = 1) -> None:
        self._delimiter = delimiter
        super().__init__(encoding=encoding, offset=offset, line=line)

    def split(self, lines: Lines) -> Iterator[list[str] | None]:
        return csv.reader(lines, delimiter=self._delimiter)


def _end_of_last_line(text: str) -> int:
    """Up to the last line feed; in a file of carriage returns alone, up to the last one that none can follow."""
    feed = text.rfind("\n")
    return feed + 1 if feed >= 0 else text.rfind("\r", 0, len(text) - 1) + 1
