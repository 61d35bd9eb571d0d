"""What a simulation found, as an object, a table, JSON, CSV, a timeline, pictures and a page.

The pictures are functions of `codesign.report.plots`, which imports matplotlib; nothing else here does.
"""

from codesign.report.record import OpRecord
from codesign.report.report import Report

__all__ = ["OpRecord", "Report"]
