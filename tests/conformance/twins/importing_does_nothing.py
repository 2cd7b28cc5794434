"""It looks a host up as soon as it is imported."""

from tests.conformance.twinning import Change

CHANGES = [
    Change("\nREAD, WRITE", '\nADDRESS = socket.gethostbyname("localhost")\nREAD, WRITE'),
    Change("from uuid import UUID\n", "import socket\nfrom uuid import UUID\n"),
]
