"""Adapters for trainers that read the text format of YOLO, such as ultralytics; none of them is imported.

`training` and `inference` start ultralytics' own program, where a user has it.

The other direction is the data set `yolo` of `polyp_aug.datasets`.
"""

from polyp_aug.integrations.yolo.export import YoloExport, export_yolo

__all__ = ["YoloExport", "export_yolo"]
