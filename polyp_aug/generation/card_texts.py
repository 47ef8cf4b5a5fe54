"""The card's wording, for runs that add polyps, that remove them, and that make whole frames."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CardTexts:
    """Wording.

    Attributes:
        noun: what was painted, in the plural.
        others: what the objects are that were not painted, or "" where there can be none.
        frame: what the source of a record is used as.
        head: title and what this is; takes `made` and `painted`.
        files: what the folder holds.
        limits: what it isn't good for.
    """

    noun: str
    others: str
    frame: str
    head: str
    files: str
    limits: str


ADDED = CardTexts(
    noun="new polyps",
    others="objects that were there before",
    frame="background",
    head="""# Polyp detection data set with synthetic polyps

{made} colonoscopy frames with {painted} synthetic polyps, made by `polyp_aug`. Each frame is a real background into
which polyps were painted; nothing else in the frame was changed. `index.html` shows every sample before and after.

> **Not a medical device, not for diagnosis.** The polyps that were added never existed. They are made for the training
> of detectors, and a detector trained on them must be tested on real frames of other patients.
""",
    files="""## What is here

| File | Content |
|---|---|
| `images/` | the frames with the new polyps, lossless PNG |
| `annotations.json` | COCO annotations of all objects, those that were there before and the new ones |
| `before/` | the original pixels of the part of each frame that was changed, lossless PNG |
| `manifest.jsonl` | one record a sample: background, objects, how each polyp was made, and why samples failed |
| `run.json` | settings, inputs and versions of the run |
| `index.html` | a gallery that opens from disk, without a network |
""",
    limits="""## Limits

* The pictures are not evidence of anything in a patient. Don't use them to diagnose, to teach diagnosis without saying
  what they are, or to test a detector: measure on real frames.
* Backgrounds and reference polyps often come from few centres and devices; what they lack, this data set lacks too.
* Boxes and masks of the new polyps follow from how they were painted and no physician has checked them. Objects that
  were there before keep their annotations; polyps that those missed are still missed.
* The frames keep what the originals show, burned-in text included. The licences above go on applying to what was made
  from them, and name those to credit.
* Split by patient or sequence (`group` in `manifest.jsonl`), never by frame: a frame made from a background must not
  stand in another split than the background or the reference polyp.
""",
)

REMOVED = CardTexts(
    noun="removed polyps",
    others="objects that are still there",
    frame="background",
    head="""# Colonoscopy frames without their polyps

{made} colonoscopy frames from which {painted} annotated polyps were removed by `polyp_aug`: the box of each, with a
margin, was repainted as mucosa by a diffusion model; nothing else in the frame was changed. `index.html` shows every
frame before and after.

> **Not a medical device, not for diagnosis.** What stands in the place of a polyp was never seen in a patient. The
> frames are made as backgrounds and as polyp-free frames for the training of detectors.
""",
    files="""## What is here

| File | Content |
|---|---|
| `images/` | the frames without the polyps, lossless PNG |
| `annotations.json` | COCO annotations of the objects that are still there |
| `before/` | the original pixels of the part of each frame that was changed, lossless PNG |
| `manifest.jsonl` | one record a frame: its objects, how each polyp was removed, and why others were not |
| `run.json` | settings, inputs and versions of the run |
| `index.html` | a gallery that opens from disk, without a network |
""",
    limits="""## Limits

* The pictures are not evidence of anything in a patient. Don't use them to diagnose, or to test a detector.
* That a place was repainted doesn't prove that no polyp can be seen there: a model may paint another one, or leave a
  part. No physician has looked. Look at the gallery, and check with a detector, before calling these frames polyp-free.
* Polyps that the annotations missed are still there.
* Removed polyps leave a trace that a network can learn: repainted mucosa is smoother than real mucosa.
* The frames keep what the originals show, burned-in text included. The licences above go on applying to what was made
  from them, and name those to credit.
* Split by patient or sequence (`group` in `manifest.jsonl`), never by frame.
""",
)

MADE = CardTexts(
    noun="synthetic polyps",
    others="",
    frame="mask",
    head="""# Synthetic colonoscopy frames

{made} frames with {painted} polyps, made by `polyp_aug` from masks and captions: nothing in them was ever seen in a
patient. `index.html` shows every mask and what was made of it.

> **Not a medical device, not for diagnosis.** The frames are made for the training of detectors, and a detector trained
> on them must be tested on real frames of other patients.
""",
    files="""## What is here

| File | Content |
|---|---|
| `images/` | the frames, lossless PNG |
| `annotations.json` | COCO annotations: the masks that the frames were made from, where the frames agree with them |
| `before/` | these masks, white on black, lossless PNG |
| `manifest.jsonl` | one record a frame: caption, masks and what they were made of, and why samples failed |
| `run.json` | settings, inputs and versions of the run |
| `index.html` | a gallery that opens from disk, without a network |
""",
    limits="""## Limits

* The pictures are not evidence of anything in a patient. Don't use them to diagnose, to teach diagnosis without saying
  what they are, or to test a detector: measure on real frames.
* A model may paint further polyps beside those that it was asked for; nobody has annotated them.
* The caption says what was asked for, not what was made. No physician has looked.
* What the frames that the model was trained on lack, these lack too. A model may repeat frames that it was trained on.
* The masks come from the reference polyps of the table above; keep a frame in the split of its reference (`group` in
  `manifest.jsonl`), and of the frames that the model was trained on.
""",
)
