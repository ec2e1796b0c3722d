"""The formats of the bundle, a file each: to add one, add a file that defines `FORMAT`."""

from lesionflow.components.export.export_format import ExportFormat
from lesionflow.runtime.discover import find_all

FORMATS = find_all(__name__, "FORMAT", ExportFormat)
"""Name of its file -> format."""
