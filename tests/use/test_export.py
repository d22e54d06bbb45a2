"""`chimeramix export`, for programs: what they give without this package is what the run's own evaluation recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

import chimeramix
from chimeramix.cli import main

Output = pytest.CaptureFixture[str]
onnxruntime = pytest.importorskip("onnxruntime")


def photos_of(folder: Path) -> list[np.ndarray]:
    """The test photos in the order of the record, `[1, 3, H, W]` uint8 each of its own size."""
    files = sorted(folder.rglob("*.*g"))
    return [np.array(Image.open(file).convert("RGB")).transpose(2, 0, 1)[None] for file in files]


def recorded(folder: Path) -> np.ndarray:
    """Probabilities of the test images, from what the run's own evaluation wrote."""
    with np.load(folder / "predictions.npz") as stored:
        return softmax(stored["logits"].astype(np.float64), axis=1)


# Records are in float16, and the second run computed in bf16: differences are 3e-4. Images that are squashed instead of
# cut, or cut otherwise, make 1e-2.
@pytest.mark.parametrize(("kind", "tolerance"), [("plain", 1e-3), ("viewed", 2e-3)])
def test_programs_give_what_the_run_recorded(
    kind: str, tolerance: float, photos: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys: Output
) -> None:
    """On photos as they are: whatever the reading, the weights and the views."""
    run = request.getfixturevalue(kind)
    capsys.readouterr()  # maybe it was trained just now
    for form in ("pt2", "onnx"):
        assert main(["export", str(run), "--format", form, "--out", str(tmp_path / f"a.{form}")]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 2, said.err
    extra = {"classifier.json": ""}
    module = torch.export.load(tmp_path / "a.pt2", extra_files=extra).module()
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    with torch.no_grad():
        logits = [module(torch.from_numpy(photo)).numpy()[0] for photo in photos_of(photos / "test")]
    expected = recorded(run)
    np.testing.assert_allclose(softmax(logits, axis=1), expected, atol=tolerance)
    in_onnx = [session.run(["logits"], {"images": photo})[0][0] for photo in photos_of(photos / "test")]
    np.testing.assert_allclose(in_onnx, logits, atol=1e-5)
    for form in ("pt2", "onnx"):  # what is given away says nothing of this machine
        assert str(Path(chimeramix.__file__).parent).encode() not in (tmp_path / f"a.{form}").read_bytes()
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == json.loads(extra["classifier.json"])["classes"] == ["spots", "stripes"]
    (taken,) = session.get_inputs()
    assert (taken.name, taken.shape, taken.type) == ("images", ["batch", 3, "height", "width"], "tensor(uint8)")


def test_a_program_for_images_of_one_size(plain: Path, tmp_path: Path) -> None:
    for form in ("pt2", "onnx"):
        words = ["--format", form, "--size", "30", "40", "--out", str(tmp_path / f"a.{form}")]
        assert main(["export", str(plain), *words]) == 0
    images = torch.randint(256, (5, 3, 30, 40), dtype=torch.uint8)
    logits = torch.export.load(tmp_path / "a.pt2").module()(images)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, 30, 40]
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], logits, atol=1e-5)


def test_what_is_there_stays_unless_it_may_go(plain: Path, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "a.pt2"
    out.write_text("mine")
    words = ["export", str(plain), "--format", "pt2", "--out", str(out)]
    assert main(words) == 2
    assert (
        capsys.readouterr().err == f"error: {out} is there already: --overwrite replaces it, --out writes elsewhere\n"
    )
    assert out.read_text() == "mine"
    assert main([*words, "--overwrite"]) == 0
    torch.export.load(out)
    assert list(tmp_path.iterdir()) == [out]


def test_a_failed_export_leaves_nothing(
    plain: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it is wrong by a pixel's worth of normalisation."""
    monkeypatch.setattr("chimeramix.use.program.Program.forward", lambda self, images: self.classifier(images.float()))
    assert main(["export", str(plain), "--format", "pt2", "--size", "24", "24", "--out", str(tmp_path / "a.pt2")]) == 1
    assert "error: the program gives other logits than the run, by up to" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(plain: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for form, out in (("pt2", "a.pt2"), ("hub", "mine")):
        assert main(["export", str(plain), "--format", form, "--out", str(tmp_path / out)]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"error: {tmp_path / out} could not be written ([Errno 28] No space left on device)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["PHOTOS", "--format", "pt2"], "is not the folder of a finished run: it has no result.json"),
        (["nowhere", "--format", "hub"], "nowhere is not the folder of a finished run"),
        (["RUN", "--format", "pt2", "--out", "a.onnx"], "--out a.onnx: the name must end in .pt2"),
        (["RUN", "--format", "onnx", "--out", "no/a.onnx"], "--out no/a.onnx: there is no folder no"),
        (["RUN", "--format", "pt2", "--size", "0", "9"], "--size 0 9: must be at least 1"),
        (["RUN", "--format", "hub", "--size", "9", "9"], "--size is for programs (pt2, onnx)"),
        (["RUN", "--format", "hub", "--out", "PHOTOS", "--overwrite"], "is a folder of something else"),
    ],
)
def test_bad_input_is_one_line(words: list[str], fault: str, plain: Path, photos: Path, capsys: Output) -> None:
    found = [word.replace("RUN", str(plain)).replace("PHOTOS", str(photos)) for word in words]
    assert main(["export", *found]) == 2
    said = capsys.readouterr()
    assert fault in said.err
    assert (said.out, len(said.err.splitlines())) == ("", 1)
