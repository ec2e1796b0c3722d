"""The backbones, a file each: to add one, add a file that defines `BACKBONE`."""

from lesionflow.models.backbone import Backbone
from lesionflow.runtime.discover import find_all

BACKBONES = find_all(__name__, "BACKBONE", Backbone)
"""Name in a recipe, which is the file's -> backbone."""
