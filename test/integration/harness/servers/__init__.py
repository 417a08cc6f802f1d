"""The programs of the matrix (test_matrix.py)."""

from . import http, milters, others

ALL = milters.ALL + http.ALL + others.ALL
