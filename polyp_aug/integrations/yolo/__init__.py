"""Adapters for trainers that read the text format of YOLO, such as ultralytics; none of them is imported.

The other direction is the data set `yolo` of `polyp_aug.datasets`.
"""

from polyp_aug.integrations.yolo.export import YoloExport, export_yolo

__all__ = ["YoloExport", "export_yolo"]
