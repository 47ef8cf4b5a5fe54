"""`PolypSynthesis`, a transform of Albumentations that adds polyps to a frame, its boxes and its masks.

Written for albumentations 2.0.8, the last release under the MIT licence.

Raises:
    MissingDependencyError: albumentations is not installed, or albumentationsx stands in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from polyp_aug.errors import ConfigurationError, MissingDependencyError
from polyp_aug.geometry import Box, Region
from polyp_aug.images import ImageArray
from polyp_aug.keys import Key
from polyp_aug.online import NewPolyp, OnlineSettings, load_online_augmenter
from polyp_aug.optional import require
from polyp_aug.scene import Scene, SceneObject


def _refuse_successor() -> None:
    """Raise where the AGPL successor has taken the import name."""
    try:
        found = metadata.version("albumentationsx")
    except metadata.PackageNotFoundError:
        return
    raise MissingDependencyError(
        f"albumentationsx {found} is installed, which is AGPL and takes albumentations' import name: "
        "pip uninstall albumentationsx; pip install --force-reinstall albumentations==2.0.8",
        name="albumentations",
    )


_refuse_successor()
require("albumentations", "albumentations")

from albumentations.core.transforms_interface import BaseTransformInitSchema, DualTransform  # noqa: E402
from albumentations.core.type_definitions import Targets  # noqa: E402

Boxes = npt.NDArray[np.float32]

#: Column and row of its top left corner, and pixels uint8 RGB (h, w, 3).
_Patch = tuple[int, int, ImageArray]


class PolypSynthesis(DualTransform):  # type: ignore[misc]
    """Add synthetic polyps to a frame.

    They are drawn from a pool: of the variants that were painted into this very frame, some are laid over it, exactly
    as they were painted. A frame that the pool doesn't know is painted on the spot where a synthesizer is named, and
    stays as it is otherwise. So the transform stands first: flipped or resized frames are no longer the ones that the
    pool knows. It changes at most what a polyp covers, and never its inputs.

    What is drawn depends on the generator that Albumentations gives the transform (its seed, or that of `Compose`), and
    in a data loader of torch on the worker's seed, which differs from worker to worker and from epoch to epoch and
    follows `torch.manual_seed`: Albumentations' own generators are the same in every worker and epoch.

    Targets:
        image, mask, masks, bboxes, keypoints

    Image types:
        uint8, float32 in [0, 1]; RGB

    Args:
        pool: folder of a pool, or of a run, whose pool is cut out the first time.
        synthesizer: paints frames that the pool doesn't know: "transplant", "copy_paste", or a diffusion model, which
            is refused in a data loader's workers.
        references: COCO set of the polyps that the synthesizer moves; a run is one.
        proposer: finds places for the synthesizer, "random" or "reference".
        polyps_per_image: smallest and largest number of new polyps.
        size_range: smallest and largest diameter of a new polyp, as a share of the frame's shorter side.
        largest_overlap: largest share of a box that the box of a new polyp may cover.
        smallest_visible: no object is covered of which less than this share would stay in sight.
        existing: "keep", "replace" or "skip", for the frames that hold polyps.
        label: of the new polyps: one value for every label field of `BboxParams`, or a mapping of field to value. In
            boxes that carry their label in the fifth column it stands there.
        mask_value: what `mask` holds where a new polyp is.
        p: probability that a frame is changed.

    Raises:
        ConfigurationError: neither pool nor synthesizer is given, or a value is out of its range.

    Note:
        * `masks` belong to `bboxes`, in their order: what a new polyp hides is taken away, its own mask is appended.
        * New boxes go through the filters of `BboxParams` as all others do.
        * Keypoints stay, under a new polyp too.
    """

    _targets = (Targets.IMAGE, Targets.MASK, Targets.BBOXES, Targets.KEYPOINTS)

    class InitSchema(BaseTransformInitSchema):  # type: ignore[misc]
        """Types of the arguments; their ranges are checked by `OnlineSettings`."""

        pool: str | None
        synthesizer: str | None
        references: str | None
        proposer: str
        polyps_per_image: tuple[int, int]
        size_range: tuple[float, float]
        largest_overlap: float
        smallest_visible: float
        existing: Literal["keep", "replace", "skip"]
        label: int | float | str | Mapping[str, int | float | str]
        mask_value: int

    def __init__(
        self,
        pool: str | None = None,
        synthesizer: str | None = None,
        references: str | None = None,
        proposer: str = "random",
        polyps_per_image: tuple[int, int] = (1, 1),
        size_range: tuple[float, float] = (0.0, 1.0),
        largest_overlap: float = 0.0,
        smallest_visible: float = 0.7,
        existing: Literal["keep", "replace", "skip"] = "keep",
        label: float | str | Mapping[str, float | str] = 0,
        mask_value: int = 1,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        self.pool, self.synthesizer, self.references, self.proposer = pool, synthesizer, references, proposer
        self.polyps_per_image, self.size_range = polyps_per_image, size_range
        self.largest_overlap, self.smallest_visible, self.existing = largest_overlap, smallest_visible, existing
        self.label, self.mask_value = label, mask_value
        self._forced = False
        settings = OnlineSettings(1.0, polyps_per_image, size_range, largest_overlap, smallest_visible, existing)
        self._augmenter = load_online_augmenter(pool, synthesizer, references, proposer, settings)

    @property
    def targets(self) -> dict[str, Callable[..., Any]]:
        """What is changed, by its name in a call."""
        return {
            "image": self.apply,
            "mask": self.apply_to_mask,
            "masks": self.apply_to_masks,
            "bboxes": self.apply_to_bboxes,
            "keypoints": self.apply_to_keypoints,
        }

    def should_apply(self, force_apply: bool = False) -> bool:
        """Whether it may be applied; `get_params_dependent_on_data` draws, by the worker's seed too."""
        self._forced = force_apply
        return bool(self.p > 0.0 or force_apply)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Draw, and paint where that is wanted: all that the `apply` methods need.

        Raises:
            ConfigurationError: the picture is no RGB of uint8 or float32, or a diffusion model would have to paint in a
                worker.
        """
        worker = _worker()
        painter = self._augmenter.painter
        if painter is not None and not painter.in_workers and worker is not None:
            raise ConfigurationError(
                f"'synthesizer' {self.synthesizer!r} can't paint in a data loader's worker; set num_workers=0, or draw "
                "from a 'pool'"
            )
        draw = int(self.random_generator.integers(2**62))
        key = Key(draw, "albumentations", 0 if worker is None else int(worker.seed))
        nothing: dict[str, Any] = {"patch": None, "polyps": (), "removed": (), "removed_boxes": ()}
        self._keep_whole_numbers(data)
        if not self._forced and key.generator("probability").random() >= self.p:
            return nothing
        image = _eight_bits(data.get("image"))
        height, width = image.shape[:2]
        boxes = _pixel_boxes(data.get("bboxes"), width, height)
        scene = Scene("", image, tuple(SceneObject(box, "") for box in boxes))
        found = self._augmenter.augment(scene, key, _regions(data, len(boxes)))
        if found.status != "changed":
            return nothing
        x, y, w, h = found.area
        return {
            "patch": (x, y, found.image[y : y + h, x : x + w].copy()),
            "polyps": found.added,
            "removed": found.removed,
            "removed_boxes": tuple(boxes[index] for index in found.removed),
        }

    def apply(self, img: npt.NDArray[Any], patch: _Patch | None = None, **_: Any) -> npt.NDArray[Any]:
        """The picture, uint8 or float32 (H, W, 3)."""
        if patch is None:
            return img
        x, y, pixels = patch
        out = img.copy()
        area = out[y : y + pixels.shape[0], x : x + pixels.shape[1]]
        if img.dtype == np.uint8:
            area[:] = pixels
        else:
            # Rounding to 256 levels must not touch what did not change.
            changed = (_eight_bits(area) != pixels).any(axis=2)
            area[changed] = pixels[changed].astype(np.float32) / 255.0
        return out

    def apply_to_mask(
        self, mask: npt.NDArray[Any], polyps: Sequence[NewPolyp] = (), removed_boxes: Sequence[Box] = (), **_: Any
    ) -> npt.NDArray[Any]:
        """The semantic mask (H, W) or (H, W, C)."""
        out = mask.copy() if polyps or removed_boxes else mask
        for x, y, w, h in removed_boxes:
            out[round(y) : round(y + h), round(x) : round(x + w)] = 0
        for polyp in polyps:
            out[polyp.to_mask(*mask.shape[:2])] = self.mask_value
        return out

    def apply_to_masks(
        self,
        masks: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
        polyps: Sequence[NewPolyp] = (),
        removed: Sequence[int] = (),
        shape: Sequence[int] = (),
        **_: Any,
    ) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
        """Masks of the single objects, (N, H, W) or a list of (H, W)."""
        if not polyps and not removed:
            return masks if isinstance(masks, np.ndarray) else list(masks)
        height, width = shape[:2]
        kept = [mask.copy() for number, mask in enumerate(masks) if number not in removed]
        kind = masks[0].dtype if len(masks) else np.dtype(np.uint8)
        new = [polyp.to_mask(height, width) for polyp in polyps]
        for mask in kept:
            for pixels in new:
                mask[pixels] = 0
        found = [*kept, *(pixels.astype(kind) for pixels in new)]
        if not isinstance(masks, np.ndarray):
            return found
        return np.stack(found) if found else np.empty((0, height, width), masks.dtype)

    def apply_to_bboxes(
        self,
        bboxes: Boxes,
        polyps: Sequence[NewPolyp] = (),
        removed: Sequence[int] = (),
        labels: Sequence[float] = (),
        shape: Sequence[int] = (),
        **_: Any,
    ) -> Boxes:
        """Boxes, xyxy in shares of the frame, and their encoded labels: float32 (N, 4 + labels)."""
        if not polyps and not removed:
            return bboxes
        height, width = shape[:2]
        columns = bboxes.shape[1] if bboxes.ndim == 2 and not labels else 4 + len(labels)
        kept = np.asarray(bboxes, np.float32).reshape(-1, columns)
        new = np.zeros((len(polyps), columns), np.float32)
        for row, (x, y, w, h) in zip(new, (polyp.box for polyp in polyps), strict=True):
            row[:4] = x / width, y / height, (x + w) / width, (y + h) / height
            row[4:] = labels if labels else self._label_in_the_box(columns - 4)
        return np.concatenate([np.delete(kept, list(removed), axis=0), new])

    def apply_to_keypoints(self, keypoints: npt.NDArray[Any], **_: Any) -> npt.NDArray[Any]:
        """Keypoints stay."""
        return keypoints

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As `BasicTransform.apply_with_params`, with labels for the new boxes, and masks where there were none."""
        if params.get("polyps") and kwargs.get("bboxes") is not None:
            params = params | {"labels": self._encoded_labels(kwargs)}
        results: dict[str, Any] = super().apply_with_params(params, *args, **kwargs)
        masks = kwargs.get("masks")
        if isinstance(masks, list | tuple) and not masks and params.get("polyps"):
            results["masks"] = self.apply_to_masks(masks, **params)
        return results

    def _label_of(self, field: str) -> float | str:
        if not isinstance(self.label, Mapping):
            return self.label
        if field not in self.label:
            raise ConfigurationError(f"'label' has no value for the label field {field!r} (it has {list(self.label)})")
        return self.label[field]

    def _label_in_the_box(self, columns: int) -> list[float]:
        """What stands behind the four numbers of a box where no label field is named: the label, then zeros."""
        return [0.0 if isinstance(self.label, str | Mapping) else float(self.label), *[0.0] * columns][:columns]

    def _encoded_labels(self, data: Mapping[str, Any]) -> list[float]:
        """The new polyps' labels, one for each label field, as Albumentations encodes them.

        It learns a field's type from the first frame that has boxes; where that is one of ours, from the empty field.
        """
        manager, fields = self._label_manager()
        found = []
        for field in fields:
            value: Any = [self._label_of(field)]
            raw = data.get(field)
            if isinstance(raw, np.ndarray) and not len(raw):
                value = np.array(value, dtype=None if raw.dtype == object else raw.dtype)
            found.append(float(manager.process_field("bboxes", field, value)[0, 0]))
        self._keep_whole_numbers(data)
        return found

    def _keep_whole_numbers(self, data: Mapping[str, Any]) -> None:
        """Let Albumentations give lists of whole numbers back as such; it makes them floats."""
        manager, fields = self._label_manager()
        boxes = data.get("bboxes")
        for column, field in enumerate(fields, start=4):
            known = manager.metadata["bboxes"].get(field)
            if known is not None and known.is_numerical and issubclass(known.input_type, list | tuple):
                values = boxes[:, column] if boxes is not None and boxes.size else np.empty(0)
                whole = isinstance(self._label_of(field), int) and bool(np.all(values == np.round(values)))
                known.dtype = np.dtype(np.int64) if whole else None

    def _label_manager(self) -> tuple[Any, Sequence[str]]:
        processor = self.get_processor("bboxes")
        if processor is None or not processor.params.label_fields:
            return None, ()
        return processor.label_manager, processor.params.label_fields


