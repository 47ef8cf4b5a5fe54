"""Writers of captions: templates, chat models, and what contradicts the facts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_chat import chat_parts, save_untrained

from polyp_aug.captions.attributes import BACKGROUND, FOREGROUND
from polyp_aug.captions.chat import ChatWriter, complaint, read_answer, request
from polyp_aug.captions.chat_model import TransformersChat, load_chat
from polyp_aug.captions.check import contradictions, mentions, named, split_sentences
from polyp_aug.captions.facts import (
    BackgroundFacts,
    FrameFacts,
    PolypFacts,
)
from polyp_aug.captions.template import TemplateWriter, vocabulary
from polyp_aug.captions.writer import Caption, words
from polyp_aug.errors import ConfigurationError
from polyp_aug.keys import Key

POLYP = PolypFacts("upper left", "small", "round", "pale", "smooth", "sessile")
OTHER = PolypFacts("lower right", "small", "oval", "reddish", "nodular", "flat")
MUCOSA_FACTS = BackgroundFacts("pink", "bright", "matt", "visible")
FACTS = FrameFacts((POLYP,), MUCOSA_FACTS)

polyps = st.builds(PolypFacts, **{name: st.sampled_from(list(values)) for name, values in FOREGROUND.items()})
backgrounds = st.builds(BackgroundFacts, **{name: st.sampled_from(list(values)) for name, values in BACKGROUND.items()})
frames = st.builds(FrameFacts, st.lists(polyps, max_size=5).map(tuple), backgrounds)


# The template writer


@given(frames, st.integers(0, 1000))
def test_every_sentence_of_the_templates_says_all_facts(facts: FrameFacts, sample: int) -> None:
    caption = TemplateWriter().write(facts, Key(0, str(sample)))
    assert contradictions(caption, facts) == []
    sentences = split_sentences(caption.foreground)
    assert len(sentences) == min(3, len(facts.polyps))
    for sentence, polyp in zip(sentences, facts.polyps, strict=False):
        said = mentions(sentence, FOREGROUND)
        assert {mention.attribute: mention.value for mention in said} == polyp.values()
        assert len(said) == len(FOREGROUND)
        assert len(sentence.split()) <= 20
    assert named(caption.background, facts.background.values(), BACKGROUND) == set(BACKGROUND)
    assert len(caption.background.split()) <= 12
    assert set(words(caption.text)) <= set(vocabulary())
    assert caption.text == caption.text.lower()


def test_the_vocabulary_is_small_and_wordings_vary() -> None:
    said = set()
    texts = set()
    writer = TemplateWriter()
    for number in range(300):
        key = Key(0, str(number))
        polyp = {name: list(values)[number % len(values)] for name, values in FOREGROUND.items()}
        background = {name: list(values)[number % len(values)] for name, values in BACKGROUND.items()}
        facts = FrameFacts((PolypFacts(**polyp), OTHER), BackgroundFacts(**background))
        said |= set(words(writer.write(facts, key).text))
        texts.add(writer.write(FACTS, key).text)
    assert said == set(vocabulary())
    assert len(vocabulary()) < 60
    assert len(texts) == 24


# Contradictions


@pytest.mark.parametrize(
    "text",
    [
        "a small pale sessile polyp in the upper left",
        "a polyp at the top left, rounded, not reddish, without a stalk",
        "on the left a diminutive whitish polyp, neither nodular nor flat",
        "a polyp in the upper part of the image",
        "broad-based polyp",
    ],
)
def test_what_agrees_is_accepted(text: str) -> None:
    assert contradictions(Caption(text, "bright pink mucosa with a dark lumen"), FACTS) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a small pale polyp in the upper right", "says 'upper right', but the place is upper left"),
        ("a small pale polyp on the right", "says 'right', but the place is upper left"),
        ("a small polyp in the bottom half", "says 'bottom', but the place is upper left"),
        ("a central polyp", "says 'central', but the place is upper left"),
        ("a huge polyp", "says 'huge', but the size is small"),
        ("an erythematous polyp", "says 'erythematous', but the colour is pale"),
        ("a polyp that is not pale", "says 'not pale', but the colour is pale"),
        ("a polyp without a smooth surface", "says 'not smooth', but the texture is smooth"),
        ("a polyp on a long stalk", "says 'stalk', but the type is sessile"),
        ("a lobulated polyp", "says 'lobulated', but the shape is round"),
        ("an adenoma in the upper left", "not measured: adenoma"),
        ("a polyp of 5 mm", "has numbers"),
        ("a small polyp. a second polyp", "has 2 sentences, expected 1"),
        ("", "has 0 sentences, expected 1"),
    ],
)
def test_contradictions_are_caught(text: str, reason: str) -> None:
    found = contradictions(Caption(text, "bright pink mucosa"), FACTS)
    assert any(reason in line for line in found), found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bright orange mucosa", "says 'orange', but the tone is pink"),
        ("pink mucosa without lumen", "says 'not lumen', but the lumen is visible"),
        ("dimly lit pink mucosa", "says 'dimly', but the brightness is bright"),
        ("pink mucosa with highlights", "says 'highlights', but the highlights is matt"),
        ("pink mucosa. a lumen", "must be one sentence"),
        ("", "must be one sentence"),
        ("pink mucosa around a polyp", "speaks of a polyp"),
    ],
)
def test_contradictions_of_the_background_are_caught(text: str, reason: str) -> None:
    found = contradictions(Caption("a polyp in the upper left", text), FACTS)
    assert any(reason in line for line in found), found


def test_sentences_belong_to_polyps_in_their_order() -> None:
    facts = FrameFacts((POLYP, OTHER), MUCOSA_FACTS)
    first, second = "a pale polyp in the upper left", "a reddish polyp in the lower right"
    assert contradictions(Caption(f"{first}. {second}", "pink mucosa"), facts) == []
    wrong = contradictions(Caption(f"{second}. {first}", "pink mucosa"), facts)
    assert "sentence 1 of the foreground says 'lower right', but the place is upper left" in wrong
    assert len(wrong) == 4


# The chat writer

GOOD = "FOREGROUND: A small pale polyp with a smooth surface in the upper left.\nBACKGROUND: Bright pink mucosa.\n"


def test_a_good_answer_is_read() -> None:
    answer = read_answer(GOOD, FACTS)
    assert answer.wrong == ()
    assert answer.caption == Caption("a small pale polyp with a smooth surface in the upper left", "bright pink mucosa")
    alone = read_answer("background: bright pink mucosa", FrameFacts((), MUCOSA_FACTS))
    assert alone.wrong == ()
    assert alone.caption == Caption("", "bright pink mucosa")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not made of the lines FOREGROUND: … and BACKGROUND: …"),
        ("Sure! Here it is:\n" + GOOD, "not made of the lines"),
        (GOOD + "I hope that helps.", "not made of the lines"),
        ("BACKGROUND: bright pink mucosa", "not made of the lines"),
        (GOOD.replace("upper left", "upper right"), "says 'upper right', but the place is upper left"),
        (GOOD.replace("with a smooth surface", ""), ""),
        (GOOD.replace(" in the upper left", ""), "names too few facts, expected the place (upper left)"),
        (GOOD.replace("Bright pink mucosa", "Mucosa"), "the background names none of the facts"),
        (GOOD.replace("smooth surface", "smooth surface" + " that is so" * 6), "expected at most 24"),
    ],
)
def test_answers_are_rejected_with_the_reason(text: str, reason: str) -> None:
    answer = read_answer(text, FACTS)
    if not reason:
        assert answer.wrong == ()
    else:
        assert any(reason in line for line in answer.wrong), answer.wrong
        assert all(line in complaint(answer.wrong) for line in answer.wrong)


def test_the_request_holds_the_facts() -> None:
    text = request(FrameFacts((POLYP, OTHER), MUCOSA_FACTS))
    assert "Polyp 1: place upper left, size small, shape round, colour pale, texture smooth, type sessile." in text
    assert "Polyp 2: place lower right" in text
    assert "2 sentences" in text
    assert "FOREGROUND" not in request(FrameFacts((), MUCOSA_FACTS))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model that talks nonsense, saved as transformers saves it."""
    folder = tmp_path_factory.mktemp("chat") / "untrained"
    save_untrained(folder)
    return folder