def _worker() -> Any:
    """The data loader's worker of torch that this is, or None."""
    data = sys.modules.get("torch.utils.data")
    return None if data is None else data.get_worker_info()


def _eight_bits(image: npt.NDArray[Any] | None) -> ImageArray:
    """The picture as uint8 RGB."""
    if image is None:
        raise ConfigurationError("no 'image' is given; PolypSynthesis works on single frames")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype not in (np.uint8, np.float32):
        raise ConfigurationError(f"'image' is {image.dtype} {image.shape}, expected RGB (H, W, 3) of uint8 or float32")
    if image.dtype == np.uint8:
        return image
    return np.asarray(np.clip(image * 255.0 + 0.5, 0, 255), dtype=np.uint8)


def _pixel_boxes(boxes: npt.NDArray[Any] | None, width: int, height: int) -> list[Box]:
    """Boxes xywh in pixels of boxes xyxy in shares of the frame."""
    if boxes is None or boxes.ndim != 2:
        return []
    scaled = boxes[:, :4].astype(np.float64) * (width, height, width, height)
    return [(left, top, right - left, bottom - top) for left, top, right, bottom in scaled.tolist()]


def _regions(data: Mapping[str, Any], count: int) -> list[Region | None] | None:
    """The objects' pixels where masks are given for them, and None where nobody asks for masks."""
    masks = data.get("masks")
    if masks is None:
        return None if data.get("mask") is None else [None] * count
    if len(masks) != count:
        return [None] * count
    return [Region.from_mask(np.asarray(mask) > 0) for mask in masks]