def test_a_model_that_talks_nonsense_is_asked_again_and_replaced(untrained: Path) -> None:
    model = load_chat(str(untrained))
    writer = ChatWriter(model, attempts=2)
    key = Key(3, "frame.png")
    before = torch.random.get_rng_state()
    caption = writer.write(FACTS, key)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (caption.attempts, caption.fell_back) == (2, True)
    assert caption.text == TemplateWriter().write(FACTS, key).text
    messages = [{"role": "user", "content": request(FACTS)}]
    assert model.answer(messages, key) == model.answer(messages, key)
    assert model.answer(messages, key) != model.answer(messages, key.child(1))
    assert writer.identity.to_dict() == {
        "name": "chat",
        "model": "untrained",
        "revision": model.revision,
        "attempts": 2,
    }


def test_a_model_that_has_learnt_an_answer_is_believed() -> None:
    answer = "FOREGROUND: a small pale polyp in the upper left\nBACKGROUND: bright pink mucosa"
    model, tokenizer = chat_parts(request(FACTS), answer)
    turns = [{"role": "user", "content": request(FACTS)}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    tokens = tokenizer(f"{asked} {answer}<end>", return_tensors="pt")["input_ids"]
    labels = tokens.clone()
    labels[:, : len(tokenizer(asked)["input_ids"])] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
    caption = ChatWriter(TransformersChat(model, tokenizer, "learnt", "1")).write(FACTS, Key(0, "frame.png"))
    assert caption == Caption("a small pale polyp in the upper left", "bright pink mucosa", attempts=1)


def test_models_that_are_none_are_refused(untrained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be loaded as a chat model"):
        load_chat(str(tmp_path))
    silent = tmp_path / "silent"
    shutil.copytree(untrained, silent)
    (silent / "chat_template.jinja").unlink()
    with pytest.raises(ConfigurationError, match="has no chat template"):
        load_chat(str(silent))
    pickled = tmp_path / "pickled"
    shutil.copytree(untrained, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(ConfigurationError, match="can't be loaded"):
        load_chat(str(pickled))
    short, tokenizer = chat_parts(request(FACTS))
    short.config.max_position_embeddings = 250
    with pytest.raises(ConfigurationError, match=r"takes 250 tokens, expected room for \d+ tokens and 200"):
        ChatWriter(TransformersChat(short, tokenizer, "short", "1")).write(FACTS, Key(0, ""))
    for device in ("cuda:99", "nothing"):
        with pytest.raises(ConfigurationError, match=f"'device' is {device}, and torch finds no such device"):
            load_chat(str(untrained), device=device)
    with pytest.raises(ConfigurationError, match=r"'attempts' must be at least 1 \(got 0\)"):
        ChatWriter(load_chat(str(untrained)), attempts=0)
